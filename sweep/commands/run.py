"""`python -m sweep [-m]`: build what a grid needs."""
from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweep.commands.words import CONF
from sweep.compose import resolved
from sweep.config import leaf
from sweep.launchers.plugins import errors_raised, refusal
from sweep.plan import plan


def run_grid(words: list[str]) -> int:
    """Hydra's own main: a multirun goes to the launcher, a single run to the local pool."""
    code = 0

    def one(config: DictConfig) -> None:
        nonlocal code
        from sweep.launchers.local import run as run_here

        try:
            grid_point = leaf(resolved(config))
            code = run_here(plan([grid_point]), grid_point.exec, grid_point.tracking)
        except (ValueError, OmegaConfBaseException) as error:  # Hydra would print a line of its own before ours
            code = refusal(error)

    sys.argv = ["sweep", *words]
    with errors_raised():
        hydra.main(config_path=CONF, config_name="config", version_base="1.3")(one)()
    return code
