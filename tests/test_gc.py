"""Collecting artifacts that no grid reaches: only what is an artifact goes, and only where a name was given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_sweep import Sweep, planned

from sweep import grids
from sweep.artifacts import Store
from sweep.commands.gc import gc_command
from sweep.commands.words import line_of
from sweep.config import Exec
from sweep.plan import Plan

SMALL = ("arm=sft", "n_problems=8")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/one.yaml").touch()
    return tmp_path / "conf"


@pytest.fixture
def gc(sweep_copy: Sweep, conf: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command on the copy, where every composition gives the small grid; what it printed."""

    def composed(overrides: list[str]) -> tuple[Plan, Exec]:
        if "broken" in " ".join(overrides):
            raise ValueError("model.revision has no value")
        return planned(*SMALL), Exec(store=str(sweep_copy.store.root))

    def run(*words: str, composed: Callable[[list[str]], tuple[Plan, Exec]] = composed) -> str:
        try:
            gc_command(line_of(["gc", "--config-path", str(conf), *words], ["run", "gc"]), composed)
        finally:
            said.append(capsys.readouterr().out)
        return said[-1]

    said: list[str] = []
    shutil.rmtree(sweep_copy.store.root / ".grids", ignore_errors=True)  # of other tests that read the shared sweep
    return run


def noted(sweep: Sweep, name: str = "big") -> None:
    grids.note(sweep.store, name, sweep.plan.parents())


def test_a_grid_that_was_run_here_keeps_all_its_artifacts(sweep_copy: Sweep, gc: Callable[..., str]) -> None:
    noted(sweep_copy)
    before = sweep_copy.store.built()
    said = gc("--delete")
    assert sweep_copy.store.built() == before
    assert "big: 35 stages, kept" in said and "0 of 35 artifacts, 0.00 GB, are reached by no grid" in said


def test_an_experiment_of_a_further_folder_of_configuration_is_known_by_its_name(
    gc: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/two.yaml").touch()
    with pytest.raises(ValueError, match=r"--without three: no such experiment, .* there are one, two, unrecorded"):
        gc("--config-dir", str(tmp_path / "mine"), "--without", "three")


def test_a_dry_run_names_what_a_released_grid_alone_reaches_and_delete_removes_it(
    sweep_copy: Sweep, gc: Callable[..., str]
) -> None:
    noted(sweep_copy)
    small, lost = set(planned(*SMALL).stages), set(sweep_copy.plan.stages) - set(planned(*SMALL).stages)
    said = gc("--without", "big")
    assert {line.split()[-1] for line in said.splitlines() if line.startswith("unreached")} == lost
    assert "big: 35 stages, not kept" in said and "this was a dry run" in said
    assert set(sweep_copy.store.built()) == small | lost
    said = gc("--delete", "--without", "big")
    assert {line.split()[-1] for line in said.splitlines() if line.startswith("removed")} == lost
    assert set(sweep_copy.store.built()) == small


def test_artifacts_of_no_recorded_grid_are_named_and_stay_until_they_are_asked_for(
    sweep_copy: Sweep, gc: Callable[..., str]
) -> None:
    before = sweep_copy.store.built()
    lost = set(before) - set(planned(*SMALL).stages)
    said = gc("--delete")
    assert sweep_copy.store.built() == before
    assert all(f"left       {key}: no recorded grid mentions it" in said for key in lost)
    gc("--delete", "--without", "unrecorded")
    assert set(sweep_copy.store.built()) == set(planned(*SMALL).stages)


def test_what_is_no_artifact_is_named_and_left(sweep_copy: Sweep, gc: Callable[..., str], tmp_path: Path) -> None:
    store = sweep_copy.store
    real = next(key for key in store.built() if key not in planned(*SMALL).stages)
    (store.root / "report").mkdir()
    (store.root / "sft-0123456789abcdef").mkdir()  # only its name is like an artifact's
    shutil.copytree(store.folder(real), store.root / f"{real.split('-')[0]}-0123456789abcdef")
    shutil.move(store.folder(real), tmp_path / "elsewhere")
    store.folder(real).symlink_to(tmp_path / "elsewhere")
    (store.root / "notes.txt").touch()
    (store.root / ".building" / "sft-0123456789abcdef.old.1.ab").mkdir(parents=True, exist_ok=True)
    said = gc("--delete", "--without", "unrecorded")
    left = {line.split()[1].rstrip(":"): line for line in said.splitlines() if line.startswith("left")}
    assert "its name is not <kind>-<16 hex" in left["report"] and "its name is not" in left["notes.txt"]
    assert "cannot be read: there is none" in left["sft-0123456789abcdef"]
    assert f"its manifest is that of {real}" in left[f"{real.split('-')[0]}-0123456789abcdef"]
    assert "it is a symbolic link" in left[real]
    assert "a build folder without a lock" in left[".building/sft-0123456789abcdef.old.1.ab"]
    assert all((store.root / name).exists() for name in left)


def test_an_artifact_that_somebody_put_a_file_into_stays_with_what_it_was_built_from(
    sweep_copy: Sweep, gc: Callable[..., str]
) -> None:
    end = sweep_copy.plan.runs[-1].evaluate
    policy = end.parents["policy"]
    (sweep_copy.store.folder(policy.key) / "thesis.md").write_text("mine")
    said = gc("--delete", "--without", "unrecorded")
    assert f"left       {policy.key}: holds what its manifest does not list: thesis.md" in said
    assert {policy.key, *(stage.key for stage in policy.ancestors())} <= set(sweep_copy.store.built())
    assert end.key not in sweep_copy.store.built()


def test_what_is_built_or_run_at_this_moment_is_never_removed(sweep_copy: Sweep, gc: Callable[..., str]) -> None:
    noted(sweep_copy)
    end = sweep_copy.plan.runs[-1].evaluate
    with Store(sweep_copy.store.root).builds.lease(end.key):
        gc("--delete", "--without", "big")
        assert {end.key, *(stage.key for stage in end.ancestors())} <= set(sweep_copy.store.built())
    left = sweep_copy.store.built()
    with grids.running(sweep_copy.store, "big", sweep_copy.plan.parents()):
        assert "big: 35 stages, runs at this moment, kept" in gc("--delete", "--without", "big")
        assert sweep_copy.store.built() == left
    gc("--delete", "--without", "big")
    assert set(sweep_copy.store.built()) == set(planned(*SMALL).stages)


def test_an_experiment_that_cannot_be_composed_keeps_everything_and_no_advice_deletes(
    sweep_copy: Sweep, gc: Callable[..., str], conf: Path
) -> None:
    (conf / "experiment/broken.yaml").touch()
    before = sweep_copy.store.built()
    with pytest.raises(ValueError, match="nothing was deleted: broken cannot be composed or read here") as refusal:
        gc("--delete", "--without", "unrecorded")
    assert sweep_copy.store.built() == before
    assert "--delete" not in str(refusal.value) and "--keep 'experiment=broken SETTING=VALUE'" in str(refusal.value)
    assert gc("--delete", "--without", "unrecorded", "--without", "broken").count("removed") > 0


def test_nothing_is_composed_where_every_artifact_is_of_a_grid_that_was_run(
    sweep_copy: Sweep, gc: Callable[..., str], conf: Path
) -> None:
    def composed(overrides: list[str]) -> tuple[Plan, Exec]:
        assert not overrides, "an experiment was composed"
        return planned(*SMALL), Exec(store=str(sweep_copy.store.root))

    noted(sweep_copy)
    assert "big: 35 stages, kept\n0 of 35 artifacts" in gc("--delete", composed=composed)
    with pytest.raises(AssertionError, match="an experiment was composed"):
        gc("--without", "big", composed=composed)


def test_what_is_composed_is_said_first_and_what_cannot_be_on_one_line(
    sweep_copy: Sweep, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("math", "math_tune", "gsm8k"):
        (conf / f"experiment/{name}.yaml").touch()

    def composed(overrides: list[str]) -> tuple[Plan, Exec]:
        name = "".join(overrides).removeprefix("experiment=").removesuffix("_tune")
        if name in ("math", "gsm8k"):
            raise ValueError(f"{name}.jsonl can't be read; give another")
        return planned(*SMALL), Exec(store=str(sweep_copy.store.root))

    gc_command(line_of(["gc", "--config-path", str(conf)], ["run", "gc"]), composed)
    said = capsys.readouterr()
    assert said.err == "composing 4 experiments, for what they reach is kept; this can take minutes\n"
    (line,) = [line for line in said.out.splitlines() if line.startswith("not known")]
    whys = "gsm8k: gsm8k.jsonl can't be read; math, math_tune: math.jsonl can't be read"
    assert line == f"not known what 3 grids reach: {whys}"


def test_a_grid_that_says_what_an_experiment_lacks_stands_for_it(sweep_copy: Sweep, gc: Callable[..., str]) -> None:
    def composed(overrides: list[str]) -> tuple[Plan, Exec]:
        if overrides and overrides != ["experiment=one", "model.revision=abc"]:
            raise ValueError("model.revision has no value")
        return planned(*SMALL), Exec(store=str(sweep_copy.store.root))

    words = ("--delete", "--keep", "experiment=one model.revision=abc", "--without", "unrecorded")
    gc(*words, composed=composed)
    assert set(sweep_copy.store.built()) == set(planned(*SMALL).stages)


@pytest.mark.parametrize(
    "text", ["{", '{"name": 1}', '{"name": "x", "command": [], "created": "", "parents": {"../x": []}}']
)
def test_a_grid_record_that_cannot_be_read_keeps_everything(
    sweep_copy: Sweep, gc: Callable[..., str], text: str
) -> None:
    noted(sweep_copy)
    (sweep_copy.store.root / ".grids/0123456789abcdef.json").write_text(text)
    with pytest.raises(ValueError, match=r"nothing was deleted: .grids/0123456789abcdef.json cannot be composed or re"):
        gc("--delete", "--without", "big")
    assert len(sweep_copy.store.built()) == 35


def test_a_grid_record_that_was_edited_or_moved_keeps_everything(sweep_copy: Sweep, gc: Callable[..., str]) -> None:
    digest = grids.note(sweep_copy.store, "big", sweep_copy.plan.parents())
    path = sweep_copy.store.root / ".grids" / f"{digest}.json"
    whole, built = path.read_text(), sweep_copy.store.built()
    emptied = json.dumps({**json.loads(whole), "parents": {}})
    renamed = json.dumps({**json.loads(whole), "name": "small"})
    for text in (emptied, renamed):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"nothing was deleted: .grids/{digest}.json cannot be composed or read"):
            gc("--delete", "--without", "unrecorded")
        assert sweep_copy.store.built() == built
    (_, problems) = grids.grids(sweep_copy.store)
    assert "it was changed since it was written" in problems[f".grids/{digest}.json"]
    gc("--delete", "--without", f".grids/{digest}.json")  # passed over: what it told of is now of no record, and stays
    assert sweep_copy.store.built() == built


def test_a_wrong_word_or_name_is_refused(gc: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=r"--without two: no such experiment, grid or submission; there are one"):
        gc("--without", "two")
    with pytest.raises(ValueError, match="surplus: gc takes options and KEY=VALUE alone"):
        gc("surplus")


def test_the_same_grid_is_noted_once_and_by_its_command(sweep_copy: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sweep", "-m", "experiment=big"])
    assert grids.note(sweep_copy.store, "big", sweep_copy.plan.parents()) == grids.note(
        sweep_copy.store, "big", sweep_copy.plan.parents()
    )
    (path,) = (sweep_copy.store.root / ".grids").glob("*.json")
    assert json.loads(path.read_text())["command"] == ["-m", "experiment=big"]
    (grid,), problems = grids.grids(sweep_copy.store)
    assert grid.parents == {key: tuple(sorted(of)) for key, of in sweep_copy.plan.parents().items()}
    assert problems == {} and not grids.is_running(sweep_copy.store, grid)
