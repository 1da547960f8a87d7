"""Which stage begins on which card: a pure function of the cards, the workers that sit at them, and what is ready.

A worker is a process that is bound to its cards for as long as it lives. It holds some memory of theirs while it is
idle, and all that its stage needs while it builds one. The stage that others wait for longest goes first; the first one
that finds no room keeps the cards that will be free for it soonest, so that no stream of small stages keeps a large
one waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

MOST_TINY = 20_000_000  # parameters of a model whose steps wait for the CPU rather than for the card
MOST_WORKERS = 4  # of such a model, on one card
LOADED = 1.25  # a stage whose weights an idle worker has at hand counts for so much more


@dataclass(frozen=True)
class Card:
    """A device: its name as CUDA_VISIBLE_DEVICES takes it, what it is called, and the bytes that may be used of it."""

    name: str
    n_bytes: int
    title: str = ""


@dataclass(frozen=True)
class Need:
    """What building a stage takes.

    Args:
        n_bytes: of each of its cards, its process included.
        n_cards: 0 for a stage that needs none; of more than one it has every one to itself.
        is_alone: nothing else may be on its card, for nobody knows how much it takes.
        weights: the name of what it opens first; a worker that has just used them has them at hand.
    """

    n_bytes: int = 0
    n_cards: int = 1
    is_alone: bool = False
    weights: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it shares its cards with nobody."""
        return self.is_alone or self.n_cards > 1


@dataclass(frozen=True)
class Ready:
    """A stage that can begin; rank is the seconds from it to the end of its longest chain."""

    key: str
    rank: float
    need: Need


@dataclass(frozen=True)
class Seat:
    """A worker: where it sits, the bytes it holds of each of its cards while idle, and what it builds, if anything."""

    number: int
    cards: tuple[str, ...]
    held: int = 0
    weights: str = ""
    key: str = ""
    need: Need = Need()


@dataclass(frozen=True)
class Begin:
    """A stage to be given to the worker `seat`, or to a new one at `cards` (None); first those `leaving` end."""

    key: str
    cards: tuple[str, ...]
    seat: int | None
    leaving: tuple[int, ...] = ()


def assignments(
    cards: Sequence[Card], seats: Sequence[Seat], ready: Sequence[Ready], *, per_card: int, without: int, most: int
) -> list[Begin]:
    """What begins now, in order.

    Args:
        per_card: workers that one card may have.
        without: workers that may build stages which need no card.
        most: stages that may be built at once.
    Raises:
        ValueError: a limit is below 1, or two cards have one name.
    """
    if min(per_card, without, most) < 1 or len({card.name for card in cards}) != len(cards):
        raise ValueError(
            f"per_card={per_card}, without={without}, most={most} and cards {[card.name for card in cards]}: expected "
            "limits of 1 or more and names that differ"
        )
    at_hand = {seat.weights for seat in seats if not seat.key and seat.weights}
    out: list[Begin] = []
    kept: set[str] = set()
    for one in sorted(ready, key=lambda one: -one.rank * (LOADED if one.need.weights in at_hand else 1.0)):
        if sum(bool(seat.key) for seat in seats) >= most:
            break
        begin = _begin(one, [card for card in cards if card.name not in kept], seats, per_card, without)
        if begin is None:
            kept = kept or set(_waited_for(one.need, cards, seats))
            continue
        out.append(begin)
        seats = after(seats, begin, one.need)
    return out


def fits(need: Need, cards: Sequence[Card]) -> bool:
    """Whether a stage can ever be built on these cards."""
    return sum(card.n_bytes >= need.n_bytes for card in cards) >= need.n_cards


def after(seats: Sequence[Seat], begin: Begin, need: Need) -> list[Seat]:
    """The seats when a stage has begun; a new worker has the next free number."""
    number = begin.seat if begin.seat is not None else max((seat.number for seat in seats), default=-1) + 1
    left = [seat for seat in seats if seat.number not in (*begin.leaving, number)]
    held = next((seat.held for seat in seats if seat.number == number), 0)
    return [*left, Seat(number, begin.cards, held, need.weights, begin.key, need)]


def _begin(one: Ready, cards: Sequence[Card], seats: Sequence[Seat], per_card: int, without: int) -> Begin | None:
    """Where a stage may begin; None where it has to wait."""
    if one.need.n_cards == 0:
        here = [seat for seat in seats if not seat.cards]
        seat = next((seat.number for seat in here if not seat.key), None)
        return Begin(one.key, (), seat) if seat is not None or len(here) < without else None
    if one.need.is_whole:
        return _whole(one, cards, seats)
    return _shared(one, cards, seats, per_card)


def _whole(one: Ready, cards: Sequence[Card], seats: Sequence[Seat]) -> Begin | None:
    free = [card.name for card in cards if card.n_bytes >= one.need.n_bytes and not _busy(card.name, seats)]
    if len(free) < one.need.n_cards:
        return None
    same = [s for s in _idle(free, seats) if len(s.cards) == one.need.n_cards and set(s.cards) <= set(free)]
    seat = max(same, key=lambda s: s.weights == one.need.weights, default=None)
    at = seat.cards if seat is not None else tuple(free[: one.need.n_cards])
    leaving = tuple(s.number for s in _idle(at, seats) if s is not seat)
    return Begin(one.key, at, seat.number if seat is not None else None, leaving)


def _shared(one: Ready, cards: Sequence[Card], seats: Sequence[Seat], per_card: int) -> Begin | None:
    """On the card with the fewest stages; then where its weights are at hand; then where most is left."""
    found: list[tuple[tuple[int, bool, int], Begin]] = []
    for card in cards:
        busy = _busy(card.name, seats)
        left = card.n_bytes - sum(seat.need.n_bytes for seat in busy) - one.need.n_bytes
        if left < 0 or len(busy) >= per_card or any(seat.need.is_whole for seat in busy):
            continue
        idle = list(_idle([card.name], seats))
        same = [seat for seat in idle if seat.cards == (card.name,)]
        seat = max(same, key=lambda s: s.weights == one.need.weights, default=None)
        rest = [s for s in idle if s is not seat]
        has_room = sum(s.held for s in rest) <= left and len(busy) + 1 + len(rest) <= per_card
        leaving = () if has_room else tuple(s.number for s in rest)
        begin = Begin(one.key, (card.name,), seat.number if seat is not None else None, leaving)
        has_weights = seat is not None and bool(seat.weights) and seat.weights == one.need.weights
        found.append(((len(busy), not has_weights, -left), begin))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _waited_for(need: Need, cards: Sequence[Card], seats: Sequence[Seat]) -> list[str]:
    """The cards that a stage without room waits for: those with the fewest stages; none where it can never begin."""
    if not need.n_cards or not fits(need, cards):
        return []
    large = [card for card in cards if card.n_bytes >= need.n_bytes]
    return [card.name for card in sorted(large, key=lambda card: len(_busy(card.name, seats)))][: need.n_cards]


def _busy(card: str, seats: Sequence[Seat]) -> list[Seat]:
    return [seat for seat in seats if seat.key and card in seat.cards]


def _idle(cards: Collection[str], seats: Sequence[Seat]) -> Iterator[Seat]:
    return (seat for seat in seats if not seat.key and not set(cards).isdisjoint(seat.cards))


def workers_a_card(n_parameters: int | None, asked: int | None, n_cpus: int, n_cards: int) -> tuple[int, str]:
    """How many workers share a card, and why, for a person.

    Args:
        n_parameters: of the largest model; None where it is not known.
        asked: exec.workers_per_card.
    """
    if asked is not None:
        return asked, f"exec.workers_per_card={asked}"
    if n_parameters is None:
        return 1, "the size of the model is not known here"
    if n_parameters > MOST_TINY:
        return 1, f"a model of {n_parameters / 1e6:,.0f}M parameters keeps a card busy by itself"
    n = max(1, min(MOST_WORKERS, n_cpus // max(1, n_cards)))
    return (
        n,
        f"a model of {n_parameters / 1e6:.1f}M parameters leaves a card idle, and {n_cpus} CPU cores feed {n_cards}",
    )
