"""Composition held against Hydra's own, grid point by grid point."""

import re

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode

from sweep.commands.words import CONF
from sweep.compose import grid, leaves, reason, resolved
from sweep.config import Leaf, leaf


def composed(*words: str, n_hydras: int | None = None) -> tuple[list[Leaf], list[Leaf]]:
    """The grid's leaves as the planner composes them, and the first n_hydras of them as Hydra does."""
    with hydra.initialize_config_dir(CONF, job_name="sweep", version_base="1.3"):
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        loader = instance.config_loader
        master = instance.compose_config("config", list(words), RunMode.MULTIRUN, with_log_configuration=False)
        points = grid(loader, master)
        ours = leaves(loader, master, points)
        hydras = [
            leaf(resolved(loader.load_sweep_config(master, list(point))), tuple(point)) for point in points[:n_hydras]
        ]
    return ours, hydras


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("seed=0,1", "n_problems=range(8,10)"),
        ("source=teacher,self", "method=sft,dpo"),
        ("arm=rft,step_dpo", "seed=0,1"),
        ("arm=dpo", "method=step_dpo"),
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
        ("tracking=jsonl,wandb", "exec.n_workers=1", "exec.store=/tmp/a b"),
        ("evaluation=validation", "sampling.rollouts.until=end,pit"),
        ("experiment=smoke", "n_problems=8", "arm=sft,rft"),
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


def test_an_axis_on_the_command_line_replaces_the_experiments() -> None:
    ours, _ = composed("experiment=smoke", "arm=sft,rft", "n_problems=7", n_hydras=0)
    assert [(p.exp.source.name, p.exp.n_problems) for p in ours] == [("teacher", 7), ("self", 7)]


def test_an_error_names_its_grid_point() -> None:
    with pytest.raises(ValueError, match=r"grid point n_problems=0: n_problems must be a whole number .*; found 0"):
        composed("n_problems=8,0")


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
