"""Looks at the test set: what an evaluation leaves behind, and what survives of it."""

import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_sweep import Sweep, build_all, planned

from sweep.artifacts import LOOKS, Store
from sweep.bench import domain_of
from sweep.commands.gc import survey
from sweep.data.records import Problem
from sweep.looks import Look, looks_of, note, problems_sha256

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
