"""Looking at jobs: why they wait, where a dead one's words are, and what is shown when a part of SLURM is silent."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import put_on_path
from test_slurm_settings import settings
from tiny_sweep import planned

from sweep import heartbeat
from sweep.__main__ import VERBS
from sweep.artifacts import Store
from sweep.commands.status import show_log
from sweep.commands.words import line_of
from sweep.config import Exec, TrackingConfig
from sweep.launchers.slurm.graph import Array
from sweep.launchers.slurm.job import check_gpus
from sweep.launchers.slurm.snapshot import Snapshot
from sweep.launchers.slurm.submission import Submission, create
from sweep.launchers.slurm.watch import Seen, follow, latest_output, look, told
from sweep.launchers.todo import NOTHING_TO_LEARN
from sweep.view.picture import Sitter

PLAN = planned("arm=sft", "n_problems=8")
KEYS = {stage.kind: stage.key for stage in PLAN.stages.values()}


@pytest.fixture
def submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Submission:
    """dsyn as job 70, base as 71, sft as 72: one element each."""
    put_on_path(tmp_path / "bin", monkeypatch, {})
    store = Store(tmp_path / "store")
    exec = Exec(store=str(store.root), sweep_name="tests")
    code = Snapshot(tmp_path, "0")
    made = create(PLAN, store, exec, TrackingConfig(name="jsonl"), settings(exec), code, ["sweep"])
    for number, kind in enumerate(("dsyn", "base", "sft")):
        made.note_array(Array(number, kind, {0: [KEYS[kind]]}), number, None)
        made.note_job(number, str(70 + number))
    return made


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, submission: Submission) -> Any:
    """What squeue and sacct print: rows of (job, state, reason), (job, state, code, node); None where it is missing."""

    def answers(queue: list[tuple[str, str, str]] | None, accounting: list[tuple[str, str, str, str]] | None) -> None:
        comment = f"{submission.folder.name} 000"
        rows = {
            "squeue": None if queue is None else ["|".join((*row, comment)) for row in queue],
            "sacct": None if accounting is None else ["|".join(row) for row in accounting],
        }
        (tmp_path / "bin/cat").symlink_to("/bin/cat")
        for name, lines in rows.items():
            (tmp_path / "bin" / name).unlink(missing_ok=True)
            if lines is not None:
                text = "\n".join(lines)
                put_on_path(tmp_path / "bin", monkeypatch, {name: f"cat <<'END'\n{text}\nEND" if lines else "true"})
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # not those of a SLURM that is installed here

    return answers


def seen(submission: Submission) -> Seen:
    return look(submission.store, PLAN.stages, PLAN.stages)


def output(submission: Submission, number: int, job: str, text: str) -> Path:
    path = submission.folder / "jobs" / f"{number:03}" / f"{job}.err"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def logs(words: list[str]) -> int:
    return show_log(line_of(["logs", *words], list(VERBS)))


def test_why_jobs_wait_is_told_in_words(submission: Submission, slurm: Any) -> None:
    waiting = [("71_0", "PENDING", "JobHeldAdmin"), ("72_0", "PENDING", "PartitionTimeLimit")]
    slurm([("70_0", "RUNNING", "None"), *waiting], [])
    lines = told(submission.store, seen(submission))
    assert lines[0] == "in SLURM: 2 PENDING, 1 RUNNING"
    assert lines[1].startswith("  1 wait (JobHeldAdmin, as job 71_0): an administrator holds it: ask them; ")
    assert lines[2].startswith("  1 wait (PartitionTimeLimit, as job 72_0): its time is above the partition's limit")


def test_a_job_that_died_on_import_is_told_with_its_last_words_and_its_file(
    submission: Submission, slurm: Any, capsys: Any
) -> None:
    slurm([], [("71_0", "FAILED", "1:0", "n1")])
    text = "Traceback\nModuleNotFoundError: No module named 'torch'\nsrun: error: n1: task 0: Exited with exit code 1\n"
    path = output(submission, 1, "71_0", text)
    found = seen(submission).jobs[KEYS["base"]]
    assert (found.state, found.reason) == ("failed", "exit 1:0 on n1; ModuleNotFoundError: No module named 'torch'")
    assert f"see {path}" in next(line for line in told(submission.store, seen(submission)) if KEYS["base"] in line)
    assert logs([KEYS["base"], f"exec.store={submission.store.root}"]) == 0
    assert capsys.readouterr().out == f"== {path}, outside the stage\n{text}"
    assert latest_output(submission.store, KEYS["dsyn"]) == []


def test_a_job_that_printed_nothing_names_no_file_that_is_not_there(submission: Submission, slurm: Any) -> None:
    slurm([], [("71_0", "NODE_FAIL", "1:0", "n1")])
    line = next(line for line in told(submission.store, seen(submission)) if KEYS["base"] in line)
    assert line.endswith("exit 1:0 on n1; it printed nothing")


def test_without_accounting_what_is_known_is_shown(submission: Submission, slurm: Any) -> None:
    slurm([("70_0", "RUNNING", "None")], None)
    submission.note_attempt("71_0", time=1.0, key=KEYS["base"], outcome="failed", error="ValueError: no", restart=0)
    found = seen(submission)
    states = {kind: found.jobs[KEYS[kind]].state for kind in ("dsyn", "base", "sft")}
    assert states == {"dsyn": "RUNNING", "base": "failed", "sft": "gone"} and found.is_queue_known
    assert told(submission.store, found)[0].startswith("how jobs ended is known from their own records alone: ")


def test_what_was_noted_of_the_end_stands_in_for_the_accounting(submission: Submission, slurm: Any) -> None:
    slurm([], None)
    submission.note_over({"72_0": ("TIMEOUT", "0:0", "n2")})
    found = seen(submission).jobs[KEYS["sft"]]
    assert (found.state, found.reason) == ("timeout", "exit 0:0 on n2")


def test_without_any_slurm_the_records_are_shown(submission: Submission, slurm: Any) -> None:
    slurm(None, None)
    submission.note_attempt("71_0", time=1.0, key=KEYS["base"], outcome="failed", error="ValueError: no", restart=0)
    found = seen(submission)
    assert not found.is_queue_known and len(found.unasked) == 2
    assert {found.jobs[KEYS[kind]].state for kind in ("dsyn", "sft")} == {"unknown"}
    assert found.jobs[KEYS["base"]].reason == "ValueError: no"
    assert told(submission.store, found)[0].startswith("what is in the queue is not known: ")


def test_a_picture_shows_jobs_as_slurm_and_their_signs_of_life_tell_them(submission: Submission, slurm: Any) -> None:
    store, now = submission.store, time.time()
    slurm([("70_0", "RUNNING", "None"), ("72_0", "PENDING", "Priority")], [("71_0", "TIMEOUT", "0:0", "n1")])
    beat = heartbeat.Heartbeat(KEYS["dsyn"], "n3", "ann", 7, "70_0", now - 60, "", now, now)
    heartbeat.write(heartbeat.path_of(store.root, KEYS["dsyn"]), beat)
    output(submission, 1, "71_0", "slurmstepd: error: CANCELLED DUE TO TIME LIMIT\n")
    one = Sitter(PLAN, store, "tests").picture()
    states = {kind: one.stages[KEYS[kind]].state for kind in ("dsyn", "base", "sft", "evaluate")}
    assert states == {"dsyn": "running", "base": "failed", "sft": "lost", "evaluate": "lost"}
    assert [(b.label, b.host, b.place) for b in one.running] == [("dsyn", "n3", "job 70_0")]
    assert one.failures[0].why.startswith("timeout in job 71_0: exit 0:0 on n1; slurmstepd: error: CANCELLED DUE TO")
    assert one.failures[0].logs[0].lines == ("slurmstepd: error: CANCELLED DUE TO TIME LIMIT",)
    assert one.is_slurm and any(note.startswith("1 wait (Priority, as job 72_0)") for note in one.notes)


def test_a_running_job_without_a_sign_of_life_is_not_said_to_build(submission: Submission, slurm: Any) -> None:
    slurm([("70_0", "RUNNING", "None"), ("71_0", "PENDING", "Priority")], [("72_0", "CANCELLED", "0:0", "n1")])
    one = Sitter(PLAN, submission.store, "tests").picture()
    assert {kind: one.stages[KEYS[kind]].state for kind in KEYS} == dict.fromkeys(KEYS, "waiting")
    assert one.stages[KEYS["dsyn"]].why == "job 70_0 is RUNNING" and one.running == ()


def test_a_store_without_submissions_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert look(Store(tmp_path / "store"), PLAN.stages, PLAN.stages) == Seen()


def test_other_packages_than_at_submission_are_told(submission: Submission, slurm: Any) -> None:
    slurm([], [])
    row = {"time": 1.0, "outcome": "built", "error": "", "restart": 0, "host": "n1"}
    change = {"torch": "2.12 at submission, 2.13 in the job"}
    submission.note_attempt("70_0", key=KEYS["dsyn"], packages=change, **row)
    submission.note_attempt("71_0", key=KEYS["base"], packages=change, **row)
    said = "2 stages were tried with another package than at submission: torch: 2.12 at submission, 2.13 in the job"
    assert f"  {said}" in told(submission.store, seen(submission))


def test_following_fails_where_stages_are_not_built(submission: Submission, slurm: Any, capsys: Any) -> None:
    slurm([], [("71_0", "FAILED", "1:0", "n1")])
    assert follow(submission.store, PLAN) == 1
    assert "stages are not built; the same command again tries exactly these" in capsys.readouterr().err


def test_following_tells_runs_that_have_nothing_to_learn_from(submission: Submission, slurm: Any, capsys: Any) -> None:
    slurm([], [])
    note = {"time": 1.0, "restart": 0, "host": "n1"}
    why = "NothingToLearn: no pair"
    submission.note_attempt("71_0", key=KEYS["base"], outcome="failed", error=why, **note)
    assert follow(submission.store, PLAN) == 1  # dsyn is missing for another reason
    submission.note_attempt("70_0", key=KEYS["dsyn"], outcome="failed", error=why, **note)
    assert follow(submission.store, PLAN) == NOTHING_TO_LEARN
    assert "nothing to learn from, and the same command finds the same again" in capsys.readouterr().err


def test_logs_of_a_stage_that_trains_show_how_far_it_is(submission: Submission, capsys: Any) -> None:
    store, key = submission.store, KEYS["sft"]
    now = time.time()
    beat = heartbeat.Heartbeat(key, "n1", "ann", 7, "72_0", now, "update 120 of 400", now, now)
    heartbeat.write(heartbeat.path_of(store.root, key), beat)
    curves = store.checkpoint_dir(key) / "curves/metrics.jsonl"
    curves.parent.mkdir(parents=True)
    rows = [{"update": 119, "time": now, "sft/loss": 2.0}, {"update": 120, "time": now - 3, "sft/loss": 0.25}]
    curves.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"update": 12')
    assert logs([key, f"exec.store={store.root}"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "under construction by ann on n1, job 72_0, update 120 of 400"
    assert re.fullmatch(r"update 120, \d+ s ago: sft/loss 0\.25", second)


def test_a_stage_that_nobody_tried_has_no_log(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such log; the stage was not tried in this store"):
        logs(["sft-0000000000000000", f"exec.store={tmp_path}"])


def test_gpus_that_torch_does_not_see_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SLURM gave this job the GPUs 0,1 and torch sees none .*expected a CUDA dev"):
        check_gpus({"SLURM_JOB_GPUS": "0,1", "CUDA_VISIBLE_DEVICES": "0,1"}, 0)
    check_gpus({"SLURM_JOB_GPUS": "0,1"}, 1)
    check_gpus({"PATH": os.defpath}, 0)  # no GPU was given
