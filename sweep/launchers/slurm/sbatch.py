"""Handing stages to sbatch: arrays through Submitit, in waves where a limit of the queue wants it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from sweep.launchers.slurm import queue, request
from sweep.launchers.slurm.graph import Array, Place, arrays
from sweep.launchers.slurm.job import PARTLY_FAILED
from sweep.launchers.slurm.limits import Room, room
from sweep.launchers.slurm.lines import commands
from sweep.launchers.slurm.ownership import ours_alone, permissions
from sweep.launchers.slurm.submission import Submission
from sweep.plan import Plan, state
from sweep.terminal.words import count

SETUP_FAILS = (  # at the top level alone: what fails inside a script that a line reads is that script's business
    'sweep_setup() { test "$1" = 0 || { echo "sweep: setup failed with exit code $1: $sweep_line" >&2; exit "$1"; }; }',
    "trap 'sweep_status=$?; test ${#BASH_SOURCE[@]} -gt 1 || sweep_setup $sweep_status' ERR",
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class NoRoom(ValueError):
    """A limit of the queue is reached."""


def send(
    submission: Submission,
    plan: Plan,
    new: Sequence[str],
    in_queue: Mapping[str, Place],
    cluster: queue.Cluster,
    after: str | None = None,
) -> None:
    """sbatch the arrays that build `new`, as many as the user may have in the queue.

    Where some have to wait for room in the queue, a small job submits them when the others have ended.

    Args:
        after: jobs outside the sweep that all of it waits for, as sbatch's --dependency takes them.
    Raises:
        NoRoom: not even for one job and the one that submits the next wave.
        ValueError: sbatch refused an array; those before it are cancelled.
    """
    began = time.monotonic()
    graph, limit = _wave(submission, plan, new, in_queue, cluster)
    n_kept_back = len(new) - sum(len(keys) for array in graph for keys in array.elements.values())
    n_calls = _submit(submission, graph, after, n_kept_back > 0)
    print(
        f"submitted {_counted(graph)}, {n_calls} sbatch calls, {time.monotonic() - began:.1f} s\n"
        f"SLURM holds them now, nothing here has to stay alive; the record is {submission.folder}"
    )
    if n_kept_back and limit is not None:
        print(
            f"{count(n_kept_back, 'more stage waits', 'more stages wait')}: {limit.limit} lets "
            f"{count(limit.n_jobs, 'more job')} into the queue; a small job "
            "submits the next wave when this one has ended"
        )


def _wave(
    submission: Submission, plan: Plan, new: Sequence[str], in_queue: Mapping[str, Place], cluster: queue.Cluster
) -> tuple[list[Array], Room | None]:
    """The arrays that may be submitted now, and the limit that keeps others back; None where it keeps none."""
    built = list(state(plan, submission.store).built.values())
    packs = request.stages_per_job(submission.settings["options"], plan, new, built)

    def laid_out(keys: Sequence[str]) -> list[Array]:
        stages = [plan.stages[key] for key in keys]
        return arrays(stages, in_queue, stages_per_job=packs, max_array_size=cluster.max_array_size)

    graph = laid_out(new)
    limit = _limit(submission, graph)
    return (graph, None) if limit is None else (laid_out(_first(graph, limit.n_jobs - 1)), limit)


def _counted(graph: Sequence[Array]) -> str:
    """How many stages of each kind, as how many jobs, for a person."""
    by_kind: Counter[str] = Counter()
    for array in graph:
        by_kind[array.kind] += sum(len(keys) for keys in array.elements.values())
    counts, n_jobs = ", ".join(f"{n} {kind}" for kind, n in by_kind.items()), sum(len(a.elements) for a in graph)
    n_stages = count(sum(by_kind.values()), "stage")
    return f"{n_stages} ({counts}) as {count(n_jobs, 'job')} in {count(len(graph), 'array')}"


def _limit(submission: Submission, graph: Sequence[Array]) -> Room | None:
    """The limit on queued jobs that these are too many for; None where they are not."""
    options, kinds = submission.settings["options"], {None, *(array.kind for array in graph)}
    asked = [request.parameters(options, submission.exec, kind) for kind in kinds]
    limit = room([(one.get("account"), one.get("qos"), one.get("partition")) for one in asked])
    if limit is None or sum(len(array.elements) for array in graph) <= limit.n_jobs:
        return None
    if limit.n_jobs < 2:
        raise NoRoom(
            f"{limit.limit} is reached: {limit.n_jobs} more jobs may be in the queue, a wave needs 2; nothing was "
            "submitted; give the same command again when some have ended"
        )
    return limit


def _submit(submission: Submission, graph: Sequence[Array], after: str | None, has_next_wave: bool) -> int:
    """One sbatch an array, on record before and after; all or nothing stays in the queue. How many sbatch calls."""
    first = len(submission.arrays())
    job_ids: dict[int, str] = {}
    with queue.outside_jobs():
        try:
            for array in graph:
                number, what = first + array.number, f"the {array.kind} jobs"
                dependency = ",".join(word for word in (array.dependency(job_ids), after) if word) or None
                submission.note_array(array, number, dependency)
                job_ids[array.number] = _sbatch(submission, array, number, dependency)
                submission.note_job(number, job_ids[array.number])
            if has_next_wave:
                what = "the job that submits the next wave"
                _sbatch_next_wave(submission, list(job_ids.values()))
        except KeyboardInterrupt:
            queue.cancel(list(job_ids.values()))
            raise
        except (FailedSubmissionError, FailedJobError) as error:
            raise ValueError(
                f"sbatch refused {what}: {queue.said(_last_words(error))}; {_taken_back(submission, job_ids.values())}"
            ) from error
    return len(graph) + has_next_wave


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
    n_stages = max(len(keys) for keys in array.elements.values())
    parameters = request.parameters(options, submission.exec, array.kind, n_stages)
    cap = f"%{options['array_parallelism']}" if options["array_parallelism"] else ""
    own = {"array": ",".join(_ranges(sorted(array.elements))) + cap}
    if dependency:
        own |= {"dependency": dependency, "kill-on-invalid-dep": "yes"}
    return _submit_script(submission, folder, parameters, own, array.kind, ["job", str(submission.folder), str(number)])


def _sbatch_next_wave(submission: Submission, job_ids: Sequence[str]) -> None:
    folder = submission.folder / "jobs" / f"wave-{len(submission.arrays()):03}"
    parameters = request.parameters(submission.settings["options"], submission.exec, None)
    own = {"dependency": "afterany:" + ":".join(job_ids)}
    _submit_script(submission, folder, parameters, own, "next-wave", ["wave", str(submission.folder)])


def _submit_script(
    submission: Submission,
    folder: Path,
    parameters: Mapping[str, Any],
    own: Mapping[str, str],
    kind: str,
    words: Sequence[str],
) -> str:
    """A script that runs one of our modules, through Submitit; its job id. No pickle takes part."""
    umask = permissions()
    with ours_alone():
        folder.mkdir()
    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(
        **executor._convert_parameters(script_parameters(submission, folder, parameters, own, kind, umask))
    )
    # until Python has set its handlers, the signal that asks for a checkpoint would end it and so fail the job
    python = ["bash", "-c", 'trap "" USR2; exec "$0" "$@"', sys.executable, "-u"]
    module, *arguments = words
    command = shlex.join([*python, "-m", f"{__package__}.{module}", *arguments])
    with ours_alone():
        return str(executor._submit_command(command).job_id)


def script_parameters(
    submission: Submission, folder: Path, parameters: Mapping[str, Any], own: Mapping[str, str], kind: str, umask: int
) -> dict[str, Any]:
    """What Submitit makes a job's script of: settings, the code that was submitted, and how a failure is told."""
    parameters = dict(parameters)
    output = f"{folder}/{'%A_%a' if 'array' in own else '%j'}"
    files = {"output": f"{output}.out", "error": f"{output}.err"}  # the step's too: one place for what a job says
    additional = {**parameters.pop("additional_parameters"), **own, **files}
    srun_args = [*(f"--{name}={path}" for name, path in files.items()), "--open-mode=append"]
    return parameters | {
        "additional_parameters": additional,
        "srun_args": [*parameters.pop("srun_args", []), *srun_args],
        "setup": _before(submission, parameters.pop("setup"), umask),
        "teardown": [
            "status=$?",
            *parameters.pop("teardown", []),
            f'test "$status" = {PARTLY_FAILED} && exit 0  # the chains of the stages that were built go on',
            'exit "$status"',
        ],
        "job_name": f"{submission.exec.sweep_name}/{kind}",
        "comment": f"{submission.folder.name} {folder.name}",
    }


def _before(submission: Submission, setup: Sequence[str], umask: int) -> list[str]:
    """Lines of shell before the command: the submitted code as it was, the user's lines, the environment."""
    site, code = submission.settings["options"]["site"], shlex.quote(submission.settings["code"])
    exports = {
        "PYTHONPATH": submission.settings["code"], "PYTHONSAFEPATH": "1",  # not the checkout in the working directory
        "PYTHONDONTWRITEBYTECODE": "1",  # the copy of the code stays what it is
        "TMPDIR": site["scratch"], **dict.fromkeys(THREADS, str(submission.exec.n_threads)),
    }  # fmt: skip
    if site["weights"]:
        exports |= {"HF_HUB_CACHE": site["weights"], "HF_HUB_OFFLINE": "1"}
    return [
        f"umask {umask:04o}; export SLURM_UMASK={umask:04o}",
        f"sweep_code=$(cd {code} && find . ! -type d -exec sha256sum {{}} + | LC_ALL=C sort | sha256sum)",
        f'test "$sweep_code" = "{submission.settings["code_sha256"]}  -" || {{',
        f"  echo sweep: {code} is not the code that was submitted, nothing is run: give the sweep command again >&2",
        "  exit 1",
        "}",
        *SETUP_FAILS,
        *(
            line
            for group in commands(setup)
            for line in (f"sweep_line={shlex.quote(' '.join(group))}", *group, "sweep_setup $?")
        ),
        "trap - ERR; set +e +u",
        *(f"export {name}={shlex.quote(str(value))}" for name, value in exports.items()),
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # from 22.05 on srun does not take it over
        *([f"export SLURM_CONF={shlex.quote(os.environ['SLURM_CONF'])}"] if "SLURM_CONF" in os.environ else []),
    ]


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
