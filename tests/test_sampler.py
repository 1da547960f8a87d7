"""Sampling against transformers' own generate and a full forward pass, and its promises."""

import math
from pathlib import Path

import pytest
import torch
from tiny_policy import rows, tiny_policy, trained_policy

from sweep.data.records import Row
from sweep.models import (
    Interrupted,
    Policy,
    continuation_logps,
    encode_continuation,
    encode_prefix,
    n_sampled_tokens,
    sample,
    sampling_flops,
)

PREFIXES = [row.prefix for row in rows(24, seed=7)]
SHARP = 12.0  # factor on the weights of an untrained model, so that its distributions are uneven
WIDE = {"n_samples": 4, "temperature": 1.0, "max_new_tokens": 24, "seed": 0}


def full_forward_logps(policy: Policy, prefix: str, text: str, is_final: bool) -> list[float]:
    """Each token's log-probability from one pass over the whole sequence, without batch, padding or cache."""
    start, end = encode_prefix(policy, prefix), encode_continuation(policy, text, is_final)
    with torch.no_grad():
        logps = policy.model(torch.tensor([start + end])).logits[0].log_softmax(-1)
    return [logps[len(start) + i - 1, token].item() for i, token in enumerate(end)]


def full_forward_entropy(policy: Policy, prefix: str, text: str, is_final: bool, temperature: float) -> float:
    """Of a completion, from one pass over the whole sequence, without batch, padding or cache."""
    start, end = encode_prefix(policy, prefix), encode_continuation(policy, text, is_final)
    with torch.no_grad():
        logits = policy.model(torch.tensor([start + end])).logits[0, len(start) - 1 : -1]
    logits[:, policy.barred_ids] = float("-inf")
    return torch.distributions.Categorical(logits=logits / temperature).entropy().sum().item()


@pytest.mark.parametrize("max_rows", [512, 3])
def test_greedy_completions_are_those_of_generate_token_for_token(max_rows: int) -> None:
    policy = trained_policy()
    found = sample(policy, PREFIXES, n_samples=1, temperature=0, max_new_tokens=16, seed=0, max_rows=max_rows)
    assert len({len(encode_prefix(policy, prefix)) for prefix in PREFIXES}) == 3  # mixed lengths in one call
    for prefix, (completion,) in zip(PREFIXES, found, strict=True):
        ids = torch.tensor([encode_prefix(policy, prefix)])
        mask = torch.ones_like(ids)
        whole = policy.model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=16)
        generated = whole[0, ids.shape[1] :]
        assert encode_continuation(policy, completion.text, completion.is_finished) == generated.tolist()
        assert completion.n_tokens == len(generated)
    assert {completion.is_finished for (completion,) in found} == {True}


def test_prefixes_that_are_done_are_reported_after_every_chunk() -> None:
    said: list[tuple[int, int]] = []
    twice = [*PREFIXES, PREFIXES[0]]
    settings = {**WIDE, "max_new_tokens": 2, "max_rows": 8}
    sample(trained_policy(), twice, **settings, report=lambda n_done, n: said.append((n_done, n)))
    assert {n for _, n in said} == {25}
    done = [n_done for n_done, _ in said]
    assert done[-1] == 25 and done == sorted(set(done)) and len(done) > 10  # 4 rows a prefix, so 2 prefixes a chunk


def test_a_completion_cut_at_the_bound_is_not_finished() -> None:
    completions = sample(trained_policy(), PREFIXES[:3], n_samples=1, temperature=0, max_new_tokens=2, seed=0)
    assert [(c[0].is_finished, c[0].n_tokens, len(c[0].text.split())) for c in completions] == [(False, 2, 2)] * 3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_entropy_is_that_of_the_distributions_drawn_from(temperature: float) -> None:
    policy = trained_policy()
    found = sample(policy, PREFIXES, **{**WIDE, "temperature": temperature}, has_entropy=True)
    for prefix, completions in zip(PREFIXES, found, strict=True):
        for completion in completions:
            expected = full_forward_entropy(policy, prefix, completion.text, completion.is_finished, temperature)
            assert completion.entropy == pytest.approx(expected, abs=2e-4)


def test_the_entropy_of_one_token_estimates_that_of_its_distribution_and_less_after_top_p() -> None:
    policy, settings = trained_policy(), {**WIDE, "max_new_tokens": 1, "n_samples": 1}
    (whole,), (cut,) = (
        sample(policy, PREFIXES[:1], **settings, top_p=top_p, has_entropy=True)[0] for top_p in (1.0, 0.5)
    )
    assert 0 <= cut.entropy < whole.entropy <= math.log(len(policy.tokenizer))


def test_flops_of_sampling_are_two_a_parameter_for_each_distinct_prefix_and_drawn_token() -> None:
    policy = trained_policy()
    n_parameters = sum(p.numel() for p in policy.model.parameters())  # tied: the output layer is the embedding
    prefixes = ["1 f0 | ", "1 f0 | ", "1 f0 f1 | "]  # 4 and 5 tokens with <bos>; the repeat is read once
    drawn = sample(policy, prefixes, n_samples=2, temperature=1.0, max_new_tokens=5, seed=0)
    n_drawn = sum(c.n_tokens for group in drawn for c in group)
    assert sampling_flops(policy, prefixes, drawn) == 2 * n_parameters * (4 + 5 + n_drawn)


def test_continuation_logps_are_the_sums_of_a_full_forward_pass() -> None:
    policy, data = trained_policy(), [*rows(9, seed=2), Row("1 f1 | ", "f1 1 ; ", False, "inner")]
    found = continuation_logps(policy, data, max_tokens=64)
    for row, (logp_sum, n_tokens) in zip(data, found, strict=True):
        expected = full_forward_logps(policy, row.prefix, row.continuation, row.is_final)
        assert (logp_sum, n_tokens) == (pytest.approx(sum(expected), abs=1e-4), len(expected))


def test_the_samples_follow_the_models_distribution() -> None:
    # one token from an untrained model with blown-up weights; 4 standard errors of each frequency
    policy, n_samples = tiny_policy(seed=2), 4000
    policy.model.get_output_embeddings().weight.data *= SHARP
    (drawn,) = sample(policy, ["1 f1 |"], n_samples=n_samples, temperature=0.7, max_new_tokens=1, seed=0)
    with torch.no_grad():
        logits = policy.model(torch.tensor([encode_prefix(policy, "1 f1 |")])).logits[0, -1]
    logits[policy.barred_ids] = -torch.inf
    for word, probability in enumerate((logits / 0.7).softmax(0).tolist()):
        text = "" if word == policy.eos_id else policy.tokenizer.convert_ids_to_tokens(word)
        frequency = sum(c.text == text for c in drawn) / n_samples
        assert abs(frequency - probability) <= 4 * math.sqrt(probability * (1 - probability) / n_samples) + 1e-12


def test_top_p_keeps_the_smallest_set_that_holds_the_probability() -> None:
    policy = tiny_policy(seed=2)
    policy.model.get_output_embeddings().weight.data *= SHARP
    with torch.no_grad():
        logits = policy.model(torch.tensor([encode_prefix(policy, "1 f1 |")])).logits[0, -1]
    logits[policy.barred_ids] = -torch.inf
    probabilities, order = logits.softmax(0).sort(descending=True)
    n_kept = int((probabilities.cumsum(0) < 0.6).sum()) + 1
    assert 1 < n_kept < len(order) - 5
    (drawn,) = sample(policy, ["1 f1 |"], n_samples=2000, temperature=1, max_new_tokens=1, seed=0, top_p=0.6)
    kept = {"" if i == policy.eos_id else policy.tokenizer.convert_ids_to_tokens(i) for i in order[:n_kept].tolist()}
    assert {completion.text for completion in drawn} == kept


def test_the_same_seed_draws_the_same_and_another_seed_other_samples() -> None:
    policy = trained_policy()
    first = sample(policy, PREFIXES, **WIDE)
    assert sample(policy, PREFIXES, **WIDE) == first
    assert sample(policy, PREFIXES, **{**WIDE, "seed": 1}) != first


def test_a_sample_depends_neither_on_the_other_prefixes_nor_on_max_rows() -> None:
    policy = trained_policy()
    together = sample(policy, PREFIXES, **WIDE)
    assert sample(policy, PREFIXES[5:9], **WIDE) == together[5:9]
    assert sample(policy, PREFIXES[::-1], **WIDE) == together[::-1]
    assert sample(policy, PREFIXES, **WIDE, max_rows=5) == together
    assert sample(policy, PREFIXES, **WIDE, max_rows=3) == together  # fewer rows than samples of one prefix
    assert [c[:2] for c in together] == sample(policy, PREFIXES, **{**WIDE, "n_samples": 2})


def test_a_prefix_given_twice_gets_different_draws() -> None:
    policy = trained_policy()
    first, second = sample(policy, [PREFIXES[0]] * 2, **{**WIDE, "temperature": 2.0})
    assert first != second
    assert first + second == sample(policy, [PREFIXES[0]], **{**WIDE, "temperature": 2.0, "n_samples": 8})[0]


def test_each_distinct_prefix_is_prefilled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, prefilled = trained_policy(), []
    forward = policy.model.forward

    def counting(input_ids: torch.Tensor, **options: object) -> object:
        if input_ids.shape[1] > 1:
            prefilled.extend(map(tuple, input_ids.tolist()))
        return forward(input_ids, **options)

    monkeypatch.setattr(policy.model, "forward", counting)
    sample(policy, [*PREFIXES, *PREFIXES], **{**WIDE, "n_samples": 9}, max_rows=16)
    assert len(prefilled) == len(set(prefilled)) == len(set(PREFIXES))


def test_what_is_sampled_reads_back_to_the_same_tokens() -> None:
    # an untrained model writes every word of the vocabulary, padding and <unk> barred
    policy = tiny_policy()
    for (completion,) in sample(policy, PREFIXES, **{**WIDE, "n_samples": 1}):
        ids = encode_continuation(policy, completion.text, completion.is_finished)
        assert len(ids) == completion.n_tokens


def test_sampled_tokens_are_counted_with_their_eos() -> None:
    completions = sample(trained_policy(), PREFIXES, **WIDE)
    words = sum(len(c.text.split()) + c.is_finished for group in completions for c in group)
    assert n_sampled_tokens(completions) == words


def test_greedy_gives_the_same_completion_n_samples_times() -> None:
    (group,) = sample(trained_policy(), PREFIXES[:1], n_samples=3, temperature=0, max_new_tokens=16, seed=0)
    assert len(group) == 3 and len(set(group)) == 1


def test_no_prefixes_give_no_completions() -> None:
    assert sample(trained_policy(), [], **WIDE) == []


@pytest.mark.parametrize(
    "argument",
    [{"n_samples": 0}, {"temperature": -1.0}, {"max_new_tokens": 0}, {"top_p": 0.0}, {"max_rows": 0}],
)
def test_an_argument_out_of_range_is_refused_by_name(argument: dict[str, float]) -> None:
    ((name, value),) = argument.items()
    with pytest.raises(ValueError, match=f"{name}={value}: expected"):
        sample(trained_policy(), PREFIXES, **{**WIDE, **argument})


def test_a_prefix_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 4 tokens, with max_new_tokens=45 more than the model's max_length=48"):
        sample(tiny_policy(), ["1 f1 |"], n_samples=1, temperature=0, max_new_tokens=45, seed=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_a_policy_whose_logits_are_not_finite_writes_nothing(value: float, temperature: float, top_p: float) -> None:
    policy, word = trained_policy(), 9
    forward = policy.model.forward

    def broken(*args: object, **options: object) -> object:
        output = forward(*args, **options)
        output.logits[-1, :, word] = value
        return output

    policy.model.forward = broken
    options = {**WIDE, "temperature": temperature, "top_p": top_p}
    with pytest.raises(FloatingPointError, match=rf"token 1 of a completion, temperature={temperature:g}: "):
        sample(policy, PREFIXES, **options, has_entropy=True)


def test_a_temperature_too_low_to_divide_by_is_refused_and_not_sampled_as_noise() -> None:
    with pytest.raises(FloatingPointError, match="or take temperature=0 where a very low one was asked for"):
        sample(trained_policy(), PREFIXES, **{**WIDE, "temperature": 1e-40})


def test_a_score_that_is_not_finite_is_refused() -> None:
    policy = trained_policy()
    policy.model.get_output_embeddings().weight.data[5] = float("inf")
    with pytest.raises(FloatingPointError, match="3 of 3 rows have a log-probability that is not finite"):
        continuation_logps(policy, rows(3))


def test_neither_a_special_token_nor_a_row_without_a_word_is_ever_sampled() -> None:
    policy = tiny_policy()
    policy.tokenizer.add_special_tokens({"additional_special_tokens": ["<role>"]})
    policy.model.resize_token_embeddings(24)  # 20 words, <role>, and three rows that round the size up
    assert policy.barred_ids == [0, 1, 3, 20, 21, 22, 23]
    policy.model.get_output_embeddings().weight.data[20:] = 50 * policy.model.get_output_embeddings().weight.data[4]
    for completions in sample(policy, PREFIXES, **WIDE):
        for completion in completions:
            assert len(encode_continuation(policy, completion.text, completion.is_finished)) == completion.n_tokens


def test_sampling_that_was_stopped_goes_on_from_its_finished_chunks(tmp_path: Path) -> None:
    policy, path = tiny_policy(), tmp_path / "kept.jsonl"
    settings = {"n_samples": 2, "temperature": 1.0, "max_new_tokens": 6, "seed": 3, "max_rows": 2, "has_entropy": True}
    prefixes = ["1 f0 | ", "1 f0 f1 | ", "1 f0 f1 f2 | "]  # of three lengths: three chunks
    whole = sample(policy, prefixes, **settings)
    with pytest.raises(Interrupted, match="sampling stopped on request after chunk 1 of 3"):
        sample(policy, prefixes, **settings, checkpoint_path=path, should_stop=lambda: True)
    with path.open("a") as stream:
        stream.write('\n{"chunk": "torn')
    asked = []
    again = sample(policy, prefixes, **settings, checkpoint_path=path, should_stop=lambda: bool(asked.append(1)))
    assert again == whole
    assert len(asked) == 2  # the first chunk was read, two were drawn
    other = sample(policy, prefixes, **{**settings, "seed": 4}, checkpoint_path=path)
    assert other == sample(policy, prefixes, **{**settings, "seed": 4})
