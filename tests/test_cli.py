"""The command line: verbs, what they print, exit codes, and mistakes told in one paragraph."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest
import yaml
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from tiny_sweep import TINY, Sweep, build_all, planned, tiny

from sweep.__main__ import main
from sweep.heartbeat import Heartbeat, path_of, write
from sweep.launchers.local_view import label
from sweep.table import read_table

ROOT = Path(__file__).parents[1]
Said = tuple[int, str, str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run one command in this process, in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sweep"])

    def command(*words: str) -> Said:
        try:
            code = main(list(words))
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def one_paragraph(text: str) -> str:
    """The one line of a refusal."""
    assert text.startswith("sweep: ") and text.count("\n") == 1 and text.endswith("\n"), text
    assert "Traceback" not in text
    return text


# plan and status

COUNTED = """
import collections, json, os, sys
opened = collections.Counter()
def count(event, of):  # an opener's own os.open has no mode, and is the same look
    if event == "open" and not isinstance(of[0], int) and of[1] is not None:
        opened.update([os.fspath(of[0])])
    if event == "subprocess.Popen":
        started.append(os.fspath(of[0]))
started = []
sys.addaudithook(count)
from sweep.__main__ import main
assert main(sys.argv[1:]) == 0
assert "torch" not in sys.modules and {os.path.basename(name) for name in started} <= {"git"}, started
json.dump({str(path): n for path, n in opened.items() if "/.venv/" not in str(path)}, sys.stderr)
"""


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_a_look_reads_each_configuration_and_each_manifest_once_and_nothing_else(sweep: Sweep, verb: str) -> None:
    command = [sys.executable, "-c", COUNTED, verb, "-m", *sweep.words, "sft.lr=0.25"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    opened: dict[str, int] = json.loads(done.stderr)
    store = {path: n for path, n in opened.items() if path.startswith(str(sweep.store.root)) and Path(path).is_file()}
    read = sorted(Path(path).parent.name for path in store)
    assert {Path(path).name for path in store} == {"manifest.json"}
    if verb == "plan":  # its estimate and its news are of everything that is there
        assert read == sweep.store.built()
    else:
        assert [key.split("-")[0] for key in read] == ["base", "dsyn", "evaluate"]
    confs = {path: n for path, n in opened.items() if path.startswith(str(ROOT / "conf"))}
    assert len(confs) > 10 and {*confs.values(), *store.values()} == {1}


@pytest.mark.parametrize(("verb", "table"), [((), ()), (("collect",), ("outcomes.parquet",))])
def test_what_is_built_is_run_and_collected_again_without_a_worker_or_a_look_into_weights(
    sweep: Sweep, tmp_path: Path, verb: tuple[str, ...], table: tuple[str, ...]
) -> None:
    """The sweep of `make reproduce` given again: what it takes is a start of Python and one read of each record."""
    place = ("--out", str(tmp_path / "table")) if verb else (f"hydra.sweep.dir={tmp_path / 'runs'}",)
    command = [sys.executable, "-c", COUNTED, *verb, "-m", *sweep.words, *place]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    opened: dict[str, int] = json.loads(done.stderr.splitlines()[-1])
    of_store = {path: n for path, n in opened.items() if Path(path).parent.parent == sweep.store.root}
    artifacts = {path: n for path, n in of_store.items() if not Path(path).parent.name.startswith(".")}
    assert {Path(path).name for path in artifacts} == {"manifest.json", *table}
    assert set(artifacts.values()) == {1}


def test_plan_as_json_has_counts_and_work_left(sweep: Sweep, said: Callable[..., Said]) -> None:
    code, out, err = said("plan", "-m", "--json", *sweep.words)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told.pop("n_workers") >= 1 and [one["name"] for one in told.pop("flow")][-1] == "evaluate"
    assert told == {
        "to_build": 0, "seconds": 0, "n_without_estimate": 0,
        "runs": 12, "stages": 35, "stages_unshared": 76, "cached": 35, "corrupted": [],
        "by_kind": {"base": 1, "dsyn": 1, "sft": 2, "evaluate": 13, "samples": 2, "train": 10, "advantages": 2,
                    "pairs": 4},
    }  # fmt: skip


def test_plan_names_the_field_that_made_a_stage_new(sweep: Sweep, said: Callable[..., Said]) -> None:
    code, out, _ = said("plan", "-m", *sweep.words, "sft.lr=0.25", "arm=sft")
    assert code == 0
    assert "2 runs = 7 unique stages (10 without sharing)" in out
    assert f"3 cached in {sweep.store.root}, 4 to build" in out
    assert "new: 2 x sft: optim.lr: 0.0005 -> 0.25" in out


def test_plan_says_what_is_new_in_lines_that_can_be_read(sweep: Sweep, said: Callable[..., Said]) -> None:
    words = [word for word in sweep.words if not word.startswith(("dataset.curriculum", "n_problems"))]
    more = "{n_documents: 8000, lr: 1e-2, tail_fraction: 0.5, batch_size: 32}"
    new = (f"dataset.curriculum=[{more},{more}]", "dataset.n_test=30", "dataset.n_values=5", "dataset.n_skills=9")
    _, out, _ = said("plan", "-m", *words, *new, "replicate=1,2,3", "n_problems=8,16")
    lines = [line for line in out.splitlines() if line.startswith("  new: ")]
    assert lines[0] == (  # 6 arms at 2 sizes and the base in 3 replicates; the replicates' seed is not among the first
        "  new: 39 x evaluate: dataset.curriculum: "
        '...tail_fraction": 0.4}] -> ...tail_fraction": 0.5}, {"batch_size...; '
        "dataset.n_skills: 8 -> 9; dataset.n_test: 40 -> 30; and 2 more"
    )
    assert "  new: 6 x sft: seed: another" in lines
    assert max(map(len, lines)) < 250 and len(set(lines)) == len(lines)
    assert sum(int(line.split()[1]) for line in lines) == 3 * 35  # each of the grid in 3 replicates, none cut off


def test_plan_estimates_time_from_stages_like_those_to_build(sweep: Sweep, said: Callable[..., Said]) -> None:
    _, out, _ = said("plan", "-m", *sweep.words, "seed=9")
    assert "s on 1 worker" in out
    assert "stages of which none like them was ever built" not in out


def test_plan_says_that_there_is_no_estimate_where_another_model_was_built(
    sweep: Sweep, said: Callable[..., Said]
) -> None:
    words = [word for word in sweep.words if not word.startswith("model.n_layers")]
    _, out, _ = said("plan", "-m", *words, "model.n_layers=1", "arm=sft")
    assert "not estimated: 6 stages of which none like them was ever built here" in out
    assert out.count("no estimate yet") == 3 and "s of work" not in out


def test_plan_of_an_empty_store_says_that_it_has_no_estimate(said: Callable[..., Said], tmp_path: Path) -> None:
    _, out, _ = said("plan", "-m", *tiny("arm=sft"), f"exec.store={tmp_path / 'none'}")
    assert "none of its kind is built" in out and "no estimate yet" in out
    assert "not estimated: 5 stages of which none like them was ever built here" in out
    assert not (tmp_path / "none").exists()


READERS = (("collect",), ("compare",), ("choose",), ("export",))
VERBS = (("plan",), ("status",), ("watch", "--once", "--terminal"), *READERS, ())


def test_all_verbs_and_the_run_tell_the_same_of_corrupted_artifacts(
    sweep_copy: Sweep, said: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")
    train = next(run.evaluate.parents["policy"].key for run in sweep_copy.plan.runs if "arm=dpo" in run.leaf.overrides)
    wanted, unwanted = sweep_copy.plan.runs[0].evaluate.key, train  # nothing that is still to be built needs the other
    (sweep_copy.store.folder(wanted) / "manifest.json").write_text("{")
    (sweep_copy.store.folder(unwanted) / "model.safetensors").write_bytes(b"cut")
    for verb in VERBS:
        code, out, err = said(*verb, "-m", *sweep_copy.words, f"hydra.sweep.dir={tmp_path / 'runs'}")
        told = " ".join((out + err).split())
        assert code == (2 if verb in READERS else 1), verb  # a reader refuses them, and nothing was broken by looking
        assert f"corrupted: {wanted} (evaluate sft n_problems=8 seed=0): " in told, verb
        assert "its manifest.json cannot be read" in told and "model.safetensors should have" in told, verb
        assert f"corrupted: {unwanted} ({label(sweep_copy.plan.stages[unwanted])}): " in told, verb
        remedy = "2 artifacts are corrupted: give the sweep command with exec.rebuild_corrupted=true, which sets them "
        assert remedy in told and "0 stages that need one cannot be built, 1 of 12 runs are incomplete" in told, verb
        assert "tries exactly these" not in told and "are built already" not in told, verb


def test_what_a_corrupted_artifact_bars_is_not_counted_as_to_build_unless_its_rebuild_is_asked_for(
    sweep_copy: Sweep, said: Callable[..., Said]
) -> None:
    run = next(run for run in sweep_copy.plan.runs if "arm=dpo" in run.leaf.overrides)
    train = run.evaluate.parents["policy"].key
    (sweep_copy.store.folder(train) / "model.safetensors").write_bytes(b"cut")
    sweep_copy.store.set_aside(run.evaluate.key)
    for verb in ("plan", "status"):
        barred, rebuilt = (
            said(verb, "--json", "-m", *sweep_copy.words, *more) for more in ((), ("exec.rebuild_corrupted=true",))
        )
        assert (barred[0], rebuilt[0]) == (1, 0)
        assert [json.loads(told[1])["to_build"] for told in (barred, rebuilt)] == [0, 2]
        assert [json.loads(told[1])["corrupted"] for told in (barred, rebuilt)] == [[train], [train]]
    out = said("status", "-m", *sweep_copy.words)[1]
    assert "33 stages built, 0 to build" in out
    assert "builds them again; 1 stage that needs one cannot be built, 1 of 12 runs are incomplete" in out
    assert (
        "1 artifact is corrupted: the sweep command with exec.rebuild_corrupted=true sets them aside"
        in (said("status", "-m", *sweep_copy.words, "exec.rebuild_corrupted=true")[1])
    )


def test_status_counts_complete_runs(sweep_copy: Sweep, said: Callable[..., Said]) -> None:
    sweep_copy.store.set_aside(sweep_copy.plan.runs[0].evaluate.key)
    code, out, _ = said("status", "-m", "--json", *sweep_copy.words)
    told = json.loads(out)
    assert code == 0
    assert (told["runs"], told["complete"], told["stages"], told["built"], told["to_build"]) == (12, 11, 35, 34, 1)


def test_status_tells_a_stage_that_runs_from_one_that_failed_one_that_was_killed_and_one_never_tried(
    sweep_copy: Sweep, said: Callable[..., Said]
) -> None:
    store = sweep_copy.store
    running, failed, killed, stopped, untried = [run.evaluate.key for run in sweep_copy.plan.runs[:5]]
    now = time.time()
    for key in (running, failed, killed, stopped, untried):
        store.set_aside(key)
    beat = Heartbeat("", "h1", "ann", 7, "", now - 900, "evaluate: prefix 8 of 40", now - 720, now, card="1")
    ends = {running: ("", ""), failed: ("failed", "ValueError: no"), killed: ("", ""), stopped: ("stopped", "asked")}
    for key, (outcome, error) in ends.items():
        write(path_of(store.root, key), replace(beat, key=key, outcome=outcome, error=error))
    with store.builds.lease(running):
        _, out, _ = said("status", "-m", *sweep_copy.words)
        told = json.loads(said("status", "-m", "--json", *sweep_copy.words)[1])
    keys = {"running": running, "failed": failed, "killed": killed, "stopped": stopped, "untried": untried}
    lines = {word: [line for line in out.splitlines() if key in line] for word, key in keys.items()}
    assert f"being built: {running}" in lines["running"][0] and f"process {os.getpid()}" in lines["running"][0]
    assert ", card 1, evaluate: prefix 8 of 40, no progress for 12 min" in lines["running"][0]
    assert f"  failed: {failed}" in lines["failed"][0] and lines["failed"][0].endswith("of 40: ValueError: no")
    assert f"  killed: {killed}" in lines["killed"][0] and "last seen 0 min ago" in lines["killed"][0]
    assert f"  stopped: {stopped}" in lines["stopped"][0]
    assert lines["untried"] == []
    assert (list(told["running"]), told["failed"], told["killed"], told["stopped"]) == (
        [running], [failed], [killed], [stopped],
    )  # fmt: skip


def test_an_axis_of_the_command_line_replaces_the_experiments(said: Callable[..., Said], tmp_path: Path) -> None:
    _, out, _ = said("plan", "-m", "--json", "experiment=smoke", "n_problems=32", f"exec.store={tmp_path}")
    assert json.loads(out)["runs"] == 11


# run


def test_each_run_leaves_the_config_it_was_composed_to_as_hydra_does(
    sweep: Sweep, said: Callable[..., Said], tmp_path: Path
) -> None:
    code, out, err = said("-m", *sweep.words, f"hydra.sweep.dir={tmp_path / 'runs'}")
    assert (code, err) == (0, "")
    assert "all 12 runs are built already" in out
    assert sorted(int(p.name) for p in (tmp_path / "runs").iterdir() if p.is_dir()) == list(range(12))
    for number, run in enumerate(sweep.plan.runs):
        folder = tmp_path / "runs" / str(number) / ".hydra"
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["n_problems"] == run.leaf.exp.n_problems
        assert config["method"]["name"] == run.leaf.exp.method.name
        assert config["sft"]["lr"] == 5e-4
        assert f"n_problems={config['n_problems']}" in yaml.safe_load((folder / "overrides.yaml").read_text())
        assert "hydra" in yaml.safe_load((folder / "hydra.yaml").read_text())


def test_a_single_run_needs_no_multirun(sweep: Sweep, said: Callable[..., Said], tmp_path: Path) -> None:
    words = [word for word in sweep.words if not word.startswith(("arm=", "n_problems="))]
    code, out, err = said(*words, "arm=rft", "n_problems=8", f"hydra.run.dir={tmp_path / 'one'}")
    assert (code, err) == (0, "")
    assert "the run is built already" in out
    assert (tmp_path / "one" / ".hydra" / "config.yaml").exists()


def test_hydras_own_flags_stay(said: Callable[..., Said]) -> None:
    code, out, _ = said("--cfg", "job", "seed=7")
    assert code == 0 and "seed: 7" in out


# collect, compare and logs


def test_collect_writes_a_table_that_says_how_it_came_to_be(
    sweep: Sweep, said: Callable[..., Said], tmp_path: Path
) -> None:
    code, out, err = said("collect", "-m", *sweep.words, "--out", str(tmp_path / "table"))
    assert (code, err) == (0, "")
    assert out == f"12 runs and the base model x 40 problems in {tmp_path / 'table'}\n"
    table = read_table(tmp_path / "table")
    assert len(table.runs) == 13
    assert table.provenance["config"]["n_problems"] == 8
    assert table.provenance["commands"][1].startswith("python -m sweep collect -m ")
    assert "torch" in table.provenance["versions"]


def test_collect_again_gives_the_same_bytes(sweep: Sweep, said: Callable[..., Said], tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        said("collect", "-m", *sweep.words, "--out", str(tmp_path / "table"))
        made.append({p.name: p.read_bytes() for p in (tmp_path / "table").iterdir()})
    assert made[0] == made[1]


def test_collect_says_what_table_of_another_grid_it_replaces(sweep: Sweep, said: Callable[..., Said]) -> None:
    small = ("collect", "-m", *sweep.words, "arm=sft", "--out", "table")
    whole = ("collect", "-m", *sweep.words, "--out", "table")
    assert [said(*line)[2] for line in (small, whole, whole)] == ["", "", ""]  # nothing is lost
    code, out, err = said(*small)
    assert code == 0 and out == "2 runs and the base model x 40 problems in table\n"
    line = f"`python -m sweep {' '.join(whole)}`"
    assert err == f"note: replaces the table of {line} in table: 12 runs and the base model, 10 not in the new one\n"
    finished = (*small[:-2], "--finished", "--out", "table")
    assert said(*finished)[2] == ""
    Path("table/runs.parquet").write_bytes(b"")
    assert said(*whole)[2] == ""


def test_collect_refuses_a_grid_that_is_not_finished(sweep_copy: Sweep, said: Callable[..., Said]) -> None:
    key = sweep_copy.plan.runs[0].evaluate.key
    sweep_copy.store.set_aside(key)
    code, _, err = said("collect", "-m", *sweep_copy.words, "--out", "table")
    assert code == 2
    assert f"not built: 1 of 12 runs, {key} (SFT n_problems=8 seed=0); give the sweep command again" in one_paragraph(
        err
    )
    assert not Path("table").exists()


def test_collect_of_what_is_finished_names_what_it_leaves_out(
    sweep_copy: Sweep, said: Callable[..., Said], tmp_path: Path
) -> None:
    run = sweep_copy.plan.runs[0]
    sweep_copy.store.set_aside(run.evaluate.key)
    assert run.leaf.exp.n_problems == 8
    code, out, err = said("collect", "-m", *sweep_copy.words, "--finished", "--out", str(tmp_path / "table"))
    assert (code, out) == (0, f"11 runs and the base model x 40 problems in {tmp_path / 'table'}\n")
    assert "note: left out, for they are not built: 1 of 12 runs, n_problems=8 arm=sft" in err
    table = read_table(tmp_path / "table")
    assert run.evaluate.key not in set(table.runs.run)
    assert table.provenance["not_built"] == {run.evaluate.key: "n_problems=8 arm=sft"}
    for one in sweep_copy.plan.runs[1:]:
        sweep_copy.store.set_aside(one.evaluate.key)
    for stage in sweep_copy.plan.base_evaluations:
        sweep_copy.store.set_aside(stage.key)
    code, _, err = said("collect", "-m", *sweep_copy.words, "--finished", "--out", "none")
    assert (
        code == 2 and "not built: 12 of 12 runs and the base model's evaluation, " in err and not Path("none").exists()
    )
    code, _, err = said("collect", "--from", "wandb", "me/mine", "--finished")
    assert code == 2 and "--finished: of the store on this machine alone" in one_paragraph(err)


def test_compare_refuses_test_problems(sweep: Sweep, said: Callable[..., Said]) -> None:
    code, _, err = said("compare", "-m", *sweep.words)
    assert code == 2
    assert "settings are chosen on validation problems alone; add evaluation=validation" in one_paragraph(err)


def test_compare_shows_what_the_runs_differ_in_and_whether_a_policy_broke(
    sweep_copy: Sweep, said: Callable[..., Said]
) -> None:
    words = (*TINY, f"exec.store={sweep_copy.store.root}", "arm=sft", "evaluation=validation", "n_problems=8,16")
    build_all(planned("arm=sft", "evaluation=validation", "n_problems=8,16"), sweep_copy.store)
    code, out, err = said("compare", "-m", *words)
    assert (code, err) == (0, "")
    head = "n_problems n_test n_correct n_correct_sampled n_sampled n_malformed entropy"
    assert out.splitlines()[0].split() == head.split() and len(out.splitlines()) == 3


def test_logs_print_what_a_stage_printed(sweep_copy: Sweep, said: Callable[..., Said]) -> None:
    path = sweep_copy.store.log_path("sft-0123456789abcdef")
    path.parent.mkdir(exist_ok=True)
    path.write_text("hello\n")
    assert said("logs", "sft-0123456789abcdef", f"exec.store={sweep_copy.store.root}") == (0, "hello\n", "")
    code, _, err = said("logs", "sft-0123456789abcde0", f"exec.store={sweep_copy.store.root}")
    assert code == 2 and "cde0.log: no such log; the stage was not tried in this store" in one_paragraph(err)
    code, _, err = said("logs", "../../x", f"exec.store={sweep_copy.store.root}")
    assert code == 2 and "'../../x' is not a key: expected a stage's kind" in one_paragraph(err)
    code, _, err = said("logs", "a-0123456789abcdef", "b-0123456789abcdef")
    assert code == 2 and "usage: python -m sweep logs [KEY]" in one_paragraph(err)


def test_logs_of_a_grid_name_each_stage_that_printed(sweep_copy: Sweep, said: Callable[..., Said]) -> None:
    for path in sweep_copy.store.log_path("sft-0123456789abcdef").parent.glob("*.log"):
        path.unlink()
    code, _, err = said("logs", "-m", *sweep_copy.words)
    assert code == 2 and "no stage of this grid has a log in" in one_paragraph(err)
    key = sweep_copy.plan.runs[3].evaluate.parents["policy"].key
    path = sweep_copy.store.log_path(key)
    path.parent.mkdir(exist_ok=True)
    path.write_text("hello\n")
    n_problems = sweep_copy.plan.runs[3].leaf.exp.n_problems
    told = f"{key}  train self step_dpo n_problems={n_problems} seed=0\n"
    assert said("logs", "-m", *sweep_copy.words) == (0, told, "")
    silent = [run.evaluate.key for run in sweep_copy.plan.runs[:2]]
    for other in silent:
        sweep_copy.store.log_path(other).touch()
    found = said("logs", "-m", *sweep_copy.words)
    assert found == (0, told, "2 stages have an empty log and printed nothing\n")


# launchers that are not ours


class ForkLauncher(Launcher):
    """Every grid point in a process of its own, whose result comes back pickled, as joblib's launcher does it."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        return [self._in_a_fork(list(words), n) for n, words in enumerate(job_overrides, start=initial_job_idx)]

    def _in_a_fork(self, words: list[str], number: int) -> JobReturn:
        config = self.context.config_loader.load_sweep_config(self.config, words)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        folders = {"job_dir_key": "hydra.sweep.dir", "job_subdir_key": "hydra.sweep.subdir"}
        reader, writer = multiprocessing.Pipe(duplex=False)
        if (child := os.fork()) == 0:
            try:
                done = run_job(self.task, config, hydra_context=self.context, configure_logging=False, **folders)
                writer.send_bytes(cloudpickle.dumps(done))
            finally:
                os._exit(0)
        writer.close()
        done = cloudpickle.loads(reader.recv_bytes())  # before the wait: a result may be larger than the pipe
        os.waitpid(child, 0)
        return done


@pytest.fixture
def fork_launcher(monkeypatch: pytest.MonkeyPatch) -> str:
    place = ModuleType("hydra_plugins.forks")
    place.ForkLauncher = ForkLauncher  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hydra_plugins.forks", place)
    monkeypatch.setattr(ForkLauncher, "__module__", "hydra_plugins.forks")
    Plugins.instance().register(ForkLauncher)
    return "+hydra.launcher._target_=hydra_plugins.forks.ForkLauncher"


@pytest.mark.parametrize("sizes", ["97,8", "8,97"])
def test_a_point_that_fails_under_hydras_basic_launcher_is_in_the_exit_code(
    sweep: Sweep, said: Callable[..., Said], sizes: str
) -> None:
    words = [word for word in sweep.words if not word.startswith(("arm=", "n_problems="))]
    code, out, err = said("-m", *words, "arm=rft", f"n_problems={sizes}", "hydra/launcher=basic")
    assert code == 2
    assert "n_problems=97 but dataset=skills has 96 train problems" in err and "n_problems=97" in err.splitlines()[-1]
    assert "the run is built already" in out  # the other point was tried all the same


@pytest.mark.parametrize("sizes", ["97,8", "8,97"])
def test_a_point_that_fails_in_another_process_is_in_the_exit_code(
    sweep: Sweep, said: Callable[..., Said], fork_launcher: str, sizes: str
) -> None:
    words = [word for word in sweep.words if not word.startswith(("arm=", "n_problems="))]
    launcher = ["hydra/launcher=basic", fork_launcher.removeprefix("+")]
    assert said("-m", *words, "arm=rft", f"n_problems={sizes}", *launcher)[0] == 2


def test_points_that_are_all_built_end_well_under_hydras_basic_launcher(
    sweep: Sweep, said: Callable[..., Said]
) -> None:
    words = [word for word in sweep.words if not word.startswith(("arm=", "n_problems="))]
    assert said("-m", *words, "arm=rft,dpo", "n_problems=8", "hydra/launcher=basic")[0] == 0


# mistakes


@pytest.mark.parametrize("verb", [[], ["-m"], ["plan", "-m"]])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sft.nope=1"], "Could not override 'sft.nope'; Key 'nope' not in 'OptimConfig'; valid keys there: batch"),
        (["+sft.nope=1"], "unknown key nope in sft; the valid ones are lr, passes, batch_size"),
        (["+nope=1"], "unknown key nope; the valid ones are dataset, model, teacher"),
        (["method=nope"], "Could not find 'method/nope' Available options in 'method': chosen_sft distant_dpo"),
        (["experiment=nope"], "Could not find 'experiment/nope' Available options in 'experiment': "),
        (["seed=abc"], "seed must be a whole number from 0 to 2**63 - 1; found 'abc'"),
        (["sft={lr: [1"], "a bracket is not closed"),
        (["n_problems=0"], "n_problems must be a whole number from 1 to 10000000; found 0"),
        (["method.optim.lr=-1"], "method.optim.lr must be a finite number above 0 and at most 1e+38; found -1"),
        (["+dataset.nope=1"], "unknown key nope in dataset; the valid ones are domain_seed"),
        (["dataset=gsm8k", "dataset.test_path=/no/such.jsonl"], "/no/such.jsonl can't be read (No such file"),
    ],
)
def test_a_mistake_is_one_paragraph_with_exit_code_2(
    verb: list[str], words: list[str], told: str, said: Callable[..., Said]
) -> None:
    code, _, err = said(*verb, *words, "exec.store=never")
    assert code == 2
    assert told in one_paragraph(err)
    assert not Path("never").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-m", "seed=0,0"], "two grid points are the same run: seed=0 exec.store=never and seed=0 exec.store=never"),
        (["-m", "hydra/launcher=nope"], "Available options in 'hydra/launcher': basic local slurm"),
        (["seed=0,1"], "To sweep over it, add --multirun to your command line"),
        (["plan", "--jsn"], "unknown option --jsn (did you mean --json?); usage: python -m sweep plan [--json]"),
    ],
)
def test_a_mistake_of_one_way_to_start_is_told_too(words: list[str], told: str, said: Callable[..., Said]) -> None:
    code, _, err = said(*words, "exec.store=never")
    assert code == 2
    assert told in one_paragraph(err)


def test_a_store_that_cannot_be_written_is_one_paragraph(said: Callable[..., Said]) -> None:
    Path("file").write_text("")
    code, _, err = said("-m", *tiny("arm=sft"), "exec.store=file/store")
    assert code == 2
    assert "which is a file, expected a folder; choose another with exec.store=FOLDER" in one_paragraph(err)


def test_the_real_command_tells_a_mistake_the_same_way(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "sweep", "-m", "sft.nope=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "valid keys there: batch_size" in one_paragraph(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("-u -m sweep plan -m experiment=smoke", 0, ""),
        ("-m sweep help", 0, ""),  # all of it in Python's own buffer until the end
        ("-m sweep sync exec.store={}", 141, "sync: nobody reads what it says any more, so it ended; give the same"),
    ],
)
def test_a_reader_that_has_seen_enough_ends_the_output_without_a_traceback(
    words: str, code: int, told: str, tmp_path: Path
) -> None:
    line = [sys.executable, *words.format(tmp_path).split()]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err[: len(told) or None]) == (code, told)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_changes_nothing_and_no_file_takes_its_place(
    closed: str, tmp_path: Path
) -> None:
    show = "import os, sys; from sweep.terminal import streams; streams.settle(); file = open('new'); "
    show += "print('said'); sys.stderr.write('told'); sys.exit(0 if file.fileno() > 2 else 1)"
    (tmp_path / "new").touch()
    script = f'exec "$0" -c "$1" {closed}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, show], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, (tmp_path / "new").read_text()) == (0, "")
    assert (done.stdout, done.stderr) == (
        "" if " >&-" in f" {closed}" else "said\n",
        "" if "2>&-" in closed else "told",
    )


# one parser for every verb

MINE = """# @package _global_
dataset: {n_train: 96, n_validation: 8, n_test: 40, n_skills: 40, n_head: 20}
hydra: {mode: MULTIRUN, sweeper: {params: {arm: sft, n_problems: "32", seed: "0"}}}
exec: {store: mine, sweep_name: mine}
"""


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("plan {}", 0, "1 run = 5 unique stages"),
        ("{} plan -m", 0, "1 run = 5 unique stages"),
        ("-m {} status --json", 0, '"runs": 1'),
        ("collect {}", 2, "not built: 1 of 1 run and the base model's evaluation, "),
        ("compare {}", 2, "settings are chosen on validation problems"),
        ("logs sft-0123456789abcdef {}", 2, "mine/.logs/sft-0123456789abcdef.log: no such log"),
        ("cancel {}", 2, "mine has no SLURM submission"),
        ("retry {}", 2, "mine has no SLURM submission"),
        ("--cfg job {}", 0, "store: mine"),
    ],
)
def test_every_verb_finds_a_configuration_of_the_users_own(
    words: str, code: int, told: str, said: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(MINE)
    found, out, err = said(*words.format("--config-dir own experiment=mine").split())
    assert found == code, err
    assert told in (one_paragraph(err) if code else out)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("plan -cd nowhere", "--config-dir nowhere: no such folder"),
        ("plna", "plna is neither a verb nor KEY=VALUE (did you mean plan?); the verbs are run, plan"),
        ("plan seed", "seed: plan takes options and KEY=VALUE alone"),
        ("plan --cfg job", "--cfg is an option of run, not of plan"),
        ("plan --out x", "--out is an option of collect, merge, choose, watch, export, not of plan"),
        ("plan --experimental-rerun x", "the same command again resumes it"),
        ("collect --out", "argument --out: expected one argument"),
        ("collect --out=", "argument --out: expected a file or folder, found ''; is a variable of the shell unset?"),
        ("logs a b", "usage: python -m sweep logs [KEY]"),
        ("merge a", "usage: python -m sweep merge TABLE TABLE..."),
        ("cancel a b", "usage: python -m sweep cancel [SUBMISSION]"),
        ("help colect", "help colect: no such verb (did you mean collect?); there are run, plan"),
        ("plan variant=sure_shortcutt", "(did you mean sure_shortcut?)"),
        ("plan model=tiny", "(did you mean tiny_llama?)"),
        ("plan tracking=none", "(did you mean jsonl?)"),
        ("plan tracking=off", "(did you mean jsonl?)"),
        (
            "plan dataset.name=mine",
            "found 'mine'; name is the kind of the data, whose own name goes into dataset.title",
        ),
        (
            "merge a b --out file/table",
            "--out=file/table must be a folder this user can write to, found: Not a directory",
        ),
        (
            "collect --out file/table",
            "--out=file/table must be a folder this user can write to, found: Not a directory",
        ),
        ("plan exec.store=file", "exec.store=file is a file, expected a folder"),
        ("status exec.store=file", "exec.store=file is a file, expected a folder"),
        ("status exec.store=/dev/null", "exec.store=/dev/null is a file, expected a folder"),
        ("-m hydra.sweep.dir=file/runs", "hydra.sweep.dir=file/runs must be a folder this user can write to"),
    ],
)
def test_a_line_that_is_not_understood_names_the_word_and_what_is_like_it(
    words: str, told: str, said: Callable[..., Said]
) -> None:
    Path("file").write_text("")
    code, _, err = said(*words.split())
    assert code == 2
    assert told in one_paragraph(err)
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("help", "variant: blind_filter"),
        ("help", "evaluation: test, unseen, validation"),
        ("--help", "hydra/launcher: "),
        ("-h", "Config groups"),
        ("logs --help", "usage: python -m sweep logs [KEY]"),
        ("plan -h", "usage: python -m sweep plan [--json]"),
        ("help collect", "one table of the grid's finished runs"),
        ("retry --help", "retry [SUBMISSION]"),
    ],
)
def test_help_is_everywhere(words: str, told: str, said: Callable[..., Said]) -> None:
    code, out, err = said(*words.split())
    assert (code, err) == (0, "")
    assert told in out
