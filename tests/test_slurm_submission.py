"""A submission on disk: what its jobs run is its owner's, unchanged, and written by nobody else."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_slurm import put_on_path
from submitit.slurm.slurm import _make_sbatch_string
from test_slurm_settings import settings
from tiny_sweep import Sweep, planned

from sweep.__main__ import VERBS
from sweep.artifacts import Store
from sweep.commands.jobs import retry_command
from sweep.commands.words import line_of
from sweep.config import Exec, TrackingConfig
from sweep.launchers.slurm import ownership
from sweep.launchers.slurm.graph import Array
from sweep.launchers.slurm.job import Job
from sweep.launchers.slurm.ownership import check_ours, name_of, ours_alone, permissions
from sweep.launchers.slurm.records import append, noted
from sweep.launchers.slurm.sbatch import script_parameters
from sweep.launchers.slurm.snapshot import Snapshot, sha256_of, snapshot
from sweep.launchers.slurm.submission import Submission, create, shared_folder, submissions
from sweep.launchers.slurm.submit import go_on
from sweep.launchers.slurm.watch import pick


@pytest.fixture(autouse=True)
def _commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = 'while [[ "$1" = -* ]]; do case "$1" in --output|--error) shift;; esac; shift; done; exec "$@"'
    put_on_path(tmp_path / "bin", monkeypatch, {"srun": step})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of another project's size: a package of two files, no git."""
    for name in ("sweep/__init__.py", "sweep/methods/dpo.py", "conf/config.yaml"):
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / name).write_text(f"# {name}\n")
    return tmp_path / "checkout"


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def submitted(store: Store, checkout: Path, exec: Exec | None = None, **more: Any) -> Submission:
    exec = exec or Exec(store=str(store.root), sweep_name="my.sweep")
    code = snapshot(shared_folder(store, "code"), checkout)
    tracking = TrackingConfig(name="jsonl")
    return create(planned("arm=sft", "n_problems=8"), store, exec, tracking, settings(exec, **more), code, ["sweep"])


def run_script(submission: Submission, command: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """What bash makes of the script of a job that runs a command."""
    folder = submission.folder / "jobs/000"
    folder.mkdir(exist_ok=True)
    chosen = {"time": 5, "additional_parameters": {}, "setup": submission.settings["options"]["setup"]}
    chosen["setup"] = [line for line in chosen["setup"] if line != "site"]
    parameters = script_parameters(submission, folder, chosen, {"array": "0"}, "train", umask)
    script = _make_sbatch_string(command, folder, **parameters)
    (folder / "script.sh").write_text(script)
    return subprocess.run(["bash", folder / "script.sh"], capture_output=True, text=True, check=False, timeout=60)


# ---------------------------------------------------------------- whose files


def test_nothing_that_jobs_run_is_written_by_others_whatever_the_umask(
    umask: int, tmp_path: Path, checkout: Path
) -> None:
    store = Store(tmp_path / "store")
    submission = submitted(store, checkout)
    tops = [submission.folder, submission.code.path]
    for path in [*tops, *(path for top in tops for path in top.rglob("*"))]:
        assert not path.stat().st_mode & 0o022, path
    submission.check_is_ours()
    submission.code.check()
    assert permissions() == umask
    for folder in (store.root / ".slurm", store.root / ".slurm/code"):  # each user's own cannot be moved by others
        assert stat.S_IMODE(folder.stat().st_mode) == 0o1777 & ~umask


@pytest.mark.parametrize("link", [".slurm", ".slurm/code"])
def test_a_folder_that_is_a_link_is_not_written_into(tmp_path: Path, checkout: Path, link: str) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    (store.root / link).parent.mkdir(parents=True)
    (store.root / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"{link}: expected a folder, found a symbolic link; it is not followed"):
        submitted(store, checkout)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_others_can_write_is_refused(tmp_path: Path, checkout: Path) -> None:
    submission = submitted(Store(tmp_path / "store"), checkout)
    (submission.folder / "submission.json").chmod(0o664)
    with pytest.raises(ValueError, match=r"submission.json has the mode 0664, so others could have written what would"):
        go_on(submission, is_retry=True)
    (submission.folder / "submission.json").chmod(0o644)
    (submission.folder / "arrays.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match=r"arrays.jsonl is a link, so others could have"):
        submission.check_is_ours()


def retry(words: list[str]) -> int:
    return retry_command(line_of(["retry", *words], list(VERBS)))


def test_retry_without_a_name_takes_ones_own_and_refuses_anothers(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"no SLURM submission of yours: there is none at all; name another store"):
        retry([f"exec.store={store.root}"])
    theirs = submitted(store, checkout)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ValueError, match=f"no SLURM submission of yours: the latest are {theirs.folder.name} of "):
        retry([f"exec.store={store.root}"])
    with pytest.raises(ValueError, match=f"belongs to {name_of(mine)}: its setup lines and its code would be run as 1"):
        retry([theirs.folder.name, f"exec.store={store.root}"])
    assert pick(store, theirs.folder.name) == theirs and theirs.owner == name_of(mine)
    monkeypatch.setattr(os, "getuid", lambda: mine)
    assert pick(store, None) == theirs


@pytest.mark.skipif(os.geteuid() != 0, reason="acts as two users")
def test_two_users_of_one_store_do_not_run_each_others(tmp_path: Path) -> None:
    """The second user plants a submission that is newer; the first one's retry does not take it."""
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(0o2777)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    plant = (
        f"mkdir -p {root}/.slurm/99999999-planted && chmod 1777 {root}/.slurm && echo '{{}}' > "
        f"{root}/.slurm/99999999-planted/submission.json"
    )
    as_other = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    subprocess.run([*as_other, "bash", "-c", plant], check=True)
    with pytest.raises(ValueError, match=r"no SLURM submission of yours: the latest are 99999999-planted of 12345"):
        retry([f"exec.store={root}"])
    with pytest.raises(ValueError, match="99999999-planted belongs to 12345"):
        retry(["99999999-planted", f"exec.store={root}"])


def test_a_submission_that_cannot_be_read_is_named(tmp_path: Path, checkout: Path, monkeypatch: Any) -> None:
    store = Store(tmp_path / "store")
    submission = submitted(store, checkout)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match=f"{submission.folder} of .* cannot be read, so what it builds is not known"):
        submissions(store)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("submission.json", b'{"user": ', "submission.json: "), ("stages.json", b"[" * 100_000, "stages.json: "),
        ("over", b"[]", "over: "), ("arrays.jsonl", b'{"number": 0}\n\xff\n', "arrays.jsonl, line 2: "),
        ("attempts/7_0.jsonl", b'{"time": 1, \n{"time": 2}\n', "attempts/7_0.jsonl, line 1: "),
    ],
)  # fmt: skip
def test_a_record_that_is_damaged_is_named(
    tmp_path: Path, checkout: Path, name: str, content: bytes, where: str
) -> None:
    submission = Submission(submitted(Store(tmp_path / "store"), checkout).folder)
    (submission.folder / name).write_bytes(content)
    told = re.escape(f"{submission.folder}/{where}") + "expected a JSON object as a submission writes it"
    with pytest.raises(ValueError, match=told):
        _ = submission.settings, submission.stages, submission.ended(), submission.arrays(), submission.attempts()


def test_a_row_that_a_full_disk_cuts_off_is_taken_back_and_one_that_a_kill_cut_off_was_never_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written = tmp_path / "rows.jsonl", os.write
    append(path, {"a": 1})
    with monkeypatch.context() as full, pytest.raises(OSError, match="No space left on device"):
        full.setattr(os, "write", lambda descriptor, line: written(descriptor, line[:3]))
        append(path, {"a": 2})
    append(path, {"a": 3})
    assert noted(path) == [{"a": 1}, {"a": 3}]
    path.write_bytes(path.read_bytes() + b'{"a": 4}')
    assert noted(path) == [{"a": 1}, {"a": 3}] and noted(tmp_path / "none") == []


def test_a_users_number_stands_where_there_is_no_name(tmp_path: Path) -> None:
    assert name_of(0) == "root" and name_of(987654) == "987654"
    with ours_alone():
        (tmp_path / "x").write_text("")
    check_ours([tmp_path / "x"])
    assert ownership.me() == name_of(os.getuid())


def test_the_resources_of_a_submission_read_back_as_they_were(tmp_path: Path, checkout: Path) -> None:
    exec = Exec(store=str(tmp_path / "store"), sweep_name="my.sweep", n_threads=3, device="cpu")
    exec.limits_minutes.train = 5.0
    assert submitted(Store(tmp_path / "store"), checkout, exec).exec == exec


HANGS = """
import time
from pathlib import Path
from types import SimpleNamespace
from sweep.artifacts import Stage
from sweep.config import Exec, Limits
from sweep.launchers.slurm.job import Job

job = Job(Path("/nowhere"), 0)
job.exec, job.job = Exec(limits_minutes=Limits(train={limit})), "7_0"
stage = Stage("train", 1, {{}})
rows = [{{"job": "7_0", "key": stage.key, "seconds": 59.9}}, {{"job": "8_0", "key": stage.key, "seconds": 1e9}}]
job.submission = SimpleNamespace(attempts=lambda: rows)

def hang_here():
    time.sleep(3)

with job._limited(Stage("sft", 1, {{}})), job._limited(stage):
    hang_here()
print("went on")
"""


def test_a_stage_that_takes_longer_than_its_limit_ends_the_job_and_says_where_it_was() -> None:
    command = [sys.executable, "-c", HANGS.format(limit=1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1 and "went on" not in done.stdout
    assert "exec.limits_minutes.train=1: ends in 0 s" in done.stderr and "in hang_here" in done.stderr
    command[-1] = HANGS.format(limit=9)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0 and "went on" in done.stdout


def test_a_stage_that_a_job_s_card_has_no_room_for_says_what_to_lower(
    sweep_copy: Sweep, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("sweep.launchers.execute.build", build)
    job = Job(submitted(sweep_copy.store, checkout).folder, 0)
    job.store, job.exec, job.job, job.n_restarts, job.changed = job.submission.store, job.submission.exec, "7_0", 0, {}
    stages = {stage.kind: stage for stage in sweep_copy.plan.stages.values()}
    assert [job._build(stages[kind]) for kind in ("samples", "train")] == ["failed", "failed"]
    advices = ("lower exec.max_rows", "exec.gradient_checkpointing=true")
    for row, advice in zip(job.submission.attempts(), advices, strict=True):
        assert row["error"].startswith("OutOfMemoryError: CUDA out of memory.; it had the job's cards to itself: lower")
        assert advice in row["error"]


# ---------------------------------------------------------------- the copy of the code


def test_a_copy_is_used_again_and_named_by_its_content(tmp_path: Path, checkout: Path) -> None:
    first = snapshot(tmp_path / "code", checkout)
    assert snapshot(tmp_path / "code", checkout) == first and first.path.name == first.sha256[:16]
    assert sorted(p.relative_to(first.path).as_posix() for p in first.path.rglob("*") if p.is_file()) == [
        "conf/config.yaml", "git.json", "sweep/__init__.py", "sweep/methods/dpo.py",
    ]  # fmt: skip
    (checkout / "sweep/methods/dpo.py").write_text("other = 1\n")
    assert snapshot(tmp_path / "code", checkout).path != first.path
    assert "not a git repository" in json.loads((first.path / "git.json").read_text())["reason"]


def test_no_secret_no_link_and_no_wider_permission_is_copied(tmp_path: Path, checkout: Path, capsys: Any) -> None:
    (checkout / "sweep/.env").write_text("KEY=1")
    (checkout / "sweep/secret.txt").symlink_to("/etc/passwd")
    (checkout / "sweep/linked.py").symlink_to("/etc/passwd")
    (checkout / "sweep/methods/dpo.py").chmod(0o600)
    (checkout / "sweep/__init__.py").chmod(0o666)
    copy = snapshot(tmp_path / "code", checkout).path
    names = {path.name for path in copy.rglob("*")}
    assert not {".env", "secret.txt", "linked.py"} & names
    assert stat.S_IMODE((copy / "sweep/methods/dpo.py").stat().st_mode) == 0o600
    assert stat.S_IMODE((copy / "sweep/__init__.py").stat().st_mode) == 0o644
    assert "linked.py is a link and was not copied: jobs run without it" in capsys.readouterr().err


def tamper_edit(folder: Path) -> None:
    (folder / "sweep/methods/dpo.py").write_text("evil = 1\n")


def tamper_add(folder: Path) -> None:
    (folder / "torch.py").write_text("evil = 1\n")


def tamper_link(folder: Path) -> None:
    (folder / "torch.py").symlink_to("/etc/passwd")


def tamper_compiled(folder: Path) -> None:
    (folder / "sweep/__pycache__").mkdir()
    (folder / "sweep/__pycache__/__init__.cpython-311.pyc").write_bytes(b"evil")


def tamper_remove(folder: Path) -> None:
    (folder / "sweep/methods/dpo.py").unlink()


@pytest.mark.parametrize("tamper", [tamper_edit, tamper_add, tamper_link, tamper_compiled, tamper_remove])
def test_a_copy_that_was_changed_is_not_run_and_not_used_again(tmp_path: Path, checkout: Path, tamper: Any) -> None:
    submission = submitted(Store(tmp_path / "store"), checkout)
    assert run_script(submission, "echo the stage").returncode == 0
    tamper(submission.code.path)
    with pytest.raises(ValueError, match="is not the code that was submitted; give the sweep command again"):
        go_on(submission, is_retry=True)
    done = run_script(submission, "echo the stage")
    assert done.returncode == 1 and "the stage" not in done.stdout
    assert "is not the code that was submitted, nothing is run" in done.stderr
    again = submitted(Store(tmp_path / "store"), checkout)
    assert again.code.path != submission.code.path and again.code.sha256 == submission.code.sha256
    assert "the stage" in run_script(again, "echo the stage").stdout


def test_a_copy_that_is_gone_or_of_an_earlier_version_is_refused(tmp_path: Path, checkout: Path) -> None:
    submission = submitted(Store(tmp_path / "store"), checkout)
    shutil.rmtree(submission.code.path)
    with pytest.raises(ValueError, match="is gone; give the sweep command again"):
        submission.code.check()
    assert sha256_of(submission.code.path) is None
    del submission.settings["code_sha256"]
    with pytest.raises(ValueError, match="an earlier version submitted this; give the sweep command again"):
        _ = submission.code


def test_anothers_copy_is_not_used(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = snapshot(tmp_path / "code", checkout)
    (theirs.path / "sweep/__init__.py").chmod(0o666)
    ours = snapshot(tmp_path / "code", checkout)
    assert ours.path != theirs.path and ours.sha256 == theirs.sha256
    with pytest.raises(ValueError, match="has the mode 0666"):
        Snapshot(theirs.path, theirs.sha256).check()


def test_a_source_with_a_name_that_no_script_holds_is_refused(tmp_path: Path, checkout: Path) -> None:
    (checkout / "sweep/a\nb.py").write_text("")
    with pytest.raises(ValueError, match=r"sources need plain names, found 'sweep/a\\nb.py'; rename them"):
        snapshot(tmp_path / "code", checkout)


# ---------------------------------------------------------------- the script


def test_a_script_gives_the_job_the_users_umask_and_the_copy_of_the_code(tmp_path: Path, checkout: Path) -> None:
    submission = submitted(Store(tmp_path / "store"), checkout)
    done = run_script(submission, 'bash -c "umask; echo $PYTHONPATH $PYTHONDONTWRITEBYTECODE"', umask=0o002)
    assert done.stdout.split() == ["0002", str(submission.code.path), "1"], done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("modul load cuda", 127), (". /nowhere/activate", 1), ("modul load cuda && true", 127),
        ("cd /nowhere; true", 1), ("false", 1), ("module() { false; }; module load cuda", 1),
        ("if true; then false; fi", 1), ("set -eu; false", 1),
    ],
)  # fmt: skip
def test_a_line_of_setup_that_fails_fails_the_job_with_that_line(
    tmp_path: Path, checkout: Path, line: str, code: int
) -> None:
    submission = submitted(Store(tmp_path / "store"), checkout, setup=["true", line])
    done = run_script(submission, "echo the stage")
    assert done.returncode == code and "the stage" not in done.stdout
    assert f"sweep: setup failed with exit code {code}: {line}\n" in done.stderr


def test_what_fails_inside_what_setup_reads_is_its_own_business(tmp_path: Path, checkout: Path) -> None:
    (tmp_path / "activate").write_text("false\ntrue\n")
    lines = [
        f". {tmp_path}/activate", "false || true", "if false; then", "  modul load cuda", "fi", "x() { false; true; }",
        "x",
        "set -euo pipefail", "cat <<END", "it's", "END",
    ]  # fmt: skip
    done = run_script(submitted(Store(tmp_path / "store"), checkout, setup=lines), "echo the stage")
    assert done.returncode == 0 and "the stage" in done.stdout, done.stderr
    done = run_script(submitted(Store(tmp_path / "store"), checkout), "false")  # the trap is setup's alone
    assert done.returncode == 1 and "sweep: setup" not in done.stderr


def test_the_latest_submission_is_the_last_one_made_though_a_clock_was_set_back(tmp_path: Path, checkout: Path) -> None:
    store = Store(tmp_path / "store")
    first = submitted(store, checkout).folder
    first.rename(first.with_name(f"20991231-235959{first.name[15:]}"))
    first.with_name("0-renamed").mkdir()
    first.with_name("0-renamed").joinpath("submission.json").touch()
    later = [submitted(store, checkout).folder.name for _ in range(2)]  # both of the second after that
    assert [name[:15] for name in later] == ["21000101-000000", "21000101-000001"]
    assert pick(store, None).folder.name == later[1]


def test_a_job_refuses_a_submission_that_is_not_its_owners(tmp_path: Path, checkout: Path) -> None:
    submission = submitted(Store(tmp_path / "store"), checkout)
    (submission.folder / "stages.json").chmod(0o646)
    command = [sys.executable, "-m", "sweep.launchers.slurm.job", str(submission.folder), "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1 and "stages.json has the mode 0646" in done.stderr


SIGNALLED_AT_ITS_END = """
import os, signal, sys
from pathlib import Path
from sweep.launchers.slurm.job import Job

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGUSR2):
        kill(pid, number)

late = Late()
sys.exit(Job(Path(sys.argv[1]), 0).run())
"""


def test_a_signal_that_comes_when_all_is_built_does_not_fail_the_job(
    sweep_copy: Sweep, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = submitted(sweep_copy.store, checkout)
    submission.note_array(Array(0, "evaluate", {0: submission.settings["targets"][:1]}), 0, None)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    command = [sys.executable, "-c", SIGNALLED_AT_ITS_END, str(submission.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert [row["outcome"] for row in submission.attempts()] == ["found"]
