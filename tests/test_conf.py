"""Every file of conf/ composes, and every experiment launches the runs that its comment promises."""

import re
import shlex
from pathlib import Path

import pytest
from test_compose import composed

from sweep.arms import ARMS
from sweep.methods import METHODS
from sweep.sources import SOURCES

CONF = Path(__file__).parents[1] / "conf"
EXPERIMENTS = sorted((CONF / "experiment").glob("*.yaml"))
GROUPS = ("dataset", "evaluation", "method", "model", "prompt", "sampling", "source", "teacher", "tracking")
MUST_BE_GIVEN = {
    "dataset=problems": "dataset.title=mine dataset.train_path=problems.jsonl dataset.verifier=number",
    "prompt=chat": "dataset=gsm8k",
    "prompt=few_shot": "dataset=gsm8k",
    "prompt=plain": "dataset=gsm8k",
    "model=deepseek_math_7b": "model.revision=abc",
    "model=folder": "model.path=somewhere",
    "model=llama2_7b": "model.revision=abc",
    "model=qwen2_5_0_5b": "model.revision=abc",
    "model=smollm2_135m": "model.revision=abc",
    "source=self_filtered": "sampling.rollouts.of=all sampling.rollouts.until=end",
    "method=good_steps": "sampling.rollouts.of=all sampling.rollouts.until=end",
    "method=step_dpo_both": "sampling.rollouts.of=all sampling.rollouts.until=end",
}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_launches_the_runs_its_comment_promises(path: Path) -> None:
    text = path.read_text()
    promised = re.search(r"= (\d+) runs?( for each value given on the command line)?", text)
    command = re.search(r"^# python -m sweep (.*)$", text, re.MULTILINE)
    assert promised and command, f"{path} states neither its number of runs nor its command"
    words = [word for word in shlex.split(command[1]) if word != "-m" and not (promised[2] and "," in word)]
    ours, _ = composed(*words, n_hydras=0)
    assert len(ours) == int(promised[1])
    assert len({(str(p.exp), p.overrides) for p in ours}) == len(ours)


FILES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize("word", [*FILES, *(f"arm={arm.word}" for arm in ARMS)])
def test_every_option_of_every_group_composes_alone(word: str) -> None:
    words = [word, *MUST_BE_GIVEN.get(word, "").split()]
    ours, _ = composed(*words, n_hydras=0)
    assert len(ours) == 1


def test_every_arm_has_a_word_a_name_and_a_pair_of_its_own() -> None:
    names = {arm.name for arm in ARMS}
    pairs = {(arm.source, arm.method, arm.is_entropy_matched) for arm in ARMS}
    assert len(ARMS) == len(names) == len(pairs) == len({arm.word for arm in ARMS})
    assert {name for arm in ARMS for claim in arm.claims for name in (claim.better, claim.worse)} <= names


def test_an_arm_is_composed_of_its_source_its_method_and_its_settings() -> None:
    ours, _ = composed("arm=rft_filtered", "rates.rft_filtered=0.125", n_hydras=0)
    exp = ours[0].exp
    assert (exp.source.name, exp.method.name, exp.method.optim.lr) == ("self_filtered", "sft", 0.125)
    assert (exp.sampling.rollouts.of, exp.sampling.rollouts.until) == ("all", "end")
    assert not exp.evaluation.is_entropy_matched


@pytest.mark.parametrize(("arm", "like"), [("pit_dpo", "step_dpo"), ("good_steps", "rft")])
def test_an_arm_without_a_rate_of_its_own_takes_that_of_the_arm_it_is_most_like(arm: str, like: str) -> None:
    def rate(*words: str) -> float:
        return composed(f"arm={arm}", *words, n_hydras=0)[0][0].exp.method.optim.lr

    assert rate(f"rates.{like}=0.125") == 0.125
    assert rate(f"rates.{like}=0.125", f"+rates.{arm}=0.5") == 0.5


def test_a_pretrained_models_pair_arms_start_far_below_its_likelihood_arms() -> None:
    for path in (CONF / "model").glob("*.yaml"):
        if path.stem.startswith("tiny_llama"):
            continue
        exp = composed(f"model={path.stem}", "model.path=x", "model.revision=abc", "arm=dpo", n_hydras=0)[0][0].exp
        assert exp.method.optim.lr <= exp.sft.lr / 10, path
        more = composed(f"model={path.stem}", "model.path=x", "model.revision=abc", "arm=rft", n_hydras=0)[0][0].exp
        pairs = exp.method.optim.passes / exp.method.optim.batch_size
        wanted = exp.sft.passes / exp.sft.batch_size + pairs  # equal updates of all arms
        assert more.method.optim.passes / more.method.optim.batch_size == wanted, path


def test_sources_and_methods_have_a_file_of_configuration_each() -> None:
    for group, known in (("source", SOURCES), ("method", METHODS)):
        assert {path.stem for path in (CONF / group).glob("*.yaml")} == set(known)


def test_every_file_says_in_its_first_comment_what_it_is() -> None:
    for path in CONF.rglob("*.yaml"):
        lines = [line for line in path.read_text().splitlines() if line != "# @package _global_"]
        assert re.match(r"# \S.{15,}", lines[0]), f"{path} opens with {lines[0]!r}"
