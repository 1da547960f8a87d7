"""Looking at a sweep in the queue, which changes nothing, and cancelling it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep import sharing
from sweep.artifacts import CorruptArtifact, Store
from sweep.bench import NothingToLearn
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.reasons import in_words
from sweep.launchers.slurm.submission import Submission, submissions
from sweep.launchers.todo import NOTHING_TO_LEARN, impossible_told, todo
from sweep.plan import Plan, state
from sweep.terminal.words import count, nearest

TAIL_BYTES = 10_000
NOISE = ("srun: ", "slurmstepd: ")  # SLURM's own last words about a job that said more before them


@dataclass(frozen=True)
class JobState:
    """What SLURM and the jobs' own records say of a stage that is not built."""

    state: str  # SLURM's word while the job is in the queue; afterwards failed, blocked, or SLURM's last word
    job: str
    reason: str  # why it waits, or why it failed
    output: tuple[Path, ...]  # what the job printed outside the stage's own log, stderr last


@dataclass(frozen=True)
class Seen:
    """What is known of the jobs of some stages, and what could not be asked."""

    jobs: dict[str, JobState] = field(default_factory=dict)  # of stages that are not built, by key
    twice: dict[str, str] = field(default_factory=dict)  # stages that a second copy of their job built too: which
    packages: dict[str, int] = field(default_factory=dict)  # installed otherwise than at submission: how many stages
    unasked: tuple[str, ...] = ()
    is_queue_known: bool = True

    def failed_with(self, error: type[Exception]) -> set[str]:
        """Keys of the stages that failed with it."""
        return {key for key, job in self.jobs.items() if job.reason.startswith(f"{error.__name__}: ")}


def look(store: Store, keys: Iterable[str], missing: Iterable[str]) -> Seen:
    """The jobs of these stages by the submissions of the store; one squeue and one sacct call.

    Args:
        missing: those of `keys` that are not built.
    """
    wanted, all_keys = set(missing), set(keys)
    jobs: dict[str, tuple[Submission, int, str]] = {}
    rows: list[dict[str, Any]] = []
    ended: dict[str, tuple[str, str, str]] = {}
    for submission in submissions(store):
        for array in submission.arrays():
            for index, members in array.elements.items() if array.job_id else ():
                job = (submission, array.number, f"{array.job_id}_{index}")
                jobs |= dict.fromkeys(wanted.intersection(members), job)
        rows += [row for row in submission.attempts() if row["key"] in all_keys]
        ended |= submission.ended()
    changed = Counter(f"{name}: {how}" for row in rows for name, how in row.get("packages", {}).items())
    twice, unasked = _built_twice(rows), []
    live: Mapping[str, tuple[str, str]] | None = {}
    try:
        live = queue.jobs({job.split("_")[0]: s.folder.name for s, _, job in jobs.values()}) if jobs else {}
    except queue.SlurmError as error:
        live = None
        unasked.append(f"what is in the queue is not known: {error}")
    try:
        ended |= queue.accounted(job.split("_")[0] for _, _, job in jobs.values() if job not in (live or {}))
    except queue.SlurmError as error:
        unasked.append(f"how jobs ended is known from their own records alone: {error}")
    tried = {row["key"]: row for row in rows}
    found = {key: _job_state(*job, tried.get(key, {}), live, ended) for key, job in jobs.items()}
    return Seen(found, twice, dict(changed), tuple(unasked), live is not None)


def _job_state(
    submission: Submission,
    number: int,
    job: str,
    row: Mapping[str, Any],
    live: Mapping[str, tuple[str, str]] | None,
    ended: Mapping[str, tuple[str, str, str]],
) -> JobState:
    output = tuple(submission.output(number, job))
    if live is not None and job in live:
        word, reason = live[job]
    elif row.get("job") == job and row["outcome"] in ("failed", "blocked"):
        word, reason = row["outcome"], row["error"]
    elif job in ended:
        word, code, node = ended[job]
        word, reason = word.lower(), "; ".join(filter(None, [f"exit {code} on {node}", _last_words(output)]))
    else:
        word, reason = "gone" if live is not None else "unknown", _last_words(output)
    return JobState(word, job, reason, output)


def _last_words(output: Iterable[Path]) -> str:
    """The last line that a job itself printed to stderr."""
    for path in output:
        if path.suffix == ".err":
            with open(path, "rb", opener=sharing.regular) as stream:
                stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
                lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines()]
            own = [line for line in lines if line and not line.startswith(NOISE)]
            return (own or lines or [""])[-1]
    return ""


def told(store: Store, seen: Seen) -> list[str]:
    """Lines for a person: how many stages wait and why, run, failed; each failure with its log."""
    lines = list(seen.unasked)
    if seen.jobs:
        counts = Counter(s.state for s in seen.jobs.values())
        lines.append("in SLURM: " + ", ".join(f"{n} {word}" for word, n in counts.most_common()))
    lines += [f"  {line}" for line in waiting_lines(seen)]
    for key, s in seen.jobs.items():
        if s.state.islower() and s.state not in ("blocked", "cancelled"):
            places = [store.log_path(key)] if store.log_path(key).exists() else []
            files = ", ".join(str(path) for path in (*places, *reversed(s.output)))
            where = f"see {files}" if files else "it printed nothing"
            lines.append(f"  {s.state}: {key} (job {s.job}): {s.reason or 'no reason is known'}; {where}")
    for change, n in seen.packages.items():
        lines.append(
            f"  {count(n, 'stage was', 'stages were')} tried with another package than at submission: {change}"
        )
    lines += [f"  built twice: {key} ({copies})" for key, copies in seen.twice.items()]
    return lines


def waiting_lines(seen: Seen) -> list[str]:
    """How many stages wait in the queue, by SLURM's reason and what it means."""
    lines = []
    for reason, n in Counter(s.reason for s in seen.jobs.values() if s.state == "PENDING").most_common():
        example = next(s.job for s in seen.jobs.values() if (s.state, s.reason) == ("PENDING", reason))
        lines.append(f"{n} wait ({reason}, as job {example}): {in_words(reason)}")
    return lines


def _built_twice(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Stages that a second copy of their job built too, as after a lost node: which copies, for a person."""
    copies: dict[str, list[str]] = {}
    for row in rows:
        if row["outcome"] in ("built", "found"):
            kept = "kept" if row["outcome"] == "built" else "discarded"
            copies.setdefault(row["key"], []).append(
                f"{kept}: job {row['job']}, restart {row['restart']}, on {row['host']}"
            )
    return {key: "; ".join(found) for key, found in copies.items() if len(found) > 1}


def latest_output(store: Store, key: str) -> list[Path]:
    """What the latest job of a stage printed outside the stage's own log; SLURM is not asked."""
    for submission in reversed(submissions(store)):
        for array in reversed(submission.arrays()):
            for index, members in array.elements.items():
                if key in members and array.job_id:
                    return submission.output(array.number, f"{array.job_id}_{index}")
    return []


def follow(store: Store, plan: Plan, every_s: float = 5.0) -> int:
    """Show the sweep until none of its jobs is in the queue; 0 when all is built, 3 when all but runs that have nothing
    to learn from, else 1.

    The question is asked less often the longer it takes: every 5 s at first, at most every minute. While the queue does
    not answer, it is asked again.
    """
    began, shown = time.monotonic(), ""
    while True:
        found = state(plan, store)
        missing, _ = todo(plan, found, is_rebuild=False)
        seen = look(store, plan.stages, missing)
        n_live = sum(s.state.isupper() for s in seen.jobs.values())
        counts = Counter(s.state for s in seen.jobs.values())
        line = f"{len(found.built)} of {count(len(plan.stages), 'stage')} built"
        line += "".join(f", {n} {word}" for word, n in counts.items())
        line += "" if seen.is_queue_known else f" ({seen.unasked[0]})"
        if line != shown:
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
            shown = line
        if (seen.is_queue_known and not n_live) or not missing:
            break
        time.sleep(min(60.0, every_s + 0.05 * (time.monotonic() - began)))
    for text in told(store, seen):
        print(text, file=sys.stderr)
    if not missing:
        return 0
    not_built = f"{count(len(missing), 'stage is', 'stages are')} not built"
    impossible = seen.failed_with(NothingToLearn)
    if set(missing) == impossible.union(*map(plan.descendants, impossible)).intersection(missing):
        print(f"{not_built}. {impossible_told(len(impossible))}", file=sys.stderr)
        return NOTHING_TO_LEARN
    how = "with exec.rebuild_corrupted=true, as said above, builds" if seen.failed_with(CorruptArtifact) else ""
    print(f"{not_built}; the same command {how or 'again tries exactly'} these", file=sys.stderr)
    return 1


def pick(store: Store, name: str | None) -> Submission:
    """The submission of that name, or this user's latest.

    Raises:
        ValueError: there is none; lists those there are.
    """
    found = submissions(store)
    chosen = [s for s in found if (s.is_ours if name is None else name == s.folder.name)]
    if not chosen:
        names = ", ".join(f"{s.folder.name} of {s.owner}" for s in found[-5:])
        there = f"the latest are {names}; give a NAME or" if names else "there is none at all; name another store with"
        what = f"SLURM submission {name}" if name else "SLURM submission of yours"
        what += nearest(name or "", [s.folder.name for s in found])
        raise ValueError(f"{store.root} has no {what}: {there} exec.store=FOLDER")
    return chosen[-1]


def cancel(submission: Submission) -> int:
    """Cancel what of a submission is in the queue; how many jobs. What others wait for from it is lost to them too."""
    found = queue.named(submission.folder.name)
    live = queue.jobs(dict.fromkeys(found, submission.folder.name))
    waves = sorted(job_id for job_id, number in found.items() if number.startswith("wave"))
    queue.cancel([*waves, *sorted(found.keys() - set(waves))])  # the job that would submit the next wave first
    return len(live)
