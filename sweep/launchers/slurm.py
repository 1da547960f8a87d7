"""The plan as a graph of SLURM jobs: submitted once, held by SLURM, resumed by the same command.

A stage is built when its manifest is there. What is built is not submitted, what another job in the queue
builds is waited for, and everything else goes to sbatch as aligned arrays (graph.py). Jobs behind a failed
one are cancelled by SLURM (--kill-on-invalid-dep), so a failure costs its own chain.
"""
from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from sweep.artifacts import Manifest, Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers import queue, record, request
from sweep.launchers.graph import Array, Place, arrays
from sweep.launchers.job import PARTLY_FAILED, Job, NextWave
from sweep.launchers.local import _set_corrupted_aside
from sweep.launchers.record import Submission
from sweep.launchers.snapshot import snapshot
from sweep.plan import Plan, State, needed, state

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def submit(plan: Plan, exec: Exec, tracking: TrackingConfig, folder: Path, options: Mapping[str, Any]) -> int:
    """Submit what the plan's runs still need; returns at once, or with wait=true when it is done.

    Returns:
        0, or 1 when a corrupted artifact kept runs out or, with wait=true, when a stage failed.
    Raises:
        ValueError: refused, with nothing in the queue that was not there before.
    """
    settings = request.plain_options(options)
    cluster = queue.cluster()
    store = Store(exec.store)
    request.check_shared(store.root, "exec.store", cluster.hosts, socket.gethostname())
    store.check_writable()
    kinds = {stage.kind for stage in plan.stages.values()}
    request.check([request.parameters(settings, exec, kind) for kind in sorted(kinds)], cluster)
    if tracking.mode is None and tracking.name == "wandb":
        mode = settings["site"]["wandb"]
        tracking = replace(tracking, name="jsonl") if mode == "disabled" else replace(tracking, mode=mode)
    if exec.rebuild_corrupted:
        _set_corrupted_aside(plan, store)
    with record.lock(store):
        found = state(plan, store)
        todo, lost = _todo(plan, found)
        in_queue = _in_queue(store)
        new = [key for key in todo if key not in in_queue]
        print(
            f"{len(plan.runs)} runs = {len(plan.stages)} unique stages ({plan.n_unshared} without sharing), "
            f"{len(found.built)} built, {len(todo) - len(new)} in the queue already, {len(new)} to submit"
        )
        for message in found.corrupted.values():
            print(message, file=sys.stderr)
        submission = None
        if new:
            code = snapshot(store.root / ".slurm" / "code")
            submission = record.create(plan, store, exec, tracking, settings, code, sys.argv)
            _send(submission, plan, new, in_queue, cluster)
    if lost:
        print(f"{len(lost)} stages need a corrupted artifact and were not submitted", file=sys.stderr)
    if options["wait"] and (new or todo):
        from sweep.launchers.watch import follow

        try:
            return max(follow(store, plan), bool(lost))
        except KeyboardInterrupt:
            print("no longer following; the jobs go on, `python -m sweep cancel` would stop them", file=sys.stderr)
            return 130
    return 1 if lost else 0


def go_on(submission: Submission, is_retry: bool) -> int:
    """Submit what is missing of an earlier submission; how many stages that were.

    Args:
        is_retry: also what was tried and failed, and what waited for it. Without, only what a limit on queued
            jobs kept back.
    """
    plan, store = submission.plan(), submission.store
    with record.lock(store):
        todo, _ = _todo(plan, state(plan, store))
        in_queue = _in_queue(store)
        new = [key for key in todo if key not in in_queue]
        if not is_retry:
            sent = [array for array in submission.arrays() if array.job_id]
            tried = {key for array in sent for keys in array.elements.values() for key in keys}
            lost = {key for key in new if key in tried}
            for key in list(lost):
                lost |= plan.descendants(key)
            new = [key for key in new if key not in lost]
        if new:
            (submission.folder / "over").unlink(missing_ok=True)
            _send(submission, plan, new, in_queue, queue.cluster())
    return len(new)


def _todo(plan: Plan, found: State) -> tuple[list[str], set[str]]:
    """What to build, and what cannot be because of a corrupted artifact."""
    todo = needed(plan, found.built)
    lost = {key for key in todo if key in found.corrupted}
    for key in list(lost):
        lost |= plan.descendants(key) & set(todo)
    return [key for key in todo if key not in lost], lost


def _in_queue(store: Store) -> dict[str, Place]:
    """Where the queue's jobs build stages of this store; marks submissions of which none is left."""
    still_open = record.submissions(store, is_open=True)
    ids = {s.folder: [a.job_id for a in s.arrays() if a.job_id] for s in still_open}
    live = queue.jobs(job_id for found in ids.values() for job_id in found)
    live_arrays = {job.split("_")[0] for job in live}
    for submission in still_open:
        if not live_arrays & set(ids[submission.folder]):
            (submission.folder / "over").touch()
    return record.places(still_open, live)


def _send(
    submission: Submission, plan: Plan, new: Sequence[str], in_queue: Mapping[str, Place], cluster: queue.Cluster
) -> None:
    """sbatch the arrays that build `new`, as many as the user may have in the queue.

    Raises:
        ValueError: sbatch refused one; those before it are cancelled.
    """
    began, options = time.monotonic(), submission.settings["options"]
    packs = request.stages_per_job(options, plan, new, _manifests(submission.store, plan))
    own = request.parameters(options, submission.exec, None)
    limit = queue.submit_limit(own.get("account"), own.get("qos"))

    def laid_out(keys: Sequence[str]) -> list[Array]:
        stages = [plan.stages[key] for key in keys]
        return arrays(stages, in_queue, stages_per_job=packs, max_array_size=cluster.max_array_size)

    graph = laid_out(new)
    kept_back = 0
    if limit is not None and sum(len(array.elements) for array in graph) > limit:
        if limit < 2:
            raise ValueError(
                "your account's limit of jobs in the queue is reached (sacctmgr show assoc); nothing was submitted; "
                "give the same command again when some have ended"
            )
        graph = laid_out(_first(graph, limit - 1))
        kept_back = len(new) - sum(len(keys) for array in graph for keys in array.elements.values())
    first, job_ids = len(submission.arrays()), {}
    with queue.outside_jobs():
        for array in graph:
            number = first + array.number
            dependency = array.dependency(job_ids)
            submission.note_array(array, number, dependency)
            try:
                job_ids[array.number] = _sbatch(submission, array, number, dependency)
            except (FailedSubmissionError, FailedJobError) as error:
                queue.cancel(list(job_ids.values()))
                raise ValueError(
                    f"sbatch refused the {array.kind} jobs: {queue.said(_last_words(error))}; the {len(job_ids)} "
                    f"arrays submitted before were cancelled, see {submission.folder}"
                ) from error
            submission.note_job(number, job_ids[array.number])
        if kept_back:
            _sbatch_next_wave(submission, list(job_ids.values()))
    n_jobs = sum(len(array.elements) for array in graph)
    by_kind = Counter({kind: 0 for kind in dict.fromkeys(array.kind for array in graph)})
    for array in graph:
        by_kind[array.kind] += sum(len(keys) for keys in array.elements.values())
    counts, seconds = ", ".join(f"{n} {kind}" for kind, n in by_kind.items()), time.monotonic() - began
    print(
        f"submitted {sum(by_kind.values())} stages ({counts}) as {n_jobs} jobs in {len(graph)} arrays, "
        f"{len(graph) + bool(kept_back)} sbatch calls, {seconds:.1f} s\n"
        f"SLURM holds them now, nothing here has to stay alive; the record is {submission.folder}"
    )
    if kept_back:
        print(
            f"{kept_back} more stages wait: you may have {limit} jobs in the queue; a small job submits the next wave "
            "when this one has ended"
        )


def _first(graph: Sequence[Array], n_jobs: int) -> list[str]:
    """Keys of the first n_jobs jobs, in an order in which each comes after those it waits for."""
    keys: list[str] = []
    for array in graph:
        for index in sorted(array.elements):
            if n_jobs == 0:
                return keys
            keys += array.elements[index]
            n_jobs -= 1
    return keys


def _sbatch(submission: Submission, array: Array, number: int, dependency: str | None) -> str:
    """One array through Submitit; its job id."""
    options = submission.settings["options"]
    folder = submission.folder / "jobs" / f"{number:03}"
    parameters = request.parameters(options, submission.exec, array.kind)
    cap = f"%{options['array_parallelism']}" if options["array_parallelism"] else ""
    additional = parameters.pop("additional_parameters") | {
        "array": ",".join(_ranges(sorted(array.elements))) + cap,
        "output": f"{folder}/%A_%a.out", "error": f"{folder}/%A_%a.err",
    }
    if dependency:
        additional |= {"dependency": dependency, "kill-on-invalid-dep": "yes"}
    executor = _executor(submission, folder, parameters | {"additional_parameters": additional}, array.kind)
    job_id = executor.submit(Job(str(submission.folder), number)).job_id
    for index in array.elements:  # an element waits for its own pickle up to a minute
        os.link(folder / f"{job_id}_submitted.pkl", folder / f"{job_id}_{index}_submitted.pkl")
    return job_id


def _sbatch_next_wave(submission: Submission, job_ids: Sequence[str]) -> None:
    options = submission.settings["options"]
    folder = submission.folder / "jobs" / f"wave-{len(submission.arrays()):03}"
    parameters = request.parameters(options, submission.exec, None)
    additional = parameters.pop("additional_parameters") | {"dependency": "afterany:" + ":".join(job_ids)}
    executor = _executor(submission, folder, parameters | {"additional_parameters": additional}, "next-wave")
    executor.submit(NextWave(str(submission.folder)))


def _executor(submission: Submission, folder: Path, parameters: dict[str, Any], kind: str) -> submitit.SlurmExecutor:
    """Submitit's, running the code as it was at submission."""
    exec, site = submission.exec, submission.settings["options"]["site"]
    # until Python has set its handlers, the signal that asks for a checkpoint would end it and so fail the job
    python = f"""bash -c 'trap "" USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""
    executor = submitit.SlurmExecutor(folder=folder, python=python)
    exports = {
        "PYTHONPATH": submission.settings["code"], "PYTHONSAFEPATH": "1",  # not the checkout in the working directory
        "TMPDIR": site["scratch"], **dict.fromkeys(THREADS, str(exec.n_threads)),
    }  # fmt: skip
    if site["weights"]:
        exports |= {"HF_HUB_CACHE": site["weights"], "HF_HUB_OFFLINE": "1"}
    setup = [
        *parameters.pop("setup"),
        *(f"export {name}={shlex.quote(str(value))}" for name, value in exports.items()),
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # from 22.05 on srun does not take it over
        *([f"export SLURM_CONF={shlex.quote(os.environ['SLURM_CONF'])}"] if "SLURM_CONF" in os.environ else []),
    ]
    teardown = [
        "status=$?", *parameters.pop("teardown", []),
        f'test "$status" = {PARTLY_FAILED} && exit 0  # the chains of the stages that were built go on',
        'exit "$status"',
    ]
    comment = f"{submission.folder.name} {folder.name}"
    executor.update_parameters(**executor._convert_parameters(
        parameters | {
            "job_name": f"{exec.sweep_name}/{kind}", "setup": setup, "teardown": teardown, "comment": comment,
        }
    ))
    return executor


def _ranges(indices: Sequence[int]) -> list[str]:
    """[0, 1, 2, 5] as ["0-2", "5"]."""
    out: list[list[int]] = []
    for index in indices:
        if out and index == out[-1][1] + 1:
            out[-1][1] = index
        else:
            out.append([index, index])
    return [str(a) if a == b else f"{a}-{b}" for a, b in out]


def _manifests(store: Store, plan: Plan) -> list[Manifest]:
    return list(state(plan, store).built.values())


def _last_words(error: BaseException) -> str:
    """What sbatch printed; Submitit puts it at the end of its own message."""
    lines = str(error).strip().splitlines()
    return "\n".join(line for line in lines if "sbatch: error:" in line) or (lines[-1] if lines else repr(error))
