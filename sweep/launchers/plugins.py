"""Hydra's seams: a sweeper that leaves composition to the launcher, and the launchers themselves.

A Launcher receives the override lists of ALL grid points in one call, which is where the planner sits.
Hydra admits plugins by a class path that starts with `hydra_plugins.`; the classes are registered under
such a path by `register`: this module is made known as `hydra_plugins.sweep`, and nothing has to be
installed for Hydra to find it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sweep import memory
from sweep.compose import leaves, reason
from sweep.conf_files import read_once
from sweep.installed import BUILDING, check_chosen, check_installed
from sweep.leaves import Leaf
from sweep.places import check_writable
from sweep.plan import Plan, plan
from sweep.points import grid

Plugins.instance()  # scanning executes Hydra's own plugin modules anew: scan first, inherit after
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402


class PlanSweeper(BasicSweeper):
    """All grid points in one call to the launcher, which composes and checks each once, before any work."""

    def __init__(self, params: Mapping[str, str] | None = None, also: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(max_batch_size=None, params=dict(params or {}))

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        points = grid(self.hydra_context.config_loader, self.config)
        folder = Path(self.config.hydra.sweep.dir)
        check_writable(folder, "hydra.sweep.dir")
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        results = self.launcher.launch(points, initial_job_idx=0)
        if codes := [code for result in results if (code := _exit_code(result))]:
            raise PointFailed(max(codes))
        return [results]


class PointFailed(Exception):
    """A grid point that a launcher other than ours started did not end well; its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _exit_code(result: JobReturn) -> int:
    """Of one point, looked at because Hydra tells of a failure only to who asks for the result."""
    try:
        _ = result.return_value
    except PointFailed as failed:
        return failed.code
    return 0


class PlanLauncher(Launcher):
    """Composes all grid points, plans them, records their configs and hands the plan to `run`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        read_once(hydra_context.config_loader)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        try:
            grid_points = leaves(self.hydra_context.config_loader, self.config, job_overrides)
            the_plan = plan(grid_points)
            memory.check(grid_points)
            for one in grid_points:
                check_chosen(one.exp.model, one.exec.engine, one.exec.device)
            folder = Path(self.config.hydra.sweep.dir)
            record_configs(folder, grid_points, self.config, initial_job_idx)
            code = self.run(the_plan, grid_points[0], folder)
        except ValueError as error:
            sys.exit(refusal(error))
        if code:
            sys.exit(code)
        return [self._job_return(leaf) for leaf in grid_points]

    def run(self, the_plan: Plan, leaf: Leaf, folder: Path) -> int:
        """Carry the plan out; the exit code."""
        raise NotImplementedError

    def _job_return(self, leaf: Leaf) -> JobReturn:
        done = JobReturn(overrides=leaf.overrides, status=JobStatus.COMPLETED)
        done.return_value = None
        return done


class LocalLauncher(PlanLauncher):
    """Worker processes on this machine."""

    def run(self, the_plan: Plan, leaf: Leaf, folder: Path) -> int:
        from sweep.launchers.local import run

        return run(the_plan, leaf.exec, leaf.tracking)


class SlurmLauncher(PlanLauncher):
    """A graph of SLURM jobs through Submitit."""

    def run(self, the_plan: Plan, leaf: Leaf, folder: Path) -> int:
        check_installed(BUILDING, "submitting stages")
        from sweep.launchers.slurm.submit import submit

        return submit(the_plan, leaf.exec, leaf.tracking, folder, self.options)


def register() -> None:
    """Make the sweeper and the launchers known to Hydra, as members of `hydra_plugins.sweep`."""
    try:
        namespace = importlib.import_module("hydra_plugins")
    except ImportError:
        namespace = ModuleType("hydra_plugins")
        namespace.__path__ = []
        sys.modules["hydra_plugins"] = namespace
    vars(namespace)["sweep"] = sys.modules["hydra_plugins.sweep"] = sys.modules[__name__]
    for plugin in (PlanSweeper, LocalLauncher, SlurmLauncher):
        plugin.__module__ = "hydra_plugins.sweep"
        Plugins.instance().register(plugin)


def record_configs(folder: Path, grid_points: Sequence[Leaf], master: DictConfig, first: int) -> None:
    """A `.hydra` folder for each run, as Hydra's own launchers leave one."""
    with open_dict(master):
        hydra_text = OmegaConf.to_yaml(OmegaConf.create({"hydra": master.hydra}))
    for number, leaf in enumerate(grid_points, start=first):
        target = folder / str(number) / ".hydra"
        target.mkdir(parents=True, exist_ok=True)
        config = {**asdict(leaf.exp), "tracking": asdict(leaf.tracking), "exec": asdict(leaf.exec)}
        dump = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        (target / "config.yaml").write_text(yaml.dump(config, Dumper=dump, sort_keys=False), encoding="utf-8")
        (target / "overrides.yaml").write_text(yaml.dump(list(leaf.overrides), Dumper=dump), encoding="utf-8")
        (target / "hydra.yaml").write_text(hydra_text, encoding="utf-8")


def refusal(error: BaseException) -> int:
    """Print a user's own mistake as one paragraph, without a traceback; the exit code."""
    is_hydras = isinstance(error, HydraException | OmegaConfBaseException)
    print(f"sweep: {reason(error) if is_hydras else error}", file=sys.stderr)
    return 2


@contextmanager
def errors_raised() -> Iterator[None]:
    """Let Hydra's main raise what it would print: it ends with exit code 1 for a mistake, and we with 2."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before
