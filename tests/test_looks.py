"""Looks at the test set: what an evaluation leaves behind, and what survives of it."""

import json
import multiprocessing
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_sweep import Sweep, build_all, planned

from analysis.report.colophon import looks_text
from sweep.artifacts import LOOKS, Store
from sweep.bench import domain_of
from sweep.commands.gc import survey
from sweep.data.records import Problem
from sweep.looks import Look, Looks, counted, looks_of, note, problems_sha256
from sweep.looks import merged as merged_counts
from sweep.merging import merged
from sweep.results import collect

LOOK = Look(
    key="evaluate-0000000000000000", problems="p", n_test=40, arm="RFT", source="self", method="sft", n_problems=8,
    seed=0, policy="train-0000000000000000", when="2026-11-28T07:00:00+00:00",
)  # fmt: skip


def seen(store: Store) -> list[Look]:
    record = looks_of(store)
    assert record is not None
    return list(record.seen)


def test_every_evaluation_on_test_problems_is_in_the_record_with_its_policy_and_its_problems(sweep: Sweep) -> None:
    of = {look.key: look for look in seen(sweep.store)}
    run = next(run for run in sweep.plan.runs if run.leaf.exp.method.name == "step_dpo")
    look = of[run.evaluate.key]
    assert (look.arm, look.source, look.method) == ("per-step DPO", "self", "step_dpo")
    assert (look.n_problems, look.seed) == (8, 0)
    assert (look.policy, look.n_test) == (run.evaluate.parents["policy"].key, 40)
    assert look.problems == problems_sha256(domain_of(run.evaluate).problems("test"))
    assert {run.evaluate.key for run in sweep.plan.runs} <= of.keys()
    assert {look.problems for look in of.values()} == {look.problems}  # one domain, one test set


def test_an_evaluation_on_validation_problems_is_no_look(sweep_copy: Sweep) -> None:
    before = seen(sweep_copy.store)
    build_all(planned("arm=sft", "n_problems=8", "evaluation=validation"), sweep_copy.store)
    assert seen(sweep_copy.store) == before


def test_a_look_stays_when_its_evaluation_is_gone_and_gc_does_not_name_the_record(sweep_copy: Sweep) -> None:
    before, key = seen(sweep_copy.store), sweep_copy.plan.runs[0].evaluate.key
    shutil.rmtree(sweep_copy.store.folder(key))
    artifacts, others = survey(sweep_copy.store)
    assert LOOKS not in artifacts and LOOKS not in others
    build_all(sweep_copy.plan, sweep_copy.store, [key])
    assert [look.key for look in seen(sweep_copy.store)] == [*(look.key for look in before), key]


def test_a_link_in_the_place_of_the_record_is_named_by_gc_and_not_written_through(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.root.mkdir()
    (store.root / LOOKS).symlink_to(tmp_path / "elsewhere.jsonl")
    assert survey(store)[1] == {LOOKS: "it is a symbolic link"}
    with pytest.raises(ValueError, match=r"test_looks.jsonl: expected a regular file, found a symbolic link"):
        note(store, LOOK)


def noted_often(root: Path, number: int) -> None:
    for k in range(50):
        note(Store(root), replace(LOOK, seed=number, n_problems=k))


def test_several_drivers_write_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    drivers = [multiprocessing.Process(target=noted_often, args=(tmp_path / "store", n)) for n in range(4)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(60)
    found = [(look.seed, look.n_problems) for look in seen(Store(tmp_path / "store"))]
    assert sorted(found) == [(n, k) for n in range(4) for k in range(50)]


def test_a_line_that_was_cut_short_is_told_and_the_next_stands_on_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.root.mkdir()
    note(store, LOOK)
    with (store.root / LOOKS).open("a") as stream:
        stream.write('{"key": "evaluate-00')
    note(store, replace(LOOK, seed=1))
    record = looks_of(store)
    assert record is not None
    assert [look.seed for look in record.seen] == [0, 1]
    assert len(record.unreadable) == 1 and record.unreadable[0].startswith("test_looks.jsonl, line 2: expected a JSON")


def test_a_line_of_another_shape_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.root.mkdir()
    (store.root / LOOKS).write_text(json.dumps({"key": "evaluate-0000000000000000"}) + "\n")
    record = looks_of(store)
    assert record is not None and "missing keys" in record.unreadable[0] and record.seen == ()


def test_a_store_that_never_counted_has_no_record(tmp_path: Path) -> None:
    assert looks_of(Store(tmp_path)) is None


def test_problems_are_distinguished_by_what_they_say() -> None:
    one = [Problem("test-0", "2 f1 f2", "A")]
    assert problems_sha256(one) == problems_sha256(list(one))
    assert problems_sha256(one) != problems_sha256([Problem("test-0", "2 f1 f2", "B")])


def test_a_record_that_may_not_be_written_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    store.check_writable()
    note(store, LOOK)
    allowed = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != LOOKS and allowed(path, mode))
    with pytest.raises(ValueError, match=r"test_looks.jsonl: permission denied: .* belongs to"):
        store.check_writable()


# what a table's provenance says of them


def look(policy: int, **at: Any) -> Look:
    return replace(LOOK, **{"key": f"evaluate-{policy:016x}", "policy": f"train-{policy:016x}", **at})


def record_of(*seen: Look, id: str = "first") -> Looks:
    return Looks(id, seen, ())


def test_a_cell_that_was_looked_at_with_one_policy_chose_nothing() -> None:
    seen = (look(1), look(2, seed=1), look(3, arm="DPO"), look(4, problems="others"), look(1))  # the last: built again
    found = counted(record_of(*seen), {look(k).key for k in (1, 2, 3)})
    assert found == {
        "records": [{"id": "first", "since": LOOK.when, "n_unreadable": 0, "n_evaluations": {"p": 3}}],
        "n_evaluations": 3, "n_policies": 1, "n_left_out": 0, "n_unrecorded": 0,
    }  # fmt: skip


def test_policies_that_were_tried_in_one_cell_are_counted_and_how_many_the_table_leaves_out() -> None:
    record = record_of(look(1), look(2), look(3), look(4, seed=1), replace(look(1), key="evaluate-again"))
    some, every = (counted(record, {look(k).key for k in keys}) for keys in ((1, 4), (1, 2, 3, 4)))
    assert (some["n_evaluations"], some["n_policies"], some["n_left_out"]) == (5, 3, 2)
    assert (every["n_evaluations"], every["n_policies"], every["n_left_out"]) == (5, 3, 0)


def test_runs_of_before_there_was_a_record_are_said_to_be_uncounted() -> None:
    nothing = {"records": [], "n_evaluations": 0, "n_policies": 0, "n_left_out": 0, "n_unrecorded": 2}
    assert counted(None, {"a", "b"}) == counted(record_of(look(1)), {"a", "b"}) == nothing
    assert counted(record_of(look(1)), {look(1).key, "b"})["n_unrecorded"] == 1


def test_tables_of_one_store_count_its_problems_once_and_those_of_two_stores_add_up() -> None:
    early = counted(record_of(look(1)), {look(1).key})
    late = counted(record_of(look(1), look(2), look(3, problems="q")), {look(2).key, look(3).key})
    other = counted(record_of(look(1), look(6), id="second"), {look(6).key, "b"})
    assert merged_counts([early, late])["n_evaluations"] == 3  # two on p, as the later table knows, and one on q
    whole = merged_counts([early, late, other])
    assert (whole["n_evaluations"], whole["n_policies"], whole["n_left_out"], whole["n_unrecorded"]) == (5, 2, 1, 1)
    assert [one["id"] for one in whole["records"]] == ["first", "second"]


def test_collect_counts_from_the_stores_record_and_merge_keeps_it(sweep_copy: Sweep) -> None:
    runs = [(run.leaf.exp, run.evaluate) for run in sweep_copy.plan.runs]
    table = collect(runs, sweep_copy.store)
    told = table.provenance["test_looks"]
    assert (told["n_evaluations"], told["n_policies"], told["n_unrecorded"]) == (13, 1, 0)  # 12 runs and the base
    build_all(planned("arm=dpo", "n_problems=8", "method.optim.lr=7e-4"), sweep_copy.store)
    again = collect(runs, sweep_copy.store)
    told = again.provenance["test_looks"]
    assert (told["n_evaluations"], told["n_policies"], told["n_left_out"]) == (14, 2, 1)
    assert merged([table, again]).provenance["test_looks"] == told
    older = replace(table, provenance={"created": table.provenance["created"], "n_test_looks": 1})
    assert merged([again, older]).provenance["test_looks"]["n_unrecorded"] == len(runs)
    assert "test_looks" not in merged([older, older]).provenance
    (sweep_copy.store.root / LOOKS).unlink()
    assert collect(runs, sweep_copy.store).provenance["test_looks"]["n_unrecorded"] == len(runs)


def test_a_table_on_validation_problems_has_no_looks(sweep_copy: Sweep) -> None:
    plan = planned("arm=sft", "n_problems=8", "evaluation=validation")
    build_all(plan, sweep_copy.store)
    table = collect([(run.leaf.exp, run.evaluate) for run in plan.runs], sweep_copy.store)
    assert table.provenance["test_looks"] == counted(None, set())


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, r"not recorded"),
        ({"n_test_looks": 1}, r"1, typed by hand and not counted by the program"),
        ({"test_looks": counted(None, {"a"}), "created": "2026-11-21T14:00"}, r"not counted before 2026-11-21: no r"),
        ({"test_looks": counted(None, set())}, r"none: the runs were evaluated on other problems"),
        (
            {"test_looks": counted(record_of(look(1), look(2, seed=1)), {look(1).key})},
            r"2 evaluations on these .* since 2026-11-28; no arm .* more than one policy .* nothing was chosen on test",
        ),
        (
            {"test_looks": counted(record_of(look(1), look(2), look(3)), {look(1).key})},
            r"up to 3 different policies .* leaves out up to 2: a choice on test cannot be excluded",
        ),
        (
            {"test_looks": counted(record_of(look(1), look(2)), {look(1).key, look(2).key, "old"})},
            r"up to 2 different .* the table shows them all; not counted before 2026-11-28: 1 of the table's runs",
        ),
        (
            {"test_looks": counted(Looks("first", (look(1),), ("line 2",)), {look(1).key})},
            r"nothing was chosen on test; 1 lines of the record cannot be read",
        ),
    ],
)
def test_the_report_tells_it_in_plain_words(record: dict[str, Any], words: str) -> None:
    assert re.search(words, looks_text(record))
