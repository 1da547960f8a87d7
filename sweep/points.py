"""From a command line to grid points: the words that Hydra accepts, and the overrides of each point of a grid."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from sweep.arms import ARMS, Arm
from sweep.config import LeafConfig
from sweep.fields import shown
from sweep.terminal.words import nearest

VALID = tuple(f.name for f in fields(LeafConfig))
MOST_POINTS = 100_000
UNOBEYED: dict[str, tuple[Any, ...]] = {  # settings of Hydra that a sweep cannot obey: the values that ask for nothing
    "output_subdir": (".hydra",),
    "sweep.subdir": ("${hydra.job.num}",),
    "job.chdir": (False, None),
    "job.env_set": ({},),
    "job.env_copy": ([],),
    "callbacks": ({},),
}


def offer_arms() -> None:
    """Make `arm=WORD` a config group of Hydra's with an option an arm, as if conf/arm/ held a file of each."""
    for arm in ARMS:
        ConfigStore.instance().store(group="arm", name=arm.word, package="_global_", node=_node(arm))


def _node(arm: Arm) -> DictConfig:
    settings = {**arm.settings, **({"evaluation.is_entropy_matched": True} if arm.is_entropy_matched else {})}
    node = OmegaConf.create({"defaults": [{"override /source": arm.source}, {"override /method": arm.method}]})
    for name, value in settings.items():
        OmegaConf.update(node, name, value)
    return node


def accepted(loader: ConfigLoader, words: Sequence[str]) -> list[str]:
    """The overrides of a command line as Hydra takes them: `group=null`, which it refuses, is its `~group`.

    Raises:
        ValueError: what cannot be read as an override, or an arm beside the source or method that it stands for.
    """
    overrides = [parsed(word) for word in words]
    groups = loader.list_groups("")
    for override in overrides:
        key = re.split(r"[./@]", override.key_or_group)[0]
        if key not in (*VALID, *groups, "hydra"):
            raise ValueError(
                f"{override.input_line}: unknown key {key}{nearest(key, [*VALID, *groups])}; the valid ones are "
                f"{', '.join(VALID)}; the groups are {', '.join(groups)}"
            )
        if override.type == OverrideType.DEL and override.is_sweep_override():
            raise ValueError(
                f"{override.input_line}: what is taken away cannot be swept over; give ~{override.key_or_group} alone"
            )
        _refuse_no_names(loader, override)
    given = {o.key_or_group for o in overrides if o.type != OverrideType.DEL and not is_unset(loader, o)}
    if "arm" in given and (both := given & {"source", "method"}):
        raise ValueError(
            f"arm and {' and '.join(sorted(both))} are both given: an arm is a source and a method under one name; "
            "give either arm, or source and method"
        )
    return [f"~{o.key_or_group}" if is_unset(loader, o) else o.input_line or "" for o in overrides]


def _refuse_no_names(loader: ConfigLoader, override: Override) -> None:
    """A config group's value is the name of a file in it, or a list of names."""
    if override.is_sweep_override() or not isinstance(value := override.value(), list):
        return
    if loader.get_group_options(override.key_or_group) and not all(isinstance(one, str) for one in value):
        raise ValueError(
            f"{override.input_line}: {override.key_or_group} is a config group, whose value is a name; "
            f"one of {', '.join(loader.get_group_options(override.key_or_group))} was expected"
        )


def is_unset(loader: ConfigLoader, override: Override) -> bool:
    """Whether an override is `group=null`."""
    is_change = override.type == OverrideType.CHANGE and not override.is_sweep_override()
    return is_change and override.value() is None and bool(loader.get_group_options(override.key_or_group))


def parsed(word: str, loader: ConfigLoader | None = None) -> Override:
    """One word of a command line as an override.

    Args:
        loader: who knows the names in a config group, where `arm=glob(*dpo)` is to be gone through.
    Raises:
        ValueError: it is none; says why in words of its own, for Hydra's are its grammar's.
    """
    try:
        if (override := OverridesParser.create().parse_override(word)).key_or_group:
            override.config_loader = loader
            return override
        raise ValueError("no key")
    except (HydraException, RecursionError, ValueError) as error:
        key, equals, value = word.partition("=")
        if not equals or not key:
            why = "expected KEY=VALUE, or ~KEY to delete"
        elif any("\udc80" <= letter <= "\udcff" for letter in word):
            why = "it holds bytes that are no UTF-8; give another name or folder"
        elif value.rstrip().endswith(",") or value.lstrip().startswith(",") or ",," in value:
            why = "a comma stands between two values, remove the one too many"
        elif any(value.count(pair[0]) != value.count(pair[1]) for pair in ("[]", "{}", "()")):
            why = "a bracket is not closed, or closed twice"
        elif any(value.count(quote) % 2 for quote in "'\""):
            why = "a quote is not closed"
        elif call := re.fullmatch(r"(\w+)\(.*\)", value.strip()):
            why = f"{call[1]}(...) is not a function of Hydra's, or is given what it does not take; {_SWEEPS}"
        else:
            why = """a value with blanks, commas, brackets or = is put into quotes of its own: 'KEY="VALUE"'"""
        raise ValueError(f"{shown(word)} cannot be read: {why}") from error


def as_typed(word: str) -> str:
    """An override without the backslashes that Hydra's writing of a value puts in: `${a.b}` and not `$\\{a.b\\}`."""
    return re.sub(r"\\([\\()\[\]{}:=, \t])", r"\1", word)


def check_obeyed(master: DictConfig) -> None:
    """Refuse a setting of Hydra that a sweep would ignore.

    Raises:
        ValueError: names it.
    """
    hydras = OmegaConf.to_container(master.hydra, resolve=False)
    for name, harmless in UNOBEYED.items():
        value: Any = hydras
        for key in name.split("."):
            value = value[key]
        if value not in harmless:
            raise ValueError(
                f"hydra.{name}={'null' if value is None else value} cannot be obeyed: a sweep records run N in "
                "N/.hydra of hydra.sweep.dir, and its workers keep this folder and environment; leave it out"
            )


def grid(loader: ConfigLoader, master: DictConfig) -> list[list[str]]:
    """The override lists of a multirun: the experiment's grid, its axes replaced by the command line's.

    hydra.sweeper.params is one product of axes, as with Hydra's basic sweeper. Each entry of
    hydra.sweeper.also adds another product, in which its axes take the place of params' (the baseline
    alone at larger sizes, say); an entry whose axes the command line sets is left out. An arm is a source
    and a method, so either's axes take the place of the other's. Several experiments are the sum of their grids.

    Raises:
        ValueError: a setting of Hydra that cannot be obeyed, or more than MOST_POINTS points.
    """
    check_obeyed(master)
    hydras, words = (_as_given(master.hydra.overrides[of]) for of in ("hydra", "task"))
    words = accepted(loader, words)
    given = [parsed(word, loader) for word in words]
    swept = next((place for place, override in enumerate(given) if _bears_grids(loader, override)), None)
    if swept is None:
        return _products(master, given)
    out: list[list[str]] = []
    for word in _values(given[swept]):
        words[swept] = word
        one = loader.load_configuration(master.hydra.job.config_name, [*hydras, *words], RunMode.MULTIRUN)
        if one.hydra.launcher != master.hydra.launcher:
            raise ValueError(f"{words[swept]} sets hydra.launcher, of which a sweep has one: give it on its own")
        out += [point for point in grid(loader, one) if point not in out]
    return out


def _as_given(words: ListConfig) -> list[str]:
    """Overrides as they were typed: an interpolation in one is of the point that it is composed into."""
    found = OmegaConf.to_container(words, resolve=False)
    assert isinstance(found, list)
    return [str(word) for word in found]


def _bears_grids(loader: ConfigLoader, override: Override) -> bool:
    """Whether a config group is swept whose files bring grids: experiments, and any other that sets hydra."""
    group = override.key_or_group
    if not override.is_discrete_sweep() or not (options := loader.get_group_options(group)):
        return False
    assert isinstance(loader, ConfigLoaderImpl)  # Hydra has no other
    repository = ConfigLoaderImpl._parse_overrides_and_create_caching_repo(loader, None, [])[1]
    read = [repository.load_config(f"{group}/{name}") for name in override.sweep_string_iterator() if name in options]
    return group == "experiment" or any("hydra" in found.config for found in read if found is not None)


def _products(master: DictConfig, given: list[Override]) -> list[list[str]]:
    taken = {override.key_or_group for override in given}
    is_arm_given = any(o.key_or_group == "arm" and not o.is_delete() for o in given)
    replaced = ({"arm"} if taken & {"source", "method"} else set()) | ({"source", "method"} if is_arm_given else set())
    replaced |= {o.key_or_group for o in given if o.is_delete()}
    params = {key: value for key, value in _axes(master, "params").items() if key not in replaced}
    also = [dict(more) for more in _products_of(master) if not (taken | replaced) & set(more)]
    out = _product(params, given)
    for more in also:  # a point of an earlier product is the same run; repeats within one product are refused later
        out += [point for point in _product({**params, **more}, given) if point not in out]
    return out


def _axes(master: DictConfig, name: str) -> Mapping[str, Any]:
    axes = master.hydra.sweeper.get(name) or {}
    if axes and not OmegaConf.is_dict(axes):
        raise ValueError(f"hydra.sweeper.{name}={axes}: axes were expected, such as {{n_problems: '64,128'}}")
    return axes


def _products_of(master: DictConfig) -> Sequence[Mapping[str, Any]]:
    also = master.hydra.sweeper.get("also") or []
    if also and not (OmegaConf.is_list(also) and all(OmegaConf.is_dict(more) for more in also)):
        raise ValueError(f"hydra.sweeper.also={also}: a list of axes was expected, such as [{{arm: sft}}]")
    return also


def _product(params: Mapping[str, Any], given: list[Override]) -> list[list[str]]:
    overrides = [*(parsed(f"{key}={value}") for key, value in params.items()), *given]
    axes: dict[str, list[str]] = {}
    for override in overrides:  # a later one takes an earlier one's place, as with Hydra's basic sweeper
        axes[override.get_key_element()] = _values(override)
    n_points = math.prod(len(values) for values in axes.values())
    if n_points > MOST_POINTS:
        raise ValueError(f"the grid has {n_points} points or more; at most {MOST_POINTS} are planned at once")
    return [list(point) for point in itertools.product(*axes.values())]


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_delete():
        return [override.input_line or key]
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: an interval has no values to go through; give a list or range(...)")
    try:
        values = list(itertools.islice(override.sweep_string_iterator(), MOST_POINTS + 1))
    except (HydraException, TypeError, ValueError) as error:
        raise ValueError(f"{override.input_line}: its values cannot be listed ({error}); {_SWEEPS}") from error
    if not values:
        raise ValueError(f"{override.input_line}: it has no values; {_SWEEPS}")
    return [f"{key}={value}" for value in values]


_SWEEPS = "expected KEY=1,2, KEY=choice(1,2) or KEY=range(START,STOP,STEP) with a STEP that leads from START to STOP"
