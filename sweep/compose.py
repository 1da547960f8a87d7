"""From a command line to leaves: Hydra's own grid and composition, each distinct config composed once.

Hydra composes every grid point from its files twice, which takes minutes for a thousand of them. Here
the files are read once a combination of config groups (source, method, arm, ...), and the plain values
(n_problems, seed, ...) are then set on the result in the order given, as Hydra itself applies them. A
test holds the outcome against Hydra's.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.arms import ARMS, Arm
from sweep.config import Exp, Leaf, LeafConfig, leaf

VALID = tuple(f.name for f in fields(LeafConfig))
NODES = tuple(f.name for f in fields(Leaf) if f.name not in ("overrides", "exp")) + tuple(f.name for f in fields(Exp))


def offer_arms() -> None:
    """Make `arm=WORD` a config group of Hydra's with an option an arm, as if conf/arm/ held a file of each."""
    for arm in ARMS:
        ConfigStore.instance().store(group="arm", name=arm.word, package="_global_", node=_node(arm))


def _node(arm: Arm) -> dict[str, Any]:
    settings = {**arm.settings, **({"evaluation.is_entropy_matched": True} if arm.is_entropy_matched else {})}
    node = OmegaConf.create()
    for name, value in settings.items():
        OmegaConf.update(node, name, value)
    return {
        "defaults": [{"override /source": arm.source}, {"override /method": arm.method}],
        **OmegaConf.to_container(node),
    }


def grid(loader: ConfigLoader, master: DictConfig) -> list[list[str]]:
    """The override lists of a multirun: the experiment's grid, its axes replaced by the command line's.

    hydra.sweeper.params is one product of axes, as with Hydra's basic sweeper. Each entry of
    hydra.sweeper.also adds another product, in which its axes take the place of params' (the baseline
    alone at larger sizes, say); an entry whose axes the command line sets is left out.
    """
    parser = OverridesParser.create(config_loader=loader)
    given = parser.parse_overrides(list(master.hydra.overrides.task))
    taken = {override.get_key_element() for override in given}
    params = dict(master.hydra.sweeper.params or {})
    also = [dict(more) for more in master.hydra.sweeper.also or [] if not taken & set(more)]

    def product(axes: dict[str, str]) -> list[list[str]]:
        overrides = parser.parse_overrides([f"{key}={value}" for key, value in axes.items()])
        return BasicSweeper.split_arguments([*overrides, *given], None)[0]

    out = product(params)
    for more in also:  # a point of an earlier product is the same run; repeats within one product are refused later
        out += [point for point in product({**params, **more}) if point not in out]
    return out


def leaves(loader: ConfigLoader, master: DictConfig, job_overrides: Sequence[Sequence[str]]) -> list[Leaf]:
    """The composed, resolved and checked leaf of each override list.

    Raises:
        ValueError: a composition error, an unknown key or group, or a value that the schema refuses;
            the message names the grid point.
    """
    parser = OverridesParser.create(config_loader=loader)

    @cache
    def parse(line: str) -> Override:
        return parser.parse_override(line)

    @cache
    def is_value(line: str) -> bool:
        override = parse(line)
        if override.type != OverrideType.CHANGE or "/" in override.key_or_group:
            return False
        if isinstance(override.value(), dict):
            return False  # merged into what is there, so another leaf's would be left behind
        return not loader.get_group_options(override.key_or_group)

    composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}
    out = []
    for overrides in job_overrides:
        files = tuple(line for line in overrides if not is_value(line))
        values = [parse(line) for line in overrides if is_value(line)]
        # every leaf of a multirun sets the same keys, so values left by an earlier one are overwritten
        slot = (*files, *(override.key_or_group for override in values))
        try:
            if slot not in composed:
                config = loader.load_sweep_config(master, list(files))
                composed[slot] = config, what_stays(config, [override.key_or_group for override in values])
            config, known = composed[slot]
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
            out.append(leaf(resolved(config, known), tuple(overrides)))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            where = " ".join(overrides) or "(defaults)"
            raise ValueError(f"grid point {where}: {reason(error)}") from error
    return out


def what_stays(config: DictConfig, keys: Sequence[str]) -> dict[str, Any]:
    """The resolved nodes of a config that a value set at `keys` cannot change, so that they are resolved once.

    A node changes where a key lies in it. One with an interpolation may change where any in the whole config has
    another form than ${path}, or a path that meets a key.
    """
    ours = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    raw = OmegaConf.to_container(ours, resolve=False)
    assert isinstance(raw, dict)
    texts = {str(name): _interpolations(value) for name, value in raw.items()}
    paths = [re.fullmatch(r"\$\{(\w+(?:\.\w+)*)\}", text) for found in texts.values() for text in found]
    can_see = any(path is None or any(_meet(path[1], key) for key in keys) for path in paths)
    set_later = {key.split(".")[0] for key in keys}
    return {
        name: OmegaConf.to_container(config[name], resolve=True)
        for name in NODES
        if isinstance(raw[name], dict) and name not in set_later and not (can_see and texts[name])
    }


def _meet(path: str, key: str) -> bool:
    return f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}.")


def _interpolations(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return [text for inner in inside for text in _interpolations(inner)]
    return [value] if isinstance(value, str) and "${" in value else []


def resolved(config: DictConfig, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The leaf's nodes of a composed config, interpolations resolved, as plain dicts.

    Args:
        known: nodes that are resolved already; they are taken as they are.
    Raises:
        ValueError: a key was appended that nothing reads.
    """
    unknown = sorted({str(name) for name in config} - {"hydra", *VALID})
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)}; the valid ones are {', '.join(VALID)}")
    known = known or {}
    return {
        name: known[name] if name in known
        else OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node := config[name]) else node
        for name in NODES
    }


def reason(error: BaseException | None) -> str:
    """The error and what it came from, on one line; for an unknown key, the keys that are valid there.

    Of Hydra's own text, the advice to append the key is left out (nothing here reads a key that the schema does not
    have), and so are its search path and its list of node types.
    """
    said = []
    while error is not None:
        text = str(error).split("Config search path:")[0].split("To append to your config")[0]
        said.append(" ".join(text.split("full_key:")[0].split()))
        parent = getattr(error, "parent_node", None)
        if isinstance(error, AttributeError | KeyError) and OmegaConf.is_dict(parent):
            said.append(f"valid keys there: {', '.join(sorted(map(str, parent)))}")
        error = error.__cause__
    told = [s.rstrip(".") for s in said if s]
    return "; ".join(s for i, s in enumerate(told) if not any(s in earlier for earlier in told[:i]))
