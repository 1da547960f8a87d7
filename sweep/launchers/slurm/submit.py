"""The plan as a graph of SLURM jobs: submitted once, held by SLURM, resumed by the same command.

A stage is built when its manifest is there. What is built is not submitted, what another job in the queue
builds is waited for, and everything else goes to sbatch as aligned arrays (graph.py). Jobs behind a failed
one are cancelled by SLURM (--kill-on-invalid-dep), so a failure costs its own chain.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep import grids
from sweep.artifacts import Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.slurm import queue, request
from sweep.launchers.slurm.graph import Place
from sweep.launchers.slurm.sbatch import send
from sweep.launchers.slurm.settings import plain_options
from sweep.launchers.slurm.snapshot import snapshot
from sweep.launchers.slurm.submission import Submission, create, lock, places, shared_folder, submissions
from sweep.launchers.slurm.watch import follow
from sweep.launchers.todo import corrupted_lines, set_corrupted_aside, todo
from sweep.plan import Plan, state
from sweep.terminal.words import count
from sweep.tracking.server import for_nodes


def submit(plan: Plan, exec: Exec, tracking: TrackingConfig, folder: Path, options: Mapping[str, Any]) -> int:
    """Submit what the plan's runs still need; returns at once, or with wait=true when it is done.

    Returns:
        0, or 1 when an artifact is corrupted and no rebuild was asked for or, with wait=true, when a stage failed.
    Raises:
        ValueError: refused, with nothing in the queue that was not there before.
    """
    settings = plain_options(options, exec)
    store, cluster = Store(exec.store), _checked_cluster(plan, exec, settings)
    tracking, said = for_nodes(tracking, settings["site"]["wandb"])
    for line in said:
        print(f"warning: {line}", file=sys.stderr)
    grids.note(store, exec.sweep_name, plan.parents())
    with lock(store):
        if exec.rebuild_corrupted:
            set_corrupted_aside(plan, store)
        found = state(plan, store)
        missing, lost = todo(plan, found, exec.rebuild_corrupted)
        in_queue = _in_queue(store)
        new = [key for key in missing if key not in in_queue]
        print(
            f"{count(len(plan.runs), 'run')} = {count(len(plan.stages), 'unique stage')} "
            f"({plan.n_unshared} without sharing), "
            f"{len(found.built)} built, {len(missing) - len(new)} in the queue already, {len(new)} to submit"
        )
        if new:
            code = snapshot(shared_folder(store, "code"))
            submission = create(plan, store, exec, tracking, settings, code, sys.argv)
            send(submission, plan, new, in_queue, cluster, settings.get("dependency"))
    for text in corrupted_lines(plan, found, lost):
        print(text, file=sys.stderr)
    if settings["wait"] and missing:
        try:
            return max(follow(store, plan), bool(found.corrupted))
        except KeyboardInterrupt:
            print("no longer following; the jobs go on, `python -m sweep cancel` would stop them", file=sys.stderr)
            return 130
    return 1 if found.corrupted else 0


def _checked_cluster(plan: Plan, exec: Exec, settings: Mapping[str, Any]) -> queue.Cluster:
    """The cluster, which has said that it can run what is asked of it; what is in the way now is told on stderr."""
    cluster, store = queue.cluster(), Store(exec.store)
    request.check_shared(store.root, "exec.store", cluster.hosts, socket.gethostname())
    store.check_writable()
    kinds = [None, *sorted({stage.kind for stage in plan.stages.values()})]
    for notice in request.check([request.parameters(settings, exec, kind) for kind in kinds], cluster):
        print(notice, file=sys.stderr)
    for job in re.findall(r"[:](\d+)", settings.get("dependency") or ""):
        queue.check_job(job)
    return cluster


def go_on(submission: Submission, is_retry: bool) -> int:
    """Submit what is missing of an earlier submission of this user's; how many stages that were.

    Args:
        is_retry: also what was tried and failed, and what waited for it. Without, only what a limit on queued
            jobs kept back.
    Raises:
        ValueError: another user made it or could have changed it, or its code is not what was submitted.
    """
    submission.check_is_ours()
    submission.code.check()
    plan, store = submission.plan(), submission.store
    with lock(store):
        missing, _ = todo(plan, state(plan, store), submission.exec.rebuild_corrupted)
        in_queue = _in_queue(store)
        new = [key for key in missing if key not in in_queue]
        if not is_retry:
            sent = [array for array in submission.arrays() if array.job_id]
            tried = {key for array in sent for keys in array.elements.values() for key in keys}
            lost = {key for key in new if key in tried}
            for key in list(lost):
                lost |= plan.descendants(key)
            new = [key for key in new if key not in lost]
        if new:
            (submission.folder / "over").unlink(missing_ok=True)
            send(submission, plan, new, in_queue, queue.cluster())
    return len(new)


def _in_queue(store: Store) -> dict[str, Place]:
    """Where the queue's jobs build stages of this store.

    A submission of ours of which none is left is marked as over, with what SLURM says of how its jobs ended: the
    accounting may forget, and a job that was killed could not write that down itself. Others' are left to them.
    """
    still_open = submissions(store, is_open=True)
    ours = [submission for submission in still_open if submission.is_ours]
    for submission in ours:
        _recover(submission)
    ids = {s.folder: [array.job_id for array in s.arrays() if array.job_id] for s in still_open}
    live = queue.jobs({job_id: folder.name for folder, found in ids.items() for job_id in found})
    live_arrays = {job.split("_")[0] for job in live}
    for submission in ours:
        if not live_arrays & set(ids[submission.folder]):
            with suppress(queue.SlurmError):  # the accounting does not answer: the next command asks again
                submission.note_over(queue.accounted(ids[submission.folder]))
    return places(still_open, live)


def _recover(submission: Submission) -> None:
    """Note the job of an array that was submitted by a command which was killed before it could."""
    unknown = {f"{array.number:03}": array.number for array in submission.arrays() if array.job_id is None}
    for job_id, number in queue.named(submission.folder.name).items() if unknown else ():
        if number in unknown:
            submission.note_job(unknown[number], job_id)
