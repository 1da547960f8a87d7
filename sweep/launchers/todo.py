"""What of a plan is to be built, for every launcher: what its unfinished runs need and nothing corrupted forbids."""

from __future__ import annotations

import sys

from sweep.artifacts import Store
from sweep.plan import Plan, State, needed


def todo(plan: Plan, found: State, is_rebuild: bool) -> tuple[list[str], set[str]]:
    """Keys to build, parents before children, and keys that a corrupted artifact keeps from being built.

    Args:
        is_rebuild: also what no unfinished run waits for. What was set aside is built again, because the table counts
            the cost of every stage upstream.
    """
    wanted = [key for key in plan.stages if key not in found.built] if is_rebuild else needed(plan, found.built)
    lost = {key for key in wanted if key in found.corrupted}
    for key in list(lost):
        lost |= plan.descendants(key) & set(wanted)
    return [key for key in wanted if key not in lost], lost


def set_corrupted_aside(plan: Plan, store: Store) -> None:
    """Move every corrupted artifact of the plan out of the way, each file compared with its hash; told on stderr."""
    for key in plan.stages:
        try:
            if store.folder(key).exists():
                store.open(key)
        except ValueError as error:
            print(f"{error}\n  set aside: {store.set_aside(key)}", file=sys.stderr)
