"""What of a plan is to be built, for every launcher and verb: what unfinished runs need and nothing corrupted bars."""

from __future__ import annotations

import sys
from collections.abc import Collection

from sweep.artifacts import Store
from sweep.launchers.local_view import label
from sweep.plan import Plan, State, needed, state
from sweep.terminal.words import count

NOTHING_TO_LEARN = 3
"""Exit code of a sweep whose runs are all complete but those that have nothing to learn from."""


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


def foreseen(plan: Plan, found: State, is_rebuild: bool) -> tuple[list[str], set[str]]:
    """`todo` as a sweep command would see it, which with is_rebuild first sets aside what is corrupted."""
    return todo(plan, State(found.built, {}) if is_rebuild else found, is_rebuild)


def corrupted_lines(plan: Plan, found: State, lost: Collection[str], is_rebuild: bool = False) -> list[str]:
    """Each corrupted artifact of the plan with the reason, what it costs and what to do; nothing where there is none.

    Args:
        lost: as `todo` gives it.
        is_rebuild: whether the command was given with exec.rebuild_corrupted=true.
    """
    if not found.corrupted:
        return []
    lines = [f"corrupted: {key} ({label(plan.stages[key])}): {why}" for key, why in found.corrupted.items()]
    n_behind = len(set(lost) - set(found.corrupted))
    n_incomplete = sum(run.evaluate.key not in found.built for run in plan.runs)
    behind = count(n_behind, "stage that needs one", "stages that need one")
    cost = f"{behind} cannot be built, {n_incomplete} of {count(len(plan.runs), 'run is', 'runs are')} incomplete"
    again = "sets them aside and builds them again"
    if is_rebuild:
        what = f"the sweep command with exec.rebuild_corrupted=true {again}"
    else:
        what = f"give the sweep command with exec.rebuild_corrupted=true, which {again}; {cost}"
    return [*lines, f"{count(len(lines), 'artifact is', 'artifacts are')} corrupted: {what}"]


def refuse_corrupted(plan: Plan, store: Store, consequence: str) -> None:
    """All that are corrupted at once: what is read of a run stands on everything that it was made from.

    Raises:
        ValueError: an artifact of the plan is corrupted; each is named with its reason, and `consequence` comes first.
    """
    found = state(plan, store)
    if lines := corrupted_lines(plan, found, foreseen(plan, found, is_rebuild=False)[1]):
        raise ValueError("\n".join([consequence, *lines]))


def set_corrupted_aside(plan: Plan, store: Store) -> None:
    """Move every corrupted artifact of the plan out of the way, each file compared with its hash; told on stderr."""
    for key in plan.stages:
        try:
            if store.folder(key).exists():
                store.open(key)
        except ValueError as error:
            print(f"{error}\n  set aside: {store.set_aside(key)}", file=sys.stderr)


def impossible_told(n: int) -> str:
    """What to do about stages that failed because what was drawn left nothing to learn from."""
    return (
        f"{'It has' if n == 1 else 'They have'} nothing to learn from, and the same command finds the same again: "
        "change what is drawn, as said above, or go on without (`collect --finished` leaves such runs out and says so)"
    )
