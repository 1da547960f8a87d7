"""The words of a command line: options, the plan that its overrides compose, the store and submission it names."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from sweep.artifacts import Store
from sweep.compose import grid, leaves, offer_arms
from sweep.config import Exec, Leaf, LeafConfig, untyped
from sweep.plan import Plan, plan

CONF = str(Path(__file__).parents[2] / "conf")
ConfigStore.instance().store("schema", untyped(LeafConfig))
offer_arms()


def options_of(words: list[str], **flags: bool) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m sweep", allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    if "json" in flags:
        parser.add_argument("--json", action="store_true")
    if "out" in flags:
        parser.add_argument("--out")
    if "by" in flags:
        parser.add_argument("--by", metavar="SETTING")
    if "origin" in flags:
        parser.add_argument("--from", dest="origin", nargs=2, metavar=("wandb", "ENTITY/PROJECT"))
    if "allow_mixed_code" in flags:
        parser.add_argument("--allow-mixed-code", action="store_true")
    options, overrides = parser.parse_known_args(words)
    unknown = [w for w in overrides if w.startswith("--")]
    if unknown:
        raise ValueError(f"unknown option {', '.join(unknown)}; valid ones: {parser.format_usage().strip()}")
    return options, overrides


def plan_of(overrides: Sequence[str]) -> tuple[Plan, Exec]:
    """The plan of a command line, composed as `run -m` would compose it."""
    with hydra.initialize_config_dir(CONF, job_name="sweep", version_base="1.3"):
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        master = instance.compose_config(
            config_name="config", overrides=list(overrides), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        loader = instance.config_loader
        grid_points: list[Leaf] = leaves(loader, master, grid(loader, master))
    return plan(grid_points), grid_points[0].exec


def store_and_name(verb: str, words: Sequence[str]) -> tuple[Store, str | None]:
    """The words of a command about one submission."""
    names = [word for word in words if "=" not in word]
    stores = [word.removeprefix("exec.store=") for word in words if word.startswith("exec.store=")]
    if len(names) > 1 or len(names) + len(stores) != len(words):
        raise ValueError(f"usage: python -m sweep {verb} [SUBMISSION] [exec.store=FOLDER], found: {' '.join(words)}")
    return Store(stores[-1] if stores else Exec.store), names[0] if names else None
