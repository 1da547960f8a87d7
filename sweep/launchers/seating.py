"""Who sits at which card: the cards of a machine, what each stage of a plan needs of them, and what that is told as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from sweep.artifacts import Manifest, Stage
from sweep.config import Exec
from sweep.launchers import inventory
from sweep.launchers.cards import Begin, Need, Ready, Seat, assignments, fits, workers_a_card
from sweep.launchers.inventory import Device
from sweep.memory import GIB
from sweep.stage_memory import PROCESS, Estimates, n_cards, shape_for

MOST_STARTS = 2  # of a worker on one card, before the card is left out
SAMPLED = ("samples", "advantages", "evaluate")  # kinds that draw from a policy
ADVICE = {
    "pairs": "lower exec.micro_batch_tokens or exec.max_logits",
    **dict.fromkeys(SAMPLED, "lower exec.max_rows (rows decoded at once)"),
}
OF_TRAINING = (
    "lower exec.micro_batch_tokens or exec.max_logits, set exec.gradient_checkpointing=true, share it among cards with "
    "exec.n_processes, keep the optimizer's numbers in 8 bits (+model.moments=8bit), or train adapters (+model.lora="
    "{rank: 16, alpha: 32})"
)


def what_to_lower(stage: Stage) -> str:
    """What a stage that had a card to itself, and too little of it, would need less with."""
    return ADVICE.get(stage.kind, OF_TRAINING)


class Placed(Protocol):
    """A worker, as far as its place goes: its cards, what it builds or will build, and whose weights it used last."""

    cards: tuple[str, ...] | None
    weights: str

    @property
    def given(self) -> Stage | None: ...


class Seating:
    """The cards that are there, and what stages need of them; estimates are corrected as stages are built.

    Raises:
        ValueError: a stage to build needs more than these cards can ever give.
    """

    def __init__(
        self, devices: Sequence[Device], stages: Iterable[Stage], exec: Exec, root: Path, known: Iterable[Manifest]
    ) -> None:
        self.devices, self.exec, self._root = list(devices), exec, root
        self.cards = list(inventory.usable(devices, exec))
        self.estimates = Estimates(exec, root, known)
        self.alone: set[str] = set()  # stages that ran out of memory beside others
        self._starts: Counter[tuple[str, ...]] = Counter()
        stages = list(stages)
        self.per_card, self.why = self._workers(stages)
        self._check(stages)

    def _workers(self, stages: Sequence[Stage]) -> tuple[int, str]:
        shapes = [shape_for(stage, self._root) for stage in stages if n_cards(stage, self.exec)]
        known = [shape.n_parameters for shape in shapes if shape is not None]
        largest = max(known) if known and len(known) == len(shapes) else None
        return workers_a_card(largest, self.exec.workers_per_card, inventory.n_cores(), len(self.cards))

    def need(self, stage: Stage) -> Need:
        """What a stage is given, no more than the largest card has: what fits barely is alone there."""
        n, weights = n_cards(stage, self.exec), weights_of(stage)
        if n == 0:
            return Need(n_cards=0)
        n_bytes, most = self.estimates.with_room(stage), max((card.n_bytes for card in self.cards), default=0)
        takes_all = self.exec.engine == "vllm" and stage.kind in SAMPLED  # which sets aside most of the card
        if n_bytes is None or takes_all or stage.key in self.alone:
            return Need(0, n, is_alone=True, weights=weights)
        return Need(min(n_bytes, most), n, weights=weights)

    def begins(
        self, ready: Iterable[Stage], ranks: Mapping[str, float], workers: Sequence[Placed]
    ) -> list[tuple[Begin, Stage]]:
        """What begins now; a seat's number is the worker's place in `workers`."""
        stages = {stage.key: stage for stage in ready}
        waiting = [Ready(key, ranks[key], self.need(stage)) for key, stage in stages.items() if self._has_place(stage)]
        seats = [self._seat(number, worker) for number, worker in enumerate(workers)]
        n_cpus = self.exec.n_workers or inventory.n_cores()
        most = self.exec.n_workers or n_cpus + self.per_card * len(self.cards)
        found = assignments(self.cards, seats, waiting, per_card=self.per_card, without=n_cpus, most=most)
        return [(begin, stages[begin.key]) for begin in found]

    def _has_place(self, stage: Stage) -> bool:
        return n_cards(stage, self.exec) > 0 or self._starts[()] < MOST_STARTS

    def _seat(self, number: int, worker: Placed) -> Seat:
        stage, cards = worker.given, worker.cards or ()
        if stage is None:
            return Seat(number, cards, PROCESS if cards else 0, worker.weights)
        return Seat(number, cards, PROCESS if cards else 0, worker.weights, stage.key, self.need(stage))

    def not_started(self, cards: tuple[str, ...]) -> list[str]:
        """Note a worker that did not start; the cards that are left out from now on."""
        self._starts[cards] += 1
        gone = [card.name for card in self.cards if (card.name,) == cards and self._starts[cards] >= MOST_STARTS]
        self.cards = [card for card in self.cards if card.name not in gone]
        return gone

    def exec_at(self, cards: tuple[str, ...]) -> Exec:
        """The settings of a worker there: its card is the only one that it sees."""
        return replace(self.exec, device="cpu" if not cards else self.exec.device.partition(":")[0])

    def _check(self, stages: Sequence[Stage]) -> None:
        """Refuse what no card can ever hold, each kind by its largest stage."""
        largest: dict[str, tuple[int, Stage]] = {}
        for stage in stages:
            n_bytes, _ = self.estimates.n_bytes(stage) if n_cards(stage, self.exec) else (0, "")
            if largest.get(stage.kind, (-1,))[0] < (n_bytes or 0):
                largest[stage.kind] = (n_bytes or 0, stage)
        for n_bytes, stage in largest.values():
            n = n_cards(stage, self.exec)
            if n > len(self.cards):
                raise ValueError(
                    f"exec.n_processes={n} asks for {n} cards for {stage.kind} stages, and {len(self.cards)} can be "
                    f"used here ({self._told()}); lower it, or take a machine with more"
                )
            if not fits(Need(n_bytes + PROCESS, n), self.cards):
                raise ValueError(self._too_large(stage, n_bytes))

    def _too_large(self, stage: Stage, n_bytes: int) -> str:
        need, how = self.estimates.counted(stage), self.estimates.n_bytes(stage)[1]
        parts = ", ".join(f"{name} {n / GIB:.2f}" for name, n in (need.parts if need else {}).items() if n)
        return (
            f"{stage.key} needs {(n_bytes + PROCESS) / GIB:.2f} GiB of a card ({how}: {parts}; {PROCESS / GIB:.0f} for "
            f"its process), and no card here has so much to give ({self._told()}); "
            f"{what_to_lower(stage)}; nothing was started"
        )

    def _told(self) -> str:
        return "; ".join(f"{card.name}: {card.title}, {card.n_bytes / GIB:.2f} GiB may be used" for card in self.cards)

    def unplaced(self) -> str:
        """Why a stage that can begin nowhere failed."""
        return f"no card that is left can take it ({self._told() or 'none is left'})"

    def lines(self, stages: Iterable[Stage]) -> list[str]:
        """The cards, and how the stages to build will share them, for a person."""
        by_kind: dict[str, list[Stage]] = {}
        for stage in stages:
            by_kind.setdefault(stage.kind, []).append(stage)
        head = [f"card {one.in_words}" for one in self.devices]
        return [*head, f"workers a card: {self.per_card} ({self.why})", *map(self._kind, by_kind.values())]

    def _kind(self, stages: Sequence[Stage]) -> str:
        kind, n = stages[0].kind, n_cards(stages[0], self.exec)
        if n == 0:
            return f"  {kind:<11} on the CPU"
        if n > 1:
            return f"  {kind:<11} {n} whole cards at once{self._size(stages)}"
        needs = [self.need(stage) for stage in stages]
        if any(need.is_alone for need in needs):
            size = self._size(stages) or ": its size is not known before it was built once"
            return f"  {kind:<11} alone on a card{size}"
        largest = max(need.n_bytes for need in needs)
        n_beside = min(self.per_card, max(card.n_bytes // largest for card in self.cards))
        return f"  {kind:<11} {n_beside} at once on a card{self._size(stages)}"

    def _size(self, stages: Sequence[Stage]) -> str:
        known = [(n, how) for n, how in map(self.estimates.n_bytes, stages) if n is not None]
        if not known:
            return ""
        n_bytes, how = max(known)
        return f", each up to {n_bytes / GIB:.2f} GiB ({how}) and {PROCESS / GIB:.0f} for its process"


def seating(stages: Sequence[Stage], exec: Exec, root: Path, known: Iterable[Manifest]) -> Seating | None:
    """Of this machine; None where it has no card, or nothing is to be built.

    Raises:
        ValueError: the cards that were asked for are not there, or a stage can never fit.
    """
    devices = inventory.devices(exec) if stages else []
    return Seating(devices, stages, exec, root, known) if devices else None


def weights_of(stage: Stage) -> str:
    """The weights that a stage opens first: its policy's, or the SFT policy's, or the base's."""
    return next((stage.parents[role].key for role in ("policy", "sft", "base") if role in stage.parents), "")
