"""`python -m sweep [-m]`: build what a grid needs."""

from __future__ import annotations

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweep import memory
from sweep.commands.words import Line, composer
from sweep.compose import resolved
from sweep.installed import check_chosen
from sweep.launchers.plugins import PointFailed, errors_raised, refusal
from sweep.leaves import leaf
from sweep.plan import plan
from sweep.points import accepted


def run_grid(line: Line) -> int:
    """Hydra's own main: a multirun goes to the launcher, a single run and a point of another launcher to the pool."""
    code = 0

    def one(config: DictConfig) -> None:
        nonlocal code
        code = _built(config)
        if code and HydraConfig.get().mode == RunMode.MULTIRUN:
            raise PointFailed(code)  # the launcher goes on with the other points, perhaps in other processes

    sys.argv = ["sweep", *_hydras_words(line)]
    try:
        with errors_raised():
            hydra.main(config_path=line.files.path, config_name=line.files.name, version_base="1.3")(one)()
    except PointFailed as failed:
        return failed.code
    return code


def _built(config: DictConfig) -> int:
    """Build one run; the exit code. A signal ends the command, the points behind this one included."""
    from sweep.launchers.local import run as run_here

    try:
        grid_point = leaf(resolved(config))
        memory.check([grid_point])
        check_chosen(grid_point.exp.model, grid_point.exec.engine, grid_point.exec.device)
        code = run_here(plan([grid_point]), grid_point.exec, grid_point.tracking)
    except (ValueError, OmegaConfBaseException) as error:  # Hydra would print a line of its own before ours
        code = refusal(error)
    if code > 128:
        sys.exit(code)
    return code


def _hydras_words(line: Line) -> list[str]:
    """The line as Hydra's own main reads it: options first, for it takes no option between overrides."""
    with composer(line.files) as instance:
        overrides = accepted(instance.config_loader, line.overrides)
    given = vars(line.options)
    flags = [
        f"--{name.replace('_', '-')}"
        for name in ("multirun", "run", "resolve", "shell_completion", "hydra_help")
        if given[name]
    ]
    for name in ("cfg", "package", "info"):
        flags += [f"--{name}", given[name]] if given[name] else []
    return [*flags, *(["--config-dir", line.files.further] if line.files.further else []), *overrides]
