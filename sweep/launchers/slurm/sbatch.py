"""Handing stages to sbatch: arrays through Submitit, in waves where a limit of the queue wants it."""
from __future__ import annotations

import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from sweep.launchers.slurm import queue, request
from sweep.launchers.slurm.graph import Array, Place, arrays
from sweep.launchers.slurm.job import PARTLY_FAILED, Job
from sweep.launchers.slurm.limits import room
from sweep.launchers.slurm.submission import Submission
from sweep.plan import Plan, state

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class NoRoom(ValueError):
    """A limit of the queue is reached."""


def send(
    submission: Submission, plan: Plan, new: Sequence[str], in_queue: Mapping[str, Place], cluster: queue.Cluster,
    next_wave: Callable[[], None],
) -> None:
    """sbatch the arrays that build `new`, as many as the user may have in the queue.

    Args:
        next_wave: what a small job calls when these have ended, if some have to wait for room in the queue.
    Raises:
        NoRoom: not even for one job and the one that submits the next wave.
        ValueError: sbatch refused an array; those before it are cancelled.
    """
    began, options = time.monotonic(), submission.settings["options"]
    built = list(state(plan, submission.store).built.values())
    packs = request.stages_per_job(options, plan, new, built)

    def laid_out(keys: Sequence[str]) -> list[Array]:
        stages = [plan.stages[key] for key in keys]
        return arrays(stages, in_queue, stages_per_job=packs, max_array_size=cluster.max_array_size)

    graph, n_kept_back = laid_out(new), 0
    asked = [request.parameters(options, submission.exec, kind) for kind in {None, *(array.kind for array in graph)}]
    limit = room([(one.get("account"), one.get("qos"), one.get("partition")) for one in asked])
    if limit is not None and sum(len(array.elements) for array in graph) > limit.n_jobs:
        if limit.n_jobs < 2:
            raise NoRoom(
                f"{limit.limit} is reached: {limit.n_jobs} more jobs may be in the queue, a wave needs 2; nothing was "
                "submitted; give the same command again when some have ended"
            )
        graph = laid_out(_first(graph, limit.n_jobs - 1))
        n_kept_back = len(new) - sum(len(keys) for array in graph for keys in array.elements.values())
    n_calls = _submit(submission, graph, next_wave if n_kept_back else None)
    by_kind = Counter({kind: 0 for kind in dict.fromkeys(array.kind for array in graph)})
    for array in graph:
        by_kind[array.kind] += sum(len(keys) for keys in array.elements.values())
    counts, n_jobs = ", ".join(f"{n} {kind}" for kind, n in by_kind.items()), sum(len(a.elements) for a in graph)
    print(
        f"submitted {sum(by_kind.values())} stages ({counts}) as {n_jobs} jobs in {len(graph)} arrays, "
        f"{n_calls} sbatch calls, {time.monotonic() - began:.1f} s\n"
        f"SLURM holds them now, nothing here has to stay alive; the record is {submission.folder}"
    )
    if n_kept_back and limit is not None:
        print(
            f"{n_kept_back} more stages wait: {limit.limit} lets {limit.n_jobs} more jobs into the queue; a small job "
            "submits the next wave when this one has ended"
        )


def _submit(submission: Submission, graph: Sequence[Array], next_wave: Callable[[], None] | None) -> int:
    """One sbatch an array, on record before and after; all or nothing stays in the queue. How many sbatch calls."""
    first, job_ids = len(submission.arrays()), {}
    with queue.outside_jobs():
        try:
            for array in graph:
                number, what = first + array.number, f"the {array.kind} jobs"
                dependency = array.dependency(job_ids)
                submission.note_array(array, number, dependency)
                job_ids[array.number] = _sbatch(submission, array, number, dependency)
                submission.note_job(number, job_ids[array.number])
            if next_wave is not None:
                what = "the job that submits the next wave"
                _sbatch_next_wave(submission, list(job_ids.values()), next_wave)
        except KeyboardInterrupt:
            queue.cancel(list(job_ids.values()))
            raise
        except (FailedSubmissionError, FailedJobError) as error:
            raise ValueError(
                f"sbatch refused {what}: {queue.said(_last_words(error))}; {_taken_back(submission, job_ids.values())}"
            ) from error
    return len(graph) + (next_wave is not None)


def _taken_back(submission: Submission, job_ids: Iterable[str]) -> str:
    """Cancel what was submitted before a refusal; what became of it, for a person."""
    ids = list(job_ids)
    try:
        queue.cancel(ids)
    except queue.SlurmError as error:
        return (
            f"the arrays submitted before, {', '.join(ids)}, are in the queue and on record, for they could not be "
            f"cancelled: {error}; give `python -m sweep cancel {submission.folder.name}`, or the same command again"
        )
    return f"the {len(ids)} arrays submitted before were cancelled, see {submission.folder}"


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


def _sbatch_next_wave(submission: Submission, job_ids: Sequence[str], next_wave: Callable[[], None]) -> None:
    options = submission.settings["options"]
    folder = submission.folder / "jobs" / f"wave-{len(submission.arrays()):03}"
    parameters = request.parameters(options, submission.exec, None)
    additional = parameters.pop("additional_parameters") | {"dependency": "afterany:" + ":".join(job_ids)}
    executor = _executor(submission, folder, parameters | {"additional_parameters": additional}, "next-wave")
    executor.submit(next_wave)


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


def _last_words(error: BaseException) -> str:
    """What sbatch printed; Submitit puts it at the end of its own message."""
    lines = str(error).strip().splitlines()
    return "\n".join(line for line in lines if "sbatch: error:" in line) or (lines[-1] if lines else repr(error))
