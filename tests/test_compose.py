"""Composition held against Hydra's own, grid point by grid point."""

import re
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from sweep import compose
from sweep.commands.words import Files, composer, exec_of, line_of, plan_of
from sweep.compose import leaves, reason, resolved
from sweep.leaves import Leaf, leaf
from sweep.points import accepted, grid


def composed(*words: str, n_hydras: int | None = None) -> tuple[list[Leaf], list[Leaf]]:
    """The grid's leaves as the planner composes them, and the first n_hydras of them as Hydra does."""
    with composer(Files()) as instance:
        loader = instance.config_loader
        master = instance.compose_config(
            "config", accepted(loader, words), RunMode.MULTIRUN, with_log_configuration=False
        )
        points = grid(loader, master)
        ours = leaves(loader, master, points)
        hydras_own = ConfigLoaderImpl(loader.get_search_path())  # which reads its files anew for each point
        hydras = [
            leaf(resolved(hydras_own.load_sweep_config(master, accepted(loader, point))), tuple(point))
            for point in points[:n_hydras]
        ]
    return ours, hydras


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("seed=0,1", "n_problems=range(8,10)"),
        ("source=teacher,self", "method=sft,dpo"),
        ("arm=rft,step_dpo", "seed=0,1"),
        ("arm=null,dpo", "variant=null", "seed=0,1"),
        ("source=self", "experiment=smoke"),
        ("method.optim.lr=1e-3,2e-3", "method=dpo,sft"),
        ("sft.lr=1e-3,2e-3", "arm=rft,sft_more"),  # read through an interpolation
        ("rates.rft=1e-3,2e-3", "arm=rft", "n_problems=8,16"),
        ("preference.beta=0.25,0.5", "arm=dpo", "seed=0,1"),
        ("sft={lr: 1e-3},{passes: 2}",),  # merged, so nothing of the first may stay in the second
        ("++sft.min_updates=3,4",),
        ("++dataset.n_skills=30,40", "seed=3"),
        ("~dataset.curriculum", "model=deepseek_math_7b", "model.revision=null", "seed=0,1"),
        ("dataset.tail_reliability=[0.1,0.2],[0.3,0.4]",),
        ("dataset.answer_classes=null,3",),
        ("tracking=jsonl", "exec.n_workers=1", "exec.store=/tmp/a b"),
        ("evaluation=validation", "sampling.rollouts.until=end,pit"),
        ("experiment=smoke", "n_problems=8", "arm=sft,rft"),
        ("seed=8,16", "n_problems=${seed}", "exec.n_workers=1"),  # of its own point, not of the first
        ("arm=glob(*dpo)",),
        ("n_problems=1e3",),
    ],
)
def test_leaves_are_what_hydra_composes(words: tuple[str, ...]) -> None:
    ours, hydras = composed(*words)
    assert len(ours) == len(hydras) > 0
    assert ours == hydras


def test_every_arm_of_an_experiment_is_what_hydra_composes() -> None:
    ours, hydras = composed("experiment=smoke", "n_problems=8", n_hydras=4)
    assert ours[:4] == hydras
    assert len({(p.exp.source.name, p.exp.method.name, p.exp.evaluation.is_entropy_matched) for p in ours}) == 11


def test_a_node_with_rates_by_size_is_resolved_once_and_not_at_each_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, plain = [], compose._plain
    monkeypatch.setattr(compose, "_plain", lambda node: asked.append(node) or plain(node))
    ours, _ = composed("arm=rft", "n_problems=128,16384", n_hydras=0)
    assert ours[0].exp.method.optim.lr != ours[1].exp.method.optim.lr  # the same node, at each leaf's own size
    assert asked and not any(map(OmegaConf.is_config, asked))


def test_an_axis_on_the_command_line_replaces_the_experiments() -> None:
    ours, _ = composed("experiment=smoke", "arm=sft,rft", "n_problems=7", n_hydras=0)
    assert [(p.exp.source.name, p.exp.n_problems) for p in ours] == [("teacher", 7), ("self", 7)]


def test_an_error_names_its_grid_point() -> None:
    with pytest.raises(ValueError, match=r"grid point n_problems=0: n_problems must be a whole number .*; found 0"):
        composed("n_problems=8,0")

    with pytest.raises(
        ValueError, match=r"grid point n_problems=8 seed=\$\{nope\} sft\.lr=1: Interpolation key 'nope'"
    ):
        composed("n_problems=8", "seed=${nope}", "sft.lr=1")


def test_a_value_may_be_hydras_own_of_the_job_that_it_is_of() -> None:
    words = ("n_problems=8,16", "seed=${hydra:job.num}", "exec.sweep_name=${hydra:job.name}")
    before = HydraConfig.instance().cfg
    plan, exec = plan_of(words)  # the number is the point's place in the grid, as Hydra's own launcher gives it
    assert [(run.leaf.exp.n_problems, run.leaf.exp.seed) for run in plan.runs] == [(8, 0), (16, 1)]
    line = line_of(("status", *words), ("status",))
    assert exec.sweep_name == exec_of(line).sweep_name == "sweep"
    assert HydraConfig.instance().cfg is before


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sft.nope=1,2", "Could not override 'sft.nope'; .*valid keys there: batch_size, embedding_lr_scale, lr"),
        ("method=nope,sft", "Could not find 'method/nope' Available options in 'method': chosen_sft distant_dpo dpo"),
        ("seed=abc,1", "seed must be a whole number from 0 to .*; found 'abc'$"),
        ("+sft.nope=1,2", "unknown key nope in sft; the valid ones are lr, passes"),
        ("+nope=1,2", "unknown key nope; the valid ones are dataset, model"),
        ("~sft.lr", "OptimConfig .* does not support deletion"),
        ("n_problems='${nope}',1", "Interpolation key 'nope' not found"),
    ],
)
def test_a_mistake_is_told_on_one_line_with_what_is_valid(word: str, told: str) -> None:
    with pytest.raises((ValueError, HydraException)) as caught:
        composed(word)
    line = reason(caught.value)
    assert re.search(told, line), line
    assert "\n" not in line


BASELINE_FURTHER = (
    "hydra.sweeper.params={arm: 'sft,dpo', n_problems: '8,16', seed: '0'}",
    "hydra.sweeper.also=[{arm: sft, n_problems: '16,32'}]",
)


def cells(*words: str) -> list[tuple[str, int]]:
    return [(point.exp.method.name, point.exp.n_problems) for point in composed(*words, n_hydras=0)[0]]


def test_a_further_grid_adds_its_points_once() -> None:
    # sft at 16 stands in both grids
    assert cells(*BASELINE_FURTHER) == [("sft", 8), ("sft", 16), ("dpo", 8), ("dpo", 16), ("sft", 32)]


def test_a_further_grid_is_left_out_when_the_command_line_sets_one_of_its_axes() -> None:
    assert cells(*BASELINE_FURTHER, "n_problems=8") == [("sft", 8), ("dpo", 8)]


SMOKE = ("experiment=smoke", "n_problems=8,16")


def pairs(*words: str) -> list[tuple[str, str, int]]:
    return [(p.exp.source.name, p.exp.method.name, p.exp.n_problems) for p in composed(*words, n_hydras=0)[0]]


def test_source_and_method_replace_the_experiments_arms() -> None:
    found = pairs(*SMOKE, "source=teacher,self", "method=sft,dpo")
    assert sorted(found) == sorted(
        (source, method, size) for source in ("teacher", "self") for method in ("sft", "dpo") for size in (8, 16)
    )


def test_an_arm_replaces_the_experiments_sources_and_methods() -> None:
    axes = "hydra.sweeper.params={source: 'teacher,self', method: 'sft,dpo', n_problems: '8'}"
    assert pairs(axes, "arm=dpo") == [("self", "dpo", 8)]
    assert len(pairs(axes)) == 4


def test_no_arm_is_an_arm_that_is_not_given() -> None:
    assert pairs(*SMOKE, "arm=null", "variant=null") == [("teacher", "sft", 8), ("teacher", "sft", 16)]
    for none in ("arm=null", "~arm"):
        found = pairs(*SMOKE, none, "source=self", "method=sft,dpo")
        assert sorted(found) == [("self", method, size) for method in ("dpo", "sft") for size in (8, 16)]


@pytest.mark.parametrize(
    "words", [("arm=dpo", "source=self"), ("arm=dpo,sft", "method=dpo"), ("method=dpo", "source=self", "arm=rft")]
)
def test_an_arm_beside_its_source_or_method_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"arm and (method|source|method and source) are both given"):
        composed(*words)


def test_several_experiments_are_the_sum_of_their_grids() -> None:
    words = ("experiment=smoke,tune_sft", "arm=sft", "replicate=7", "sft.lr=1e-3", "exec.sweep_name=both")
    found = [(p.exp.n_problems, p.exp.evaluation.split) for p in composed(*words, n_hydras=0)[0]]
    assert found == [(32, "test"), (64, "test"), (256, "validation"), (2048, "validation"), (16384, "validation")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("experiment=smoke,tune", "arm=sft"), r"exec.sweep_name differs between .*: smoke \(.*\) and tune \("),
        (("exec.n_workers=1,2",), r"exec.n_workers differs between grid points: 1 \(exec.n_workers=1\) and 2 \(exec"),
        (("tracking=jsonl,wandb",), r"tracking.name differs .*: jsonl \(tracking=jsonl\) and wandb .*; a sweep has"),
        (("hydra.output_subdir=null",), "hydra.output_subdir=null cannot be obeyed: a sweep records run N"),
        (("hydra.sweep.subdir=x",), "hydra.sweep.subdir=x cannot be obeyed"),
        (("hydra.job.chdir=true",), "hydra.job.chdir=True cannot be obeyed"),
        (("+hydra.job.env_set={A: b}",), "hydra.job.env_set={'A': 'b'} cannot be obeyed"),
        (("~experiment=1,2",), "~experiment=1,2: what is taken away cannot be swept over; give ~experiment alone"),
        (("~seed=choice(1,2)",), "what is taken away cannot be swept over; give ~seed alone"),
        (("seed=range(0,10000000)",), "the grid has 100001 points or more; at most 100000 are planned at once"),
        (("sft.lr=interval(1,2)",), r"sft.lr=interval\(1,2\): an interval has no values to go through"),
        (
            ("n_problems=range(8,65,0)",),
            r"n_problems=range\(8,65,0\): its values cannot be listed .*; expected KEY=1,2",
        ),
        (("n_problems=range(8,8)",), r"n_problems=range\(8,8\): it has no values; expected KEY=1,2, KEY=choice"),
        (("arm=glob(x*)",), r"arm=glob\(x\*\): it has no values"),
        (("n_problems=choice()",), r"choice\(...\) is not a function of Hydra's, or is given what it does not take"),
        (("n_problems=${nope}",), r"grid point n_problems=.*nope.*: Interpolation key 'nope' not found"),
        (("varaint=x",), r"varaint=x: unknown key varaint \(did you mean variant\?\); .*; the groups are arm, dataset"),
        (("n_problems=32,64,",), "'n_problems=32,64,' cannot be read: a comma stands between two values"),
        (("n_problems=[1",), "cannot be read: a bracket is not closed, or closed twice"),
        (("exec.store='a",), "cannot be read: a quote is not closed"),
        (("exec.store=a b=c)(",), "is put into quotes of its own"),
        (("exec.store=n\udcff",), "cannot be read: it holds bytes that are no UTF-8"),
        (("=5",), "'=5' cannot be read: expected KEY=VALUE, or ~KEY to delete"),
    ],
)
def test_a_line_that_cannot_be_obeyed_is_refused_with_what_to_do(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        composed(*words, n_hydras=0)


def test_an_experiment_that_names_a_launcher_is_no_part_of_a_sum(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nhydra: {launcher: {wait: true}}\ndefaults: [{override /hydra/launcher: slurm}]\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"experiment=mine sets hydra.launcher, of which a sweep has one"):
        plan_of(["experiment=tune,mine", "exec.sweep_name=both"], Files(further=str(tmp_path)))


def test_two_spellings_of_one_value_are_one_run() -> None:
    with pytest.raises(ValueError, match=r"points are the same run: .*rope_theta=1000 and .*rope_theta=1000.0"):
        plan_of(["model.rope_theta=1000,1000.0"])
