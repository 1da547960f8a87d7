"""How a plan becomes arrays of jobs: layouts worked out by hand."""

from __future__ import annotations

from sweep.artifacts import Stage
from sweep.launchers.slurm.graph import Array, Place, arrays


def stage(kind: str, name: int = 0, **parents: Stage) -> Stage:
    return Stage(kind, 1, {"name": name}, parents)


def laid_out(stages: list[Stage], places: dict[str, Place] | None = None, **settings) -> list[Array]:
    names = {s.key: f"{s.kind}{s.identity['name']}" for s in stages}
    options = {"stages_per_job": {}, "max_array_size": 1001} | settings
    found = arrays(stages, places or {}, **options)
    for array in found:
        array.elements = {i: [names[key] for key in keys] for i, keys in array.elements.items()}
    return found


def test_a_shared_parent_is_waited_for_by_all_and_a_own_parent_by_index() -> None:
    base = stage("base")
    sft = [stage("sft", i, base=base) for i in range(3)]
    evaluate = [stage("evaluate", i, policy=s) for i, s in enumerate(sft)]
    # as the plan orders them: leaf by leaf
    found = laid_out([base, sft[0], evaluate[0], sft[1], evaluate[1], sft[2], evaluate[2]])
    assert [array.elements for array in found] == [
        {0: ["base0"]},
        {0: ["sft0"], 1: ["sft1"], 2: ["sft2"]},
        {0: ["evaluate0"], 1: ["evaluate1"], 2: ["evaluate2"]},
    ]
    ids = {0: "70", 1: "71", 2: "72"}
    assert [array.dependency(ids) for array in found] == [None, "afterok:70_0", "aftercorr:71"]


def test_two_children_of_one_stage_go_to_two_arrays() -> None:
    samples = [stage("samples", i) for i in range(2)]
    train = [stage("train", 10 * method + i, samples=s) for i, s in enumerate(samples) for method in (1, 2)]
    found = laid_out([*samples, *train])
    assert [array.elements for array in found] == [
        {0: ["samples0"], 1: ["samples1"]},
        {0: ["train10"], 1: ["train11"]},
        {0: ["train20"], 1: ["train21"]},
    ]
    assert [array.aligned for array in found] == [(), (0,), (0,)]


def test_arrays_end_at_the_clusters_limit_and_children_follow_them() -> None:
    parents = [stage("sft", i) for i in range(5)]
    found = laid_out([*parents, *(stage("evaluate", i, policy=p) for i, p in enumerate(parents))], max_array_size=2)
    assert [len(array.elements) for array in found] == [2, 2, 1, 2, 2, 1]
    assert all(max(array.elements) < 2 for array in found)
    ids = {i: str(70 + i) for i in range(6)}
    assert [array.dependency(ids) for array in found[3:]] == ["aftercorr:70", "aftercorr:71", "afterok:72_0"]


def test_a_child_of_few_takes_their_indices() -> None:
    parents = [stage("sft", i) for i in range(4)]
    found = laid_out([*parents, stage("evaluate", 1, policy=parents[1]), stage("evaluate", 3, policy=parents[3])])
    assert found[1].elements == {1: ["evaluate1"], 3: ["evaluate3"]}


def test_parents_laid_out_differently_are_waited_for_one_by_one() -> None:
    a, b = stage("sft", 0), stage("samples", 0)
    places = {a.key: Place("55", 4), b.key: Place("56", 9)}
    child = stage("train", 0, sft=a, samples=b)
    found = laid_out([child], places)
    assert found[0].elements == {0: ["train0"]} and found[0].dependency({}) == "afterok:55_4:56_9"


def test_a_finished_parent_needs_no_edge() -> None:
    child = stage("evaluate", 0, policy=stage("sft", 0))
    assert laid_out([child])[0].dependency({}) is None


def test_small_stages_share_a_job_and_their_children_share_theirs() -> None:
    parents = [stage("sft", i) for i in range(5)]
    children = [stage("evaluate", i, policy=p) for i, p in enumerate(parents)]
    found = laid_out([*parents, *children], stages_per_job={"sft": 2, "evaluate": 2})
    assert [array.elements for array in found] == [
        {0: ["sft0", "sft1"], 1: ["sft2", "sft3"], 2: ["sft4"]},
        {0: ["evaluate0", "evaluate1"], 1: ["evaluate2", "evaluate3"], 2: ["evaluate4"]},
    ]
