"""The words of a command line, read once for every verb: the verb, its options, names, and what Hydra takes.

Options (options.py), verb and overrides may stand in any order. `plan_of` composes the overrides as `run -m` would.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sweep.artifacts import Store
from sweep.commands.options import NAMES, OF_RUN, OPTIONS, parser_of, usage
from sweep.compose import as_job, leaves
from sweep.conf_files import read_once
from sweep.config import Exec, LeafConfig
from sweep.fields import typed
from sweep.leaves import Leaf, untyped
from sweep.plan import Plan, plan
from sweep.points import accepted, grid, offer_arms
from sweep.terminal.words import nearest


def conf_dir() -> Path:
    """The project's configuration: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


CONF = str(conf_dir())
ConfigStore.instance().store("schema", untyped(LeafConfig))
offer_arms()


@dataclass(frozen=True)
class Files:
    """Which configuration files a command line composes."""

    path: str = CONF
    name: str = "config"
    further: str | None = None  # Hydra's --config-dir: a folder whose groups and files are found too


@dataclass(frozen=True)
class Line:
    """A command line that was read. `words` is all of it behind the verb, for records and advice."""

    verb: str
    words: tuple[str, ...]
    options: argparse.Namespace
    names: tuple[str, ...]  # words that are neither options nor overrides: a key, tables, a submission
    overrides: tuple[str, ...]
    files: Files


def line_of(words: Sequence[str], verbs: Sequence[str]) -> Line:
    """Read a command line.

    Raises:
        ValueError: an unknown verb, an option that the verb does not take, or Hydra's that cannot be obeyed.
    """
    options, unknown = parser_of(verbs).parse_known_intermixed_args(list(words))
    bare = [word for word in options.overrides if "=" not in word and not word.startswith(("~", "+"))]
    verb = bare[0] if bare and bare[0] in verbs else "run"
    names = tuple(bare[1:] if bare and verb == bare[0] else bare)
    if options.help:
        names, verb = (verb,) if verb != "run" else (), "help"
    if verb == "run" and names:
        raise ValueError(
            f"{names[0]} is neither a verb nor KEY=VALUE{nearest(names[0], verbs)}; the verbs are {', '.join(verbs)}"
        )
    if names and verb not in NAMES:
        raise ValueError(f"{' '.join(names)}: {verb} takes options and KEY=VALUE alone")
    _check_options(verb, options, unknown, verbs)
    overrides = tuple(word for word in options.overrides if word not in bare)
    rest = list(words)
    if verb in rest:
        rest.remove(verb)
    files = Files(
        os.path.abspath(options.config_path) if options.config_path else CONF,
        options.config_name or "config",
        os.path.abspath(options.config_dir) if options.config_dir else None,
    )
    if files.further and not os.path.isdir(files.further):
        raise ValueError(f"--config-dir {options.config_dir}: no such folder")
    return Line(verb, tuple(rest), options, names, overrides, files)


def _check_options(verb: str, options: argparse.Namespace, unknown: Sequence[str], verbs: Sequence[str]) -> None:
    if unknown:
        first = next((word for word in unknown if word.startswith("-")), unknown[0])
        there = [word for action in parser_of([verb])._actions for word in action.option_strings if len(word) > 2]
        raise ValueError(f"unknown option {first}{nearest(first.split('=')[0], there)}; {usage(verb)}")
    for option, (takers, told) in OPTIONS.items():
        given = getattr(options, told.get("dest", option.strip("-").replace("-", "_")), None)
        if given and verb not in takers and verb != "help":
            raise ValueError(f"{option} is an option of {', '.join(takers)}, not of {verb}; {usage(verb)}")
    hydras = [name for name in OF_RUN if getattr(options, name)]
    if hydras and verb not in ("run", "help"):
        raise ValueError(f"--{hydras[0].replace('_', '-')} is an option of run, not of {verb}; {usage(verb)}")
    if options.experimental_rerun:
        raise ValueError("--experimental-rerun: no run is recorded as a pickle; the same command again resumes it")


@contextmanager
def composer(files: Files) -> Iterator[Hydra]:
    """Hydra with these configuration files, for one command."""
    search_path = create_config_search_path(search_path_dir=files.path)
    if files.further:
        search_path.prepend("command-line", f"file://{files.further}", SearchPathQuery("schema"))
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    try:
        hydra = Hydra.create_main_hydra2(task_name="sweep", config_search_path=search_path)
        read_once(hydra.config_loader)
        yield hydra
    finally:
        GlobalHydra.instance().clear()


def _points(hydra: Hydra, files: Files, overrides: Sequence[str]) -> tuple[DictConfig, list[list[str]]]:
    loader = hydra.config_loader
    master = hydra.compose_config(
        files.name, accepted(loader, overrides), RunMode.MULTIRUN, with_log_configuration=False
    )
    return master, grid(loader, master)


def plan_of(overrides: Sequence[str], files: Files | None = None) -> tuple[Plan, Exec]:
    """The plan of a command line, composed as `run -m` would compose it."""
    with composer(files or Files()) as hydra:
        master, points = _points(hydra, files or Files(), overrides)
        grid_points: list[Leaf] = leaves(hydra.config_loader, master, points)
    return plan(grid_points), grid_points[0].exec


def exec_of(line: Line) -> Exec:
    """The resources that a command line composes, for a verb that needs no grid."""
    with composer(line.files) as hydra:
        master, points = _points(hydra, line.files, line.overrides)
        first = hydra.config_loader.load_sweep_config(master, accepted(hydra.config_loader, points[0]))
    with as_job(first, 0):
        found: Exec = typed(Exec, OmegaConf.to_container(first.exec, resolve=True), "exec")
    return found


def store_and_name(line: Line) -> tuple[Store, str | None]:
    """Of a command about one submission."""
    if len(line.names) > 1:
        raise ValueError(f"{usage(line.verb)}, found: {' '.join(line.names)}")
    return Store(exec_of(line).store), line.names[0] if line.names else None
