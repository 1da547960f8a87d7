"""A composed configuration as a typed and checked leaf: each node by its schema, then what needs several fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from typing import Any, get_type_hints

from sweep.config import MISSING, MODELS, MOST_PROBLEMS, Exec, Exp, TrackingConfig
from sweep.data import DIALS
from sweep.fields import as_given, shown, typed, whole
from sweep.methods import METHODS
from sweep.rates import at_size
from sweep.sources import SOURCES
from sweep.terminal.words import nearest


@dataclass(frozen=True)
class Leaf:
    """One composed grid point: what the planner takes."""

    overrides: tuple[str, ...]
    exp: Exp
    exec: Exec
    tracking: TrackingConfig


def untyped(schema: type) -> type:
    """The schema as Hydra is given it: the same nodes, keys and defaults, and no types.

    `typed` alone converts and checks, for the nodes that Hydra has a schema of and for those it has none of.
    """
    hints = get_type_hints(schema)
    nodes = []
    for f in fields(schema):
        inner = hints[f.name]
        if is_dataclass(inner):
            kind = untyped(inner)  # type: ignore[arg-type]  # a class, where is_dataclass also takes an instance
            nodes.append((f.name, kind, field(default_factory=kind)))
        elif callable(f.default_factory):
            nodes.append((f.name, Any, field(default_factory=f.default_factory)))
        else:
            nodes.append((f.name, Any, field(default=f.default)))
    return make_dataclass(schema.__name__, nodes)


def leaf(config: Mapping[str, Any], overrides: tuple[str, ...] = (), known: Mapping[str, Any] | None = None) -> Leaf:
    """The typed and checked leaf of a composed, resolved configuration.

    Args:
        known: nodes as `checked` gives them; they are taken from here, and not checked again.
    Raises:
        ValueError: a value that is out of range, or a combination that cannot be run.
    """
    known, config = known or {}, _rates_at_size(config)
    given = {name: values for name, values in config.items() if name in SCHEMAS and values != MISSING}
    nodes = {**{name: checked(name, values) for name, values in given.items()}, **known}
    exp = typed(Exp, {f.name: nodes[f.name] if f.name in nodes else config[f.name] for f in fields(Exp)})
    _check(exp)
    return Leaf(tuple(overrides), exp, nodes["exec"], nodes["tracking"])


def checked(name: str, values: Any) -> Any:
    """One node of a leaf, typed and checked by itself, which `leaf` then takes for any number of leaves.

    Raises:
        ValueError: a value that is out of range, or a key that the node does not have.
    """
    schema = SCHEMAS[name]
    return _of_kind(name, schema[0], schema[1], values) if isinstance(schema, tuple) else typed(schema, values, name)


SCHEMAS: dict[str, Any] = {  # of each node of a leaf; or the key of its own that picks one
    **{name: schema for name, schema in get_type_hints(Exp).items() if is_dataclass(schema)},
    "dataset": ("name", DIALS),
    "model": ("kind", MODELS),
    "tracking": TrackingConfig,
    "exec": Exec,
}


@dataclass
class _Size:
    """What a rate by sizes needs to know of a leaf before the leaf is typed."""

    n_problems: int = whole(1, MOST_PROBLEMS, default=MISSING)


def has_rates_by_size(values: Any) -> bool:
    """Whether a node holds a learning rate that is another number at another n_problems."""
    optim = values.get("optim") if isinstance(values, Mapping) else None
    return any(isinstance(node, Mapping) and isinstance(node.get("lr"), Mapping) for node in (values, optim))


def _rates_at_size(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with each learning rate that is given by sizes as the number that it is at this one."""
    n_problems = typed(_Size, {"n_problems": values["n_problems"]}).n_problems
    sft, method, out = values.get("sft"), values.get("method"), dict(values)
    if isinstance(sft, Mapping) and isinstance(sft.get("lr"), Mapping):
        out["sft"] = {**sft, "lr": at_size(sft["lr"], n_problems, "sft.lr")}
    optim = method.get("optim") if isinstance(method, Mapping) else None
    if isinstance(method, Mapping) and isinstance(optim, Mapping) and isinstance(optim.get("lr"), Mapping):
        out["method"] = {**method, "optim": {**optim, "lr": at_size(optim["lr"], n_problems, "method.optim.lr")}}
    return out


def _of_kind(node: str, by: str, schemas: Mapping[str, type], values: Any) -> dict[str, Any]:
    """The checked plain form of a node whose schema is picked by one of its own keys."""
    kind = values.get(by) if isinstance(values, dict) else values
    if not isinstance(values, dict) or not isinstance(kind, str) or kind not in schemas:
        found = f"{shown(kind)}{nearest(str(kind), schemas)}"
        own = "; name is the kind of the data, whose own name goes into dataset.title" if node == "dataset" else ""
        raise ValueError(f"{node}.{by} must be one of {', '.join(schemas)}; found {found}{own}")
    rest = {key: value for key, value in values.items() if key != by}
    return {by: kind, **as_given(typed(schemas[kind], rest, node), rest)}


def _check(exp: Exp) -> None:
    _check_saving(exp)
    rollouts, rule = exp.sampling.rollouts, exp.method.pit_rule
    if rule == "lowest_advantage" and rollouts.until != "end":
        raise ValueError(
            "method.pit_rule=lowest_advantage compares all steps of a solution, but "
            "sampling.rollouts.until=pit stops at the first hopeless one; add sampling.rollouts.until=end"
        )
    for node, known in (("source", SOURCES[exp.source.name]), ("method", METHODS[exp.method.name])):
        if known.is_of_all_steps and (rollouts.of, rollouts.until) != ("all", "end"):
            raise ValueError(
                f"{node}={getattr(exp, node).name} reads the advantage of every step of right and wrong traces, but "
                f"sampling.rollouts has of={rollouts.of} until={rollouts.until}; take an arm that sets both, or add "
                "sampling.rollouts.of=all sampling.rollouts.until=end"
            )


def _check_saving(exp: Exp) -> None:
    """What saves rollouts finds the first hopeless step alone; nothing that reads other q_values may follow it."""
    rollouts, method = exp.sampling.rollouts, exp.method
    is_of_zero = method.pit_rule == "first_lowest" or method.pit_threshold * rollouts.n_rollouts < 1
    if rollouts.is_saving and ((rollouts.of, rollouts.until) != ("wrong", "pit") or not is_of_zero):
        raise ValueError(
            f"sampling.rollouts.stop={rollouts.stop} search={rollouts.search} finds the first step without a right "
            f"rollout and no other q_value, but sampling.rollouts has of={rollouts.of} until={rollouts.until} and "
            f"method.pit_rule={method.pit_rule} pit_threshold={method.pit_threshold:g}; take of=wrong until=pit and "
            "first_lowest, or stop=never search=depth"
        )
