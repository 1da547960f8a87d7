"""Who begins on which card: worked examples, and properties over whole sweeps with stages that end in any order."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.launchers.cards import Begin, Card, Need, Ready, Seat, after, assignments, fits, workers_a_card

TWO = (Card("0", 80), Card("1", 80))


def begun(cards: tuple[Card, ...], seats: list[Seat], ready: list[Ready], per_card: int = 4) -> list[Begin]:
    return assignments(cards, seats, ready, per_card=per_card, without=1, most=99)


def ready(key: str, rank: float, n_bytes: int, n_cards: int = 1, weights: str = "") -> Ready:
    return Ready(key, rank, Need(n_bytes, n_cards, weights=weights))


def busy(number: int, cards: tuple[str, ...], n_bytes: int) -> Seat:
    return Seat(number, cards, key=f"k{number}", need=Need(n_bytes, len(cards)))


def test_stages_queue_for_a_card_that_has_room_and_the_longest_chain_goes_first() -> None:
    # 50 of 80 are taken on card 0, so 40 go to card 1 and leave it 40; 45 then fit nowhere and 20 where most is left
    waiting = [ready("small", 1, 20), ready("first", 3, 40)]
    first, small = Begin("first", ("1",), None), Begin("small", ("1",), None)
    assert begun(TWO, [busy(0, ("0",), 50)], waiting) == [first, small]
    assert begun(TWO, [busy(0, ("0",), 50)], [*waiting, ready("second", 2, 45)]) == [first, small]  # it keeps card 0
    assert begun(TWO[:1], [busy(0, ("0",), 50)], [ready("second", 2, 45), waiting[0]]) == []


def test_a_stage_of_two_cards_waits_for_both_and_no_small_one_slips_in_front_of_it() -> None:
    wide, small = ready("wide", 9, 70, n_cards=2), ready("small", 1, 10)
    assert begun(TWO, [busy(0, ("0",), 10)], [wide, small]) == []
    assert begun(TWO, [], [wide, small]) == [Begin("wide", ("0", "1"), None)]
    three = (*TWO, Card("2", 80))
    half_free = [busy(0, ("0",), 10), busy(1, ("1",), 10)]
    assert begun(three, half_free, [wide, small]) == [Begin("small", ("1",), None)]  # 2 and 0 are kept for the wide one
    assert begun(three, [busy(0, ("0",), 10)], [wide, small]) == [
        Begin("wide", ("1", "2"), None), Begin("small", ("0",), None),
    ]  # fmt: skip


def test_an_idle_worker_is_used_again_and_the_stage_whose_weights_it_has_goes_first() -> None:
    idle = [Seat(7, ("0",), held=5, weights="sft-a")]
    others = [ready("b", 10, 10, weights="sft-b"), ready("a", 9, 10, weights="sft-a")]
    assert begun(TWO[:1], idle, others, per_card=1) == [Begin("a", ("0",), 7)]
    others[0] = ready("b", 12, 10, weights="sft-b")  # 9 * 1.25 is less: what others wait for is not held up for long
    assert begun(TWO[:1], idle, others, per_card=1) == [Begin("b", ("0",), 7)]


def test_an_idle_worker_leaves_where_what_it_holds_is_needed_or_its_cards_are_another_number() -> None:
    idle = [Seat(0, ("0",), held=5), Seat(1, ("0",), held=5)]
    assert begun(TWO[:1], idle, [ready("large", 1, 74)]) == [Begin("large", ("0",), 0)]
    assert begun(TWO[:1], idle, [ready("larger", 1, 76)]) == [Begin("larger", ("0",), 0, leaving=(1,))]
    assert begun(TWO, idle, [ready("wide", 1, 10, n_cards=2)]) == [Begin("wide", ("0", "1"), None, leaving=(0, 1))]
    wide = [Seat(3, ("0", "1"), held=5)]
    assert begun(TWO, wide, [ready("wide", 1, 10, n_cards=2)]) == [Begin("wide", ("0", "1"), 3)]
    assert begun(TWO, wide, [ready("one", 1, 10)], per_card=1) == [Begin("one", ("0",), None, leaving=(3,))]


def test_what_needs_no_card_runs_beside_what_does_and_what_nobody_knows_is_alone() -> None:
    waiting = [Ready("dsyn", 9, Need(n_cards=0)), Ready("more", 8, Need(n_cards=0)), ready("small", 1, 10)]
    assert begun(TWO[:1], [], waiting) == [Begin("dsyn", (), None), Begin("small", ("0",), None)]
    unknown = Ready("unknown", 9, Need(is_alone=True))
    assert begun(TWO[:1], [busy(0, ("0",), 10)], [unknown]) == []
    assert begun(TWO[:1], [], [unknown, ready("small", 1, 10)]) == [Begin("unknown", ("0",), None)]


def test_no_more_stages_at_once_than_asked_for() -> None:
    many = [ready(str(i), 1, 1) for i in range(9)]
    assert len(assignments(TWO, [], many, per_card=2, without=1, most=99)) == 4
    assert len(assignments(TWO, [], many, per_card=2, without=1, most=3)) == 3


@pytest.mark.parametrize("limits", [{"per_card": 0}, {"without": 0}, {"most": 0}])
def test_limits_below_one_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected limits of 1 or more and names that differ"):
        assignments(TWO, [], [], **{"per_card": 1, "without": 1, "most": 1, **limits})


def test_a_stage_fits_where_enough_cards_are_large_enough() -> None:
    assert fits(Need(80, 2), TWO) and not fits(Need(81), TWO) and not fits(Need(1, 3), TWO)
    assert fits(Need(n_cards=0), ())


def test_a_large_model_has_a_card_to_itself_and_tiny_ones_share_it() -> None:
    assert workers_a_card(134_500_000, None, 16, 1) == (
        1, "a model of 134M parameters keeps a card busy by itself",
    )  # fmt: skip
    assert workers_a_card(200_000, None, 16, 2)[0] == 4 and workers_a_card(200_000, None, 4, 2)[0] == 2
    assert workers_a_card(None, None, 16, 1) == (1, "the size of the model is not known here")
    assert workers_a_card(7_000_000_000, 3, 1, 1) == (3, "exec.workers_per_card=3")


# properties


@dataclass
class Machine:
    """A sweep played through: workers that come and go, and what each card holds at every moment."""

    cards: tuple[Card, ...]
    per_card: int
    most: int
    held: int
    seats: list[Seat] = field(default_factory=list)

    def begin(self, waiting: dict[str, Ready]) -> list[str]:
        """Let the scheduler begin what it wants; checked after each."""
        out = assignments(
            self.cards, self.seats, list(waiting.values()), per_card=self.per_card, without=1, most=self.most
        )
        for one in out:
            self.seats = after(self.seats, one, waiting.pop(one.key).need)
            self.check()
        return [one.key for one in out]

    def end(self, key: str) -> None:
        """Its worker is idle from now on, and holds what a worker holds."""
        self.seats = [Seat(s.number, s.cards, self.held, s.weights) if s.key == key else s for s in self.seats]

    @property
    def running(self) -> list[str]:
        return [seat.key for seat in self.seats if seat.key]

    def check(self) -> None:
        """Nothing is over-committed."""
        assert len(self.running) <= self.most
        for card in self.cards:
            here = [seat for seat in self.seats if card.name in seat.cards]
            building = [seat for seat in here if seat.key]
            taken = sum(s.need.n_bytes for s in building) + sum(s.held for s in here if not s.key)
            assert taken <= card.n_bytes and len(building) <= self.per_card and len(here) <= max(1, self.per_card)
            assert len(here) == 1 or not any(seat.need.is_whole for seat in building)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    sizes = draw(st.lists(st.integers(20, 100), min_size=1, max_size=4))
    cards = tuple(Card(str(i), n) for i, n in enumerate(sizes))
    return Machine(cards, draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.integers(0, 5)))


@st.composite
def needs(draw: st.DrawFn, machine: Machine) -> Need:
    """One that fits the machine."""
    n_cards = draw(st.integers(0, len(machine.cards)))
    largest = sorted((card.n_bytes for card in machine.cards), reverse=True)[n_cards - 1] if n_cards else 0
    n_bytes = draw(st.integers(6, largest)) if n_cards else 0  # a worker holds no more while it is idle
    return Need(n_bytes, n_cards, draw(st.booleans()) if n_cards else False, draw(st.sampled_from(["", "a", "b"])))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_whatever_ends_when_all_stages_are_built_and_no_card_is_ever_over_committed(data: st.DataObject) -> None:
    machine = data.draw(machines())
    all_needs = data.draw(st.lists(needs(machine), min_size=1, max_size=10))
    waiting = {str(i): Ready(str(i), data.draw(st.floats(0, 100)), need) for i, need in enumerate(all_needs)}
    while waiting or machine.running:
        machine.begin(waiting)
        assert machine.running  # what fits begins at the latest when nothing else runs
        machine.end(data.draw(st.sampled_from(machine.running)))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_a_stage_that_is_next_begins_once_what_ran_before_it_has_ended_however_many_small_ones_come(
    data: st.DataObject,
) -> None:
    machine = data.draw(machines())
    waiting = {str(i): Ready(str(i), 1.0, data.draw(needs(machine))) for i in range(data.draw(st.integers(1, 6)))}
    machine.begin(waiting)
    waiting["next"] = Ready("next", 1000.0, data.draw(needs(machine)))
    before, number = set(machine.running), 0
    while True:
        for _ in range(2):  # a stream of others that never ends
            number += 1
            waiting[f"new-{number}"] = Ready(f"new-{number}", 1.0, data.draw(needs(machine)))
        machine.begin(waiting)
        if "next" not in waiting:
            return
        assert before & set(machine.running), "it waits for stages that began after it was next"
        machine.end(data.draw(st.sampled_from(sorted(before & set(machine.running)))))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_no_card_is_idle_while_a_small_stage_that_fits_every_card_waits(data: st.DataObject) -> None:
    machine = data.draw(machines())
    smallest = min(card.n_bytes for card in machine.cards)
    small = st.builds(Need, st.integers(6, smallest))
    machine.most = 99
    waiting = {str(i): Ready(str(i), 1.0, need) for i, need in enumerate(data.draw(st.lists(small, max_size=12)))}
    while waiting or machine.running:
        machine.begin(waiting)
        n_at_work = len({name for seat in machine.seats if seat.key for name in seat.cards})
        assert not waiting or n_at_work == len(machine.cards)
        machine.end(data.draw(st.sampled_from(machine.running)))
