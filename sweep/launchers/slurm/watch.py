"""Looking at a sweep in the queue, which changes nothing, and cancelling it."""
from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.artifacts import Store
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.submission import Submission, submissions
from sweep.plan import Plan, needed, state


@dataclass(frozen=True)
class JobState:
    """What SLURM and the jobs' own records say of a stage that is not built."""

    state: str  # SLURM's word while the job is in the queue; afterwards failed, blocked, or SLURM's last word
    job: str
    reason: str  # why it waits, or why it failed
    output: Path  # what the job printed outside the stage's own log


def states(store: Store, keys: Iterable[str]) -> dict[str, JobState]:
    """The latest job of each stage, for those that one was submitted for; one squeue and one sacct call."""
    wanted = set(keys)
    found = submissions(store) if wanted else []
    jobs: dict[str, tuple[Submission, int, str]] = {}
    tried: dict[str, dict] = {}
    for submission in found:
        for array in submission.arrays():
            for index, members in array.elements.items():
                if array.job_id:
                    job = (submission, array.number, f"{array.job_id}_{index}")
                    jobs |= dict.fromkeys(wanted & set(members), job)
        tried |= {row["key"]: row for row in submission.attempts() if row["key"] in wanted}
    if not jobs:
        return {}
    live = queue.jobs({job.split("_")[0]: submission.folder.name for submission, _, job in jobs.values()})
    ended = queue.accounted(job.split("_")[0] for _, _, job in jobs.values() if job not in live)
    out = {}
    for key, (submission, number, job) in jobs.items():
        row = tried.get(key, {})
        if row.get("job") != job:
            row = {}
        if job in live:
            word, reason = live[job]
        elif row.get("outcome") in ("failed", "blocked"):
            word, reason = row["outcome"], row["error"]
        else:
            word, code, node = ended.get(job, ("gone", "", ""))
            word, reason = word.lower(), f"exit {code} on {node}" if code else ""
        out[key] = JobState(word, job, reason, submission.folder / "jobs" / f"{number:03}" / f"{job}.out")
    return out


def told(store: Store, found: Mapping[str, JobState]) -> list[str]:
    """Lines for a person: how many stages wait, run, failed; each failure with its log."""
    if not found:
        return []
    counts = Counter(s.state for s in found.values())
    lines = ["in SLURM: " + ", ".join(f"{n} {word}" for word, n in counts.most_common())]
    for key, s in found.items():
        if s.state.islower() and s.state not in ("blocked", "cancelled"):
            lines.append(f"  {s.state}: {key} (job {s.job}): {s.reason}; log: {store.log_path(key)}; job: {s.output}")
    return lines


def built_twice(store: Store, keys: Iterable[str]) -> dict[str, str]:
    """Stages that a second copy of their job built too, as after a lost node: which copies, for a person."""
    copies: dict[str, list[str]] = {key: [] for key in keys}
    for submission in submissions(store):
        for row in submission.attempts():
            if row["key"] in copies and row["outcome"] in ("built", "found"):
                kept = "kept" if row["outcome"] == "built" else "discarded"
                copies[row["key"]].append(f"{kept}: job {row['job']}, restart {row['restart']}, on {row['host']}")
    return {key: "; ".join(found) for key, found in copies.items() if len(found) > 1}


def follow(store: Store, plan: Plan, every_s: float = 5.0) -> int:
    """Show the sweep until none of its jobs is in the queue; 0 when all is built.

    The question is asked less often the longer it takes: every 5 s at first, at most every minute.
    """
    began, shown = time.monotonic(), ""
    while True:
        found = state(plan, store)
        todo = needed(plan, found.built)
        jobs = states(store, todo)
        n_live = sum(s.state.isupper() for s in jobs.values())
        counts = Counter(s.state for s in jobs.values())
        words = "".join(f", {n} {word}" for word, n in counts.items())
        line = f"{len(found.built)} of {len(plan.stages)} stages built{words}"
        if line != shown:
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
            shown = line
        if not n_live:
            break
        time.sleep(min(60.0, every_s + 0.05 * (time.monotonic() - began)))
    for text in told(store, jobs):
        print(text, file=sys.stderr)
    if todo:
        print(f"{len(todo)} stages are not built; the same command again tries exactly these", file=sys.stderr)
    return 1 if todo else 0


def pick(store: Store, name: str | None) -> Submission:
    """The submission of that name, or the latest.

    Raises:
        ValueError: there is none; lists those there are.
    """
    found = submissions(store)
    chosen = [s for s in found if name in (None, s.folder.name)]
    if not chosen:
        names = ", ".join(s.folder.name for s in found[-5:]) or "none"
        raise ValueError(
            f"{store.root} has no SLURM submission {name or ''}: the latest are {names}; give exec.store=FOLDER"
        )
    return chosen[-1]


def cancel(submission: Submission) -> int:
    """Cancel what of a submission is in the queue; how many jobs. What others wait for from it is lost to them too."""
    found = queue.named(submission.folder.name)
    live = queue.jobs(dict.fromkeys(found, submission.folder.name))
    waves = sorted(job_id for job_id, number in found.items() if number.startswith("wave"))
    queue.cancel([*waves, *sorted(found.keys() - set(waves))])  # the job that would submit the next wave first
    return len(live)
