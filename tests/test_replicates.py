"""A replicate draws everything anew, and a table of several says which run belongs to which."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny_sweep import build_all, planned, tiny

from analysis.tables.read import table_at
from sweep.__main__ import main
from sweep.artifacts import Store
from sweep.merging import merged
from sweep.table import read_table

GRID = ("arm=sft,rft", "n_problems=8,12,16")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two replicates collected together and apart."""
    root = tmp_path_factory.mktemp("replicates")
    store = f"exec.store={root / 'store'}"
    build_all(planned(*GRID, "replicate=1,2"), Store(root / "store"))
    for name, which in (("both", "1,2"), ("one", "1"), ("two", "2")):
        words = tiny(*GRID, f"replicate={which}", store)
        assert main(["collect", "-m", *words, "--out", str(root / name)]) == 0
    return root


def test_another_replicate_is_another_domain_base_data_order_and_sampling() -> None:
    one, other = (planned("arm=rft", "n_problems=8", f"replicate={r}") for r in (1, 2))
    assert not set(one.stages) & set(other.stages)
    exp = other.runs[0].leaf.exp
    assert (exp.dataset["domain_seed"], exp.model["seed"], exp.seed, exp.replicate) == (2, 2, 2, 2)


def test_a_seed_by_itself_leaves_the_base_and_its_data() -> None:
    one, other = (planned("arm=sft", "n_problems=8", "replicate=1", f"seed={s}") for s in (1, 2))
    assert {key.split("-")[0] for key in set(one.stages) & set(other.stages)} == {"base", "dsyn", "evaluate"}


def test_a_table_of_replicates_has_a_base_and_test_problems_for_each(tables: Path) -> None:
    found = read_table(tables / "both")
    assert found.runs.groupby("replicate").size().to_dict() == {1: 7, 2: 7}
    assert found.runs[found.runs.arm == "base"].replicate.tolist() == [1, 2]
    assert set(found.outcomes.replicate) == {1, 2}
    assert found.provenance["first_run"] <= found.provenance["created"] and found.provenance["commits"]
    read = table_at(tables / "both")
    assert read.n_replicates == 2
    assert read.reference_error == pytest.approx((1 - found.runs[found.runs.arm == "base"].n_correct / 40).mean())


def test_replicates_collected_apart_and_merged_are_the_same_table(tables: Path) -> None:
    parts = [read_table(tables / name) for name in ("one", "two")]
    together = merged(parts).runs.sort_values("run", ignore_index=True)
    assert together.equals(read_table(tables / "both").runs.sort_values("run", ignore_index=True))


def test_runs_that_do_not_say_their_replicate_are_not_merged_with_runs_that_do(tables: Path) -> None:
    one, two = (read_table(tables / name) for name in ("one", "two"))
    old = replace(two, runs=two.runs.drop(columns="replicate"))
    with pytest.raises(ValueError, match="do not say their replicate and others do"):
        merged([one, old])


def test_other_test_problems_within_a_replicate_are_refused(tables: Path) -> None:
    one, two = (read_table(tables / name) for name in ("one", "two"))
    odd = two.outcomes.assign(problem_id=two.outcomes.problem_id + "-of-another-set")
    assert len(merged([one, replace(two, outcomes=odd)]).runs) == 14  # a replicate's problems are its own
    first = odd.run == odd.run.iloc[0]
    with pytest.raises(ValueError, match="or of one replicate in it, need the same test problems"):
        merged([one, replace(two, outcomes=pd.concat([odd[first], two.outcomes[~first]]))])
