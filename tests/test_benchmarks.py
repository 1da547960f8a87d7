"""The table of benchmarks: made, gone on with, and refused where something became slower. No speed is tested here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from benchmarks.measuring import Benchmark, Row, Spent

from benchmarks import __main__ as command
from benchmarks import measuring, records, registry, running, table

ROOT = Path(__file__).parents[1]


@dataclass
class Clockwork:
    """A case that takes as long as it is told, and counts how often it was asked."""

    ours_s: float = 1.0
    peer_s: float = 10.0
    n_asked: int = 0

    def ours(self) -> Spent:
        self.n_asked += 1
        return Spent(100.0, self.ours_s)

    def peer(self) -> Spent:
        return Spent(100.0, self.peer_s)

    def limit(self) -> Spent:
        return Spent(100.0, 0.5)


def benchmark(case: Clockwork, **more: object) -> Benchmark:
    made = {"name": "clock", "ours": "ours", "peer": "theirs", "limit": "nothing", "size": 100, "unit": "ticks", **more}
    return Benchmark(open=lambda folder, n: case, **made)  # type: ignore[arg-type]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[str]]:
    """Options that keep a run out of the repository's own records."""
    yield [f"--{name}={tmp_path / place}" for name, place in (
        ("records", "records"), ("page", "page.md"), ("progress", "progress")
    )]  # fmt: skip


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    """The registry with one row, of a case that is told how long it takes."""
    case = Clockwork()
    monkeypatch.setattr(registry, "BENCHMARKS", (benchmark(case, goal=5),))
    return case


def row(ratios: list[float], size: int = 100) -> Row:
    return Row(size, [1.0] * len(ratios), ratios, 0.5)


def test_a_quick_run_measures_real_rows_and_writes_their_table(places: list[str], tmp_path: Path) -> None:
    assert command.main(["--quick", "--only", "draws,manifests", *places]) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    for name in ("draws", "manifests"):
        assert f"**{name}** (" in page
    assert "Not measured on this machine: stages, submit, " in page and "load average" in page
    [record] = (tmp_path / "records").glob("*.json")
    found = json.loads(record.read_text(encoding="utf-8"))
    assert found["machine"] == json.loads(json.dumps(records.machine())) and record.stem == found["machine"]["kind"]
    assert len(found["rows"]["draws"]["ours"]) == len(found["rows"]["draws"]["peer"]) == 2


def test_each_repeat_takes_ours_and_the_peers_in_turn_by_the_clock_of_the_row() -> None:
    found = running.measured(benchmark(Clockwork(), sizes=(10, 100)), is_quick=False)
    assert (found.ours, found.peer, found.limit) == ([1.0] * 5, [10.0] * 5, 0.5)
    assert found.growth == {"10": 1.0, "100": 1.0} and len(found.load) == 2
    assert running.measured(benchmark(Clockwork(), clock="wall"), is_quick=True).ours == [100.0, 100.0]
    assert running.measured(benchmark(Clockwork(), is_count=True), is_quick=False).ours == [1.0]


def test_a_size_that_would_take_too_long_is_left_out_and_said_so() -> None:
    one = benchmark(Clockwork(), sizes=(10, 100, 1_000), grow=lambda folder, n: Clockwork(ours_s=n / 5))
    found = running.measured(one, is_quick=False)
    assert found.growth == {"10": 2.0, "100": 20.0}  # 20 s took 18 more than 2 s: 1,000 is expected to take 200
    assert "10: 2.00 s, 100: 20.00 s (not measured above 100) | 1.00 |" in table._growth(one, found)


def test_a_slower_row_than_on_record_fails_and_the_record_stays(
    places: list[str], clockwork: Clockwork, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command.main(["--only", "clock", *places]) == 0
    [record] = (tmp_path / "records").glob("*.json")
    before = record.read_text(encoding="utf-8")
    clockwork.ours_s = 1.1  # within noise
    assert command.main(["--only", "clock", *places]) == 0
    record.write_text(before, encoding="utf-8")
    clockwork.ours_s = 1.3
    assert command.main(["--only", "clock", *places]) == 1
    assert "clock: 7.69 [7.69, 7.69] times the peer's speed, on record 10 [10, 10]" in capsys.readouterr().err
    assert record.read_text(encoding="utf-8") == before
    assert command.main(["--only", "clock", "--accept", *places]) == 0
    assert json.loads(record.read_text(encoding="utf-8"))["rows"]["clock"]["ours"] == [1.3] * 5


def test_only_what_all_repeats_agree_on_is_a_regression() -> None:
    # every repeat of now below .85 of the worst of before: 8 x .85 = 6.8
    before = {"clock": row([8.0, 10.0, 12.0])}
    assert set(records.regressions(before, {"clock": row([5.0, 6.0, 6.7])})) == {"clock"}
    assert records.regressions(before, {"clock": row([5.0, 6.0, 6.9])}) == {}
    assert records.regressions(before, {"clock": row([50.0])}) == {}
    assert records.regressions(before, {"clock": row([1.0], size=99)}) == {}  # another measurement
    assert records.regressions({}, {"clock": row([1.0])}) == {}


def test_an_interrupted_run_goes_on_where_it_was_unless_the_commit_is_another(
    clockwork: Clockwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo, kept = registry.BENCHMARKS, tmp_path / "kept.json"
    running.run(todo, kept, is_quick=True, is_fresh=False)
    asked = clockwork.n_asked
    assert running.run(todo, kept, is_quick=True, is_fresh=False)["clock"].ratio == 10
    assert clockwork.n_asked == asked
    running.run(todo, kept, is_quick=True, is_fresh=True)
    assert clockwork.n_asked == 2 * asked
    monkeypatch.setattr(running, "commit", lambda: "another")
    running.run(todo, kept, is_quick=True, is_fresh=False)
    assert clockwork.n_asked == 3 * asked


def test_a_goal_is_met_or_missed_by_the_median_and_the_table_says_which() -> None:
    one = benchmark(Clockwork(), goal=5)
    assert table._line(one, row([4.0, 5.0, 9.0])).endswith("| 5 times | met |")
    assert table._line(one, row([4.0, 4.9, 9.0])).endswith("| 5 times | **missed** |")
    told = {"cpu": "x", "cores": 1, "memory_gib": 1, "system": "y", "python": "z"}
    explained, missed = replace(one, why="Because."), replace(row([1.0]), load=[0.0])
    assert "Missed: clock. Because." in table._section([explained], {"clock": missed}, told)
    assert "Because" not in table._section([explained], {"clock": replace(missed, peer=[9.0])}, told)
    slow = replace(one, goal=None, at_most=2)
    assert table._line(slow, replace(row([1.0]), ours=[2.5])).endswith("| at most 2 s | **missed** |")
    near = replace(one, goal=None, near=1.1)
    assert table._line(near, replace(row([1.0]), ours=[1.1], limit=1.0)).endswith(
        "| at most 1.1 times the limit | met |"
    )
    assert table._line(near, replace(row([1.0]), ours=[1.2], limit=1.0)).endswith("times the limit | **missed** |")
    assert table._line(replace(one, goal=None), row([1.0])).endswith("| none |  |")
    assert table._power({"10": 2.0, "100": 200.0}, 10, 100) == pytest.approx(2.0)


def test_a_name_that_no_row_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "nope"])
    assert "no row is named nope; there are stages, submit" in capsys.readouterr().err


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3: told"):
        measuring.command(["sh", "-c", "echo told; exit 3"])


def test_the_committed_table_is_what_the_records_say() -> None:
    found = sorted((ROOT / "benchmarks").glob("*.json"))
    assert found and (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8") == table.page(registry.BENCHMARKS, found)
