"""From grid points to leaves: Hydra's own composition, each distinct config composed once.

Hydra composes every grid point from its files twice, which takes minutes for a thousand of them. Here
the files are read once a combination of config groups (source, method, arm, ...), and the plain values
(n_problems, seed, ...) are then set on the result in the order given, as Hydra itself applies them. A
test holds the outcome against Hydra's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from sweep.config import Exp
from sweep.leaves import SCHEMAS, Leaf, checked, has_rates_by_size, leaf
from sweep.points import VALID, as_typed, is_unset, parsed
from sweep.terminal.progress import counted
from sweep.terminal.words import nearest

OFF = ("none", "off", "no", "false", "disabled")  # words for no tracker, as which jsonl keeps curves on this machine
NODES = tuple(f.name for f in fields(Leaf) if f.name not in ("overrides", "exp")) + tuple(f.name for f in fields(Exp))


def _value_words(loader: ConfigLoader) -> Callable[[str], bool]:
    """Whether a word sets a plain value, which needs no file to be read again; each word is looked at once."""

    @cache
    def is_group(key: str) -> bool:
        return bool(loader.get_group_options(key))

    @cache
    def is_value(line: str) -> bool:
        override = parsed(line)
        if override.type != OverrideType.CHANGE or "/" in override.key_or_group:
            return False
        if isinstance(override.value(), dict):
            return False  # merged into what is there, so another leaf's would be left behind
        return not is_group(override.key_or_group)

    return is_value


def leaves(loader: ConfigLoader, master: DictConfig, job_overrides: Sequence[Sequence[str]]) -> list[Leaf]:
    """The composed, resolved and checked leaf of each override list.

    Raises:
        ValueError: a composition error, an unknown key or group, or a value that the schema refuses;
            the message names the grid point.
    """
    parse, is_value = cache(parsed), _value_words(loader)

    def accepted_files(files: Sequence[str]) -> list[str]:
        return [f"~{parse(line).key_or_group}" if is_unset(loader, parse(line)) else line for line in files]

    composed: dict[tuple[str, ...], tuple[DictConfig, Stays]] = {}
    out = []
    shared = set(job_overrides[0] if job_overrides else ()).intersection(*job_overrides)  # composed once, by Hydra
    for number, overrides in enumerate(counted(job_overrides, "composing the grid")):
        files = tuple(line for line in overrides if line in shared or not is_value(line))
        values = [parse(line) for line in overrides if line not in shared and is_value(line)]
        # every leaf of a multirun sets the same keys, so values left by an earlier one are overwritten
        slot = (*files, *(override.key_or_group for override in values))
        try:
            if slot not in composed:
                config = loader.load_sweep_config(master, accepted_files(files))
                with as_job(config, number):
                    composed[slot] = config, what_stays(config, [override.key_or_group for override in values])
            config, stays = composed[slot]
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
            asks = stays.asks_hydra or any("${" in line for line in overrides)
            with as_job(config, number) if asks else nullcontext():
                out.append(leaf(resolved(config, stays), tuple(overrides), stays.checked))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            where = " ".join(map(as_typed, overrides)) or "(defaults)"
            raise ValueError(f"grid point {where}: {reason(error)}") from error
    check_one_place(out)
    return out


@contextmanager
def as_job(config: DictConfig, number: int) -> Iterator[None]:
    """Let `${hydra:job.num}` and the like be read of this config, as Hydra does for job `number` of a multirun."""
    told: Any = HydraConfig.instance()
    before = told.cfg
    with read_write(config), open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(number), number
    told.cfg = config  # not set_config, which copies all of it: there are a thousand leaves
    try:
        yield
    finally:
        told.cfg = before


def check_one_place(grid_points: Sequence[Leaf]) -> None:
    """Refuse grid points that would run in different places: a sweep has one `exec` and one `tracking`.

    Raises:
        ValueError: names the setting, both values and the points that have them.
    """
    for point in grid_points[1:]:
        first = grid_points[0]
        for node in ("exec", "tracking"):
            if getattr(point, node) == getattr(first, node):
                continue
            theirs = asdict(getattr(point, node))
            for name, value in asdict(getattr(first, node)).items():
                if theirs[name] != value:
                    mine, other = (
                        " ".join(sorted(map(as_typed, {*a.overrides} - {*b.overrides})))
                        for a, b in ((first, point), (point, first))
                    )
                    raise ValueError(
                        f"{node}.{name} differs between grid points: {value} ({mine}) and {theirs[name]} ({other}); a "
                        f"sweep has one {node}: give {node}.{name}=VALUE, or run them one after the other"
                    )


@dataclass(frozen=True)
class Stays:
    """Nodes that no value set later can change: in their typed form, or plain where that is another at each size.

    asks_hydra says whether any node reads of another place than its own config, such as ${hydra:job.num}.
    """

    checked: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    asks_hydra: bool = True


def what_stays(config: DictConfig, keys: Sequence[str]) -> Stays:
    """The nodes of a config that a value set at `keys` cannot change, so that they are resolved and checked once.

    A node changes where a key lies in it. One with an interpolation may change where any in the whole config has
    another form than ${path}, or a path that meets a key.
    """
    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict)
    texts = {str(name): _interpolations(value) for name, value in raw.items() if name != "hydra"}
    paths = [re.fullmatch(r"\$\{(\w+(?:\.\w+)*)\}", text) for found in texts.values() for text in found]
    can_see = any(path is None or any(_meet(path[1], key) for key in keys) for path in paths)
    set_later = {key.split(".")[0] for key in keys}
    nodes = {
        name: OmegaConf.to_container(config[name], resolve=True)
        for name in SCHEMAS
        if isinstance(raw.get(name), dict) and name not in set_later and not (can_see and texts[name])
    }
    plain = {name: values for name, values in nodes.items() if has_rates_by_size(values)}
    typed = {name: checked(name, values) for name, values in nodes.items() if name not in plain}
    return Stays(typed, plain, any(path is None or path[1].split(".")[0] == "hydra" for path in paths))


def _meet(path: str, key: str) -> bool:
    return f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}.")


def _interpolations(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return [text for inner in inside for text in _interpolations(inner)]
    return [value] if isinstance(value, str) and "${" in value else []


def resolved(config: DictConfig, stays: Stays | None = None) -> dict[str, Any]:
    """The leaf's nodes of a composed config, interpolations resolved, as plain dicts.

    Args:
        stays: what is known of the config already; nodes in their typed form are left out.
    Raises:
        ValueError: a key was appended that nothing reads.
    """
    unknown = sorted({str(name) for name in config} - {"hydra", *VALID})
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)}; the valid ones are {', '.join(VALID)}")
    stays = stays or Stays()
    asked = [name for name in NODES if name not in stays.checked]
    return {name: stays.plain[name] if name in stays.plain else _plain(config[name]) for name in asked}


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def reason(error: BaseException | None) -> str:
    """The error and what it came from, on one line; for an unknown key, the keys that are valid there.

    Of Hydra's own text, the advice to append the key is left out (nothing here reads a key that the schema does not
    have), and so are its search path and its list of node types.
    """
    said = []
    while error is not None:
        text = str(error).split("Config search path:")[0].split("To append to your config")[0]
        text = " ".join(text.split("full_key:")[0].split())
        if missing := re.search(r"Could not find '[^']*?([^'/]+)' Available options in '[^']+': (.*)", text):
            is_off = "'tracking/" in text and missing[1].lower() in OFF
            text += nearest("jsonl" if is_off else missing[1], missing[2].split())
        said.append(text)
        parent = getattr(error, "parent_node", None)
        if isinstance(error, AttributeError | KeyError) and isinstance(parent, DictConfig):
            key, valid = str(getattr(error, "key", "")), sorted({*map(str, parent)})
            said.append(f"valid keys there: {', '.join(valid)}{nearest(key, valid)}")
        error = error.__cause__
    told = [s.rstrip(".") for s in said if s]
    return "; ".join(s for i, s in enumerate(told) if not any(s in earlier for earlier in told[:i]))
