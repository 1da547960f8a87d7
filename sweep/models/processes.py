"""One training by several processes of this machine, which this process starts, listens to and ends.

Every one of them opens the same policy and is given the same rows; the first says how far they are and writes the
weights. A process that fails takes the others with it.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import torch.multiprocessing as mp

from sweep.data.records import Judged
from sweep.models.folder import load_policy, save_policy
from sweep.models.held import note, peak
from sweep.models.optim import Optim
from sweep.models.sharding import join, leave
from sweep.models.trainer import TrainCost, Trained, train
from sweep.models.update import Loss

PATIENCE_S = 10.0  # for the others' word, after one has ended without any


@dataclass(frozen=True)
class _Task:
    """What every process is given, pickled."""

    n_processes: int
    meeting: str  # the file that they find each other by
    folder: str
    device: str
    dtype: str
    n_threads: int
    out: str
    rows: Trained
    loss: Loss
    optim: Optim
    options: Mapping[str, Any]


def train_in_processes(
    n_processes: int,
    folder: Path,
    rows: Trained,
    loss: Loss,
    optim: Optim,
    out: Path,
    *,
    device: str,
    dtype: str,
    log: Callable[[int, dict[str, float]], None],
    should_stop: Callable[[], bool] | None = None,
    report: Callable[[int, int], None] | None = None,
    **options: Any,
) -> TrainCost:
    """`train` of the policy in `folder` by n_processes, its weights written to `out`.

    Args:
        device: cpu, or cuda for a card a process.
        options: further arguments of `train`, without a reference policy; they and the loss can be pickled.
    Raises:
        RuntimeError: a process ended without a word.
        Exception: what `train` raised in one of them.
    """
    said, stop = (context := mp.get_context("spawn")).Queue(), context.Event()
    with tempfile.TemporaryDirectory() as meeting:
        where = (f"{meeting}/processes", str(folder), device, dtype, torch.get_num_threads(), str(out))
        task = _Task(n_processes, *where, rows, loss, optim, options)
        started = [context.Process(target=_process, args=(i, task, said, stop)) for i in range(n_processes)]
        try:
            for process in started:
                process.start()
            return _heard(started, said, stop, log, should_stop, report)
        finally:
            for process in started:
                process.join(timeout=PATIENCE_S)
                process.kill()
                process.join()


def _heard(
    started: Sequence[SpawnProcess],
    said: Any,
    stop: Any,
    log: Callable[[int, dict[str, float]], None],
    should_stop: Callable[[], bool] | None,
    report: Callable[[int, int], None] | None,
) -> TrainCost:
    """Passes on what the processes say until they are done."""
    while True:
        if should_stop is not None and should_stop():
            stop.set()
        ended = [process for process in started if process.exitcode is not None]
        try:
            kind, content = said.get(timeout=PATIENCE_S if ended else 0.2)
        except Empty:
            if ended:
                raise RuntimeError(
                    f"one of {len(started)} training processes ended with exit code {ended[0].exitcode} and said "
                    "nothing; was it killed for memory? Lower exec.micro_batch_tokens or raise exec.n_processes"
                ) from None
            continue
        if kind == "done":
            return TrainCost(*content)
        if kind == "failed":
            raise content
        told = {"log": log, "report": report, "held": note}[kind]
        if told is not None:
            told(*content)


def _process(index: int, task: _Task, said: Any, stop: Any) -> None:
    try:
        cost = _trained(index, task, said, stop)
    except Exception as error:  # whatever it is, it is raised again where this was started
        said.put(("failed", error))
        return
    if index == 0:
        said.put(("held", peak()))
        said.put(("done", (cost.n_updates, cost.n_trained_tokens, cost.flops, cost.seconds)))


def _trained(index: int, task: _Task, said: Any, stop: Any) -> TrainCost:
    device = task.device
    if device.startswith("cuda"):
        device = f"cuda:{index}"
        torch.cuda.set_device(index)
    join(index, task.n_processes, device, task.meeting)
    torch.set_num_threads(task.n_threads)
    try:
        policy = load_policy(task.folder, revision=None, device=device, dtype=task.dtype)
        done = train(
            policy,
            task.rows,
            task.loss,
            task.optim,
            log=lambda update, metrics: said.put(("log", (update, metrics))),
            report=(lambda n_done, n: said.put(("report", (n_done, n)))) if index == 0 else None,
            should_stop=stop.is_set,
            reference=policy if isinstance(task.rows[0], Judged) else None,  # scored before the first update
            **task.options,
        )
        if index == 0:
            save_policy(policy, task.out)
        return done
    finally:
        leave()
