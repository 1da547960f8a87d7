"""Where a grid stands, read once from its store and from SLURM: what `status` prints and `watch` draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sweep.artifacts import Store
from sweep.heartbeat import Heartbeat, minutes, now, path_of, read
from sweep.launchers.slurm.watch import Seen, look
from sweep.launchers.todo import foreseen
from sweep.leases import Holder
from sweep.plan import Plan, State, state


@dataclass(frozen=True)
class Standing:
    """What of a plan is built, being built, in the queue, or was tried and is not built.

    Args:
        todo: what the unfinished runs need; of it, `lost` is what a corrupted artifact keeps from being built.
        is_rebuild: whether the command was given with exec.rebuild_corrupted=true, so that nothing is lost.
        beats: signs of life of stages that are not built, also of those that a process began and left.
        ended: (failed, stopped or killed; what there is to say of it) of stages that a process began and left.
    """

    plan: Plan
    found: State
    todo: list[str]
    lost: Collection[str]
    is_rebuild: bool
    jobs: Seen
    running: Mapping[str, Holder]
    beats: Mapping[str, Heartbeat]
    progress: Mapping[str, str]
    tried: list[str]
    ended: Mapping[str, tuple[str, str]]

    @property
    def n_complete(self) -> int:
        return sum(run.evaluate.key in self.found.built for run in self.plan.runs)

    @property
    def n_to_build(self) -> int:
        """What the sweep command would build."""
        return len(self.todo) - len(self.lost)

    @property
    def is_barred(self) -> bool:
        """Whether the sweep command would end with what is corrupted not built again."""
        return bool(self.found.corrupted) and not self.is_rebuild


def standing_of(plan: Plan, store: Store, is_rebuild: bool = False) -> Standing:
    """Look at every stage of the plan; asks SLURM where jobs of it are known."""
    found = state(plan, store)
    buildable, lost = foreseen(plan, found, is_rebuild)
    wanted = {*buildable, *lost}
    todo = [key for key in plan.stages if key in wanted]
    seen = look(store, plan.stages, todo)
    running = {key: who for key, who in store.builds.running().items() if key in set(todo)}
    beats = {key: beat for key in todo if (beat := read(path_of(store.root, key))) is not None}
    rest = [key for key in todo if key not in seen.jobs and key not in running]
    return Standing(
        plan,
        found,
        todo,
        lost,
        is_rebuild,
        seen,
        running,
        beats,
        progress={key: _progress(beats.get(key)) for key in running},
        tried=[key for key in rest if store.log_path(key).exists() or key in beats],
        ended={key: _ended(beats[key]) for key in rest if key in beats},
    )


def _progress(beat: Heartbeat | None) -> str:
    """How far a stage that is being built is, and whether it stands still; empty where nothing is known."""
    card = f"card {beat.card}" if beat is not None and beat.card else ""
    said = [card, beat.progress, beat.silence(now())] if beat is not None else []
    return "".join(f", {word}" for word in said if word)


def _ended(beat: Heartbeat) -> tuple[str, str]:
    """What became of a stage that nobody builds any more, and what there is to say of it."""
    where = f", at {beat.progress}" if beat.progress else ""
    if beat.outcome:
        return beat.outcome, f" by {beat.by_whom()}{where}: {beat.error}"
    return "killed", f" with its process: {beat.by_whom()}{where}, last seen {minutes(beat.unseen_s(now()))} ago"
