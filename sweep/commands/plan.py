"""`python -m sweep plan`: what a grid needs, what of it is new and why, and how long it will take."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from sweep import memory
from sweep.artifacts import Manifest, Store
from sweep.commands.words import Line, plan_of
from sweep.differences import PARENT, news
from sweep.installed import check_engine
from sweep.launchers.inventory import n_cores
from sweep.launchers.seating import seating
from sweep.launchers.todo import corrupted_lines, foreseen
from sweep.plan import Plan, estimate, flow, state, summary
from sweep.terminal.words import count

N_REASONS, N_FIELDS = 12, 3  # of what is new, and of a reason


def show_plan(line: Line) -> int:
    the_plan, exec = plan_of(line.overrides, line.files)
    store = Store(exec.store)
    found = state(the_plan, store)
    todo, lost = foreseen(the_plan, found, exec.rebuild_corrupted)
    code = 1 if found.corrupted and not exec.rebuild_corrupted else 0
    known = _known(store, found.built) if todo else []
    seconds = estimate(the_plan, todo, known)
    counts = summary(the_plan, found.built)
    total, n_workers = sum(s for s in seconds.values() if s), exec.n_workers or n_cores()
    n_unknown = sum(s is None for s in seconds.values())
    new = [the_plan.stages[key] for key in todo]
    cards = seating(new, exec, store.root, known)
    if line.options.json:
        work = {"to_build": len(todo), "seconds": total, "n_without_estimate": n_unknown, "n_workers": n_workers}
        there = {"cards": [asdict(device) for device in cards.devices]} if cards is not None else {}
        print(json.dumps({**counts, **work, **there, "corrupted": sorted(found.corrupted), "flow": flow(the_plan)}))
        return code
    n_runs, n_stages = count(counts["runs"], "run"), count(counts["stages"], "unique stage")
    print(f"{n_runs} = {n_stages} ({counts['stages_unshared']} without sharing)")
    print(f"{counts['cached']} cached in {store.root}, {len(todo)} to build")
    by_kind = Counter(the_plan.stages[key].kind for key in todo)
    for kind, n_all in counts["by_kind"].items():
        of_kind = [s for key, s in seconds.items() if the_plan.stages[key].kind == kind]
        told = "" if not of_kind else _told(of_kind) + _gpu_hours(of_kind, kind, known)
        print(f"  {kind:<11} {n_all:>6} {'stage ' if n_all == 1 else 'stages'} {by_kind[kind]:>6} to build  {told}")
    if todo:
        print(_estimated(list(seconds.values()), n_workers))
    for run in the_plan.runs:
        check_engine(run.leaf.exec.engine, run.leaf.exec.device)
    for needed_memory in memory.check(run.leaf for run in the_plan.runs):
        print(f"memory of a training: {needed_memory}")
    for text in cards.lines(new) if cards is not None else ():
        print(text)
    _print_news(the_plan, todo, known)
    for text in corrupted_lines(the_plan, found, lost, exec.rebuild_corrupted):
        print(text)
    return code


def _estimated(seconds: Sequence[float | None], n_workers: int) -> str:
    known = [s for s in seconds if s is not None]
    unknown = (
        count(len(seconds) - len(known), "stage like which none", "stages of which none like them")
        + " was ever built here"
    )
    if not known:
        return f"not estimated: {unknown}"
    work = f"estimated: {sum(known):.0f} s of work, {sum(known) / n_workers:.0f} s on {count(n_workers, 'worker')}"
    return work if len(known) == len(seconds) else f"{work}, plus {unknown}"


def _print_news(the_plan: Plan, todo: Sequence[str], known: Sequence[Manifest]) -> None:
    reasons: Counter[tuple[str, str]] = Counter()
    n_more: dict[tuple[str, str], set[int]] = {}  # fields that a reason does not name
    keys, told = set(todo), news([the_plan.stages[key] for key in todo], known)
    for key in todo:
        stage = the_plan.stages[key]
        lines = [line for line in told[key] if not line.startswith(PARENT)]
        if not keys.isdisjoint(p.key for p in stage.parents.values()) and not lines:
            continue  # new because a parent is
        reason = stage.kind, "; ".join(lines[:N_FIELDS]) or "none of its kind is built"
        reasons[reason] += 1
        n_more.setdefault(reason, set()).add(max(0, len(lines) - N_FIELDS))
    for (kind, why), n in reasons.most_common(N_REASONS):
        print(f"  new: {n} x {kind}: {why}{_and_more(n_more[kind, why])}")
    if len(reasons) > N_REASONS:
        n_rest = reasons.total() - sum(n for _, n in reasons.most_common(N_REASONS))
        print(f"  new: {n_rest} more, for {len(reasons) - N_REASONS} other reasons")


def _and_more(n_fields: Collection[int]) -> str:
    least, most = min(n_fields), max(n_fields)
    between = f"{least} to {most}" if least < most else f"{most}"
    return f"; and {between} more" if most else ""


def _told(seconds: Sequence[float | None]) -> str:
    known = [s for s in seconds if s is not None]
    if not known:
        return "no estimate yet"
    return f"{'' if len(known) == len(seconds) else '> '}{sum(known):.0f} s"


def _gpu_hours(seconds: Sequence[float | None], kind: str, known: Sequence[Manifest]) -> str:
    """With as many GPUs as the artifacts of this kind were made with."""
    n_gpus = max((len(m.provenance.get("gpus", ())) for m in known if m.kind == kind), default=0)
    return f", {sum(s for s in seconds if s) * n_gpus / 3600:.1f} GPU-hours" if n_gpus else ""


def _known(store: Store, built: Mapping[str, Manifest]) -> list[Manifest]:
    """Every artifact of the store, those of the plan and others; each is read once."""
    out = []
    for key in store.built():
        try:
            manifest = built.get(key) or store.manifest(key)
        except ValueError:  # a corrupted artifact tells nothing here; `state` reports those of the plan
            continue
        if manifest is not None:
            out.append(manifest)
    return out
