"""Packs: the numbers of each sequence read by itself, whatever shares the row with it, and few tokens more."""

import copy

import numpy as np
import pytest
import torch
from tiny_policy import pairs, rows, tiny_policy, trained, trained_policy, weights
from torch import Tensor
from transformers import PreTrainedModel

from sweep.data.records import Pair, Row
from sweep.models import Optim, Policy
from sweep.models.attention import by_kernel, packed_attention, reading_packs
from sweep.models.logps import ChunkedLogps, TokenLogps
from sweep.models.packing import FILLED, Block, Item, Lengths, Tokens, n_packed, pack
from sweep.models.sequences import encode_rows, logp_sums

CPU = torch.device("cpu")
NESTED = [  # one side begins like the other; nothing is shared but the prefix; the rejected side has one token
    Pair("1 f1 f2 | ", "f1 1 ; f2 2 ; ans 2", "f1 1 ; ", True, False, "a"),
    Pair("1 f1 f2 | ", "f1 1 ; ", "f1 1 ; f2 2 ; ans 3", False, True, "b"),
    Pair("2 f3 | f3 3 ; ", "ans 3", "f3 ", True, False, "c"),
    Pair("2 f3 | f3 3 ; ", "f4 ", "f5 ", False, False, "d"),
]


def alone(model: PreTrainedModel, items: list[Item]) -> Tensor:
    """(n_items, n_sequences an item) log-probability sums, each sequence by transformers' own forward pass."""
    sums = []
    for tokens in (tokens for item in items for tokens in item):
        ids = torch.from_numpy(tokens.ids).long()[None]
        logps = model(input_ids=ids).logits[0, tokens.n_prefix - 1 : -1].log_softmax(-1)
        sums.append(logps.gather(1, ids[0, tokens.n_prefix :, None]).sum())
    return torch.stack(sums).view(len(items), -1)


def in_a_pack(policy: Policy, items: list[Item], max_logits: int, has_kernel: bool) -> Tensor:
    with reading_packs(policy.model):
        batch = pack(items, policy.pad_id, CPU, has_kernel)
        return batch.sums(TokenLogps(policy.model, max_logits)(batch)).view(len(items), -1)


def gradient(policy: Policy, sums: Tensor) -> Tensor:
    # sides weighed differently, for under equal weights what a pair shares would leave no trace
    policy.model.zero_grad()
    (sums * torch.linspace(0.5, 1.5, sums.numel()).view_as(sums)).sum().backward()
    return torch.cat([p.grad.flatten() for p in policy.model.parameters()])


def row_by_row(
    q: Tensor, k: Tensor, v: Tensor, queries: Tensor, of_keys: Tensor, *_: int, scale: float, window_size: tuple, **kw
) -> Tensor:
    """What torch documents of its kernel for rows of any length, which needs a card: causal from the end."""
    assert window_size == (-1, 0) and kw == {"enable_gqa": k.shape[1] != q.shape[1]}
    out = []
    for (a, b), (c, d) in zip(queries.unfold(0, 2, 1).tolist(), of_keys.unfold(0, 2, 1).tolist(), strict=True):
        n_query, n_key = b - a, d - c
        scores = torch.einsum("qhd,khd->hqk", q[a:b], k[c:d]) * scale
        is_seen = torch.ones(n_query, n_key).tril(n_key - n_query).bool()
        out.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~is_seen, -torch.inf).softmax(-1), v[c:d]))
    return torch.cat(out)


@pytest.mark.parametrize("has_kernel", [False, True], ids=["blocks", "kernel"])
@pytest.mark.parametrize("max_logits", [10**9, 100], ids=["whole", "chunked"])
@pytest.mark.parametrize("data", [rows(24), pairs(24, is_final=True), NESTED], ids=["rows", "pairs", "steps"])
def test_log_probabilities_and_gradients_are_those_of_each_sequence_by_itself(
    data: list[Row] | list[Pair], max_logits: int, has_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", row_by_row)
    policy = trained_policy()
    items = encode_rows(policy, data)
    expected, found = alone(policy.model, items), in_a_pack(policy, items, max_logits, has_kernel)
    assert (found - expected).abs().max() < 1e-5
    wanted = gradient(policy, expected)
    assert wanted.abs().max() > 1
    assert (gradient(policy, found) - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_a_pack_by_hand() -> None:
    # prefix 1 2, chosen 3 4 5, rejected 3 6 7: the branch leaves after 1 2 3, and last tokens predict nothing
    pair = (Tokens(np.array([1, 2, 3, 4, 5], np.int32), 2), Tokens(np.array([1, 2, 3, 6, 7], np.int32), 2))
    found = pack([pair], pad_id=0, device=CPU, has_kernel=False)
    assert found.input_ids.tolist() == [[1, 2, 3, 4, 6]]
    assert found.position_ids.tolist() == [[0, 1, 2, 3, 3]]
    assert found.positions.tolist() == [1, 2, 3, 1, 2, 4]
    assert found.targets.tolist() == [3, 4, 5, 3, 6, 7]
    assert found.sequence.tolist() == [0, 0, 0, 1, 1, 1]
    first, branch = found.layout
    assert (first.start, first.n_rows, first.width, first.keys) == (0, 1, 4, None)
    assert branch.keys.tolist() == [[0, 1, 2, 4]] and branch.is_seen.tolist() == [[[[True] * 4]]]
    lengths = pack([pair], pad_id=0, device=CPU, has_kernel=True).layout
    assert isinstance(lengths, Lengths) and lengths.keys is not None
    assert (lengths.queries.tolist(), lengths.of_keys.tolist()) == ([0, 4, 5], [0, 4, 8])
    assert (lengths.keys.tolist(), lengths.longest_query, lengths.longest_key) == ([0, 1, 2, 3, 0, 1, 2, 4], 4, 4)
    assert n_packed(pair) == 5


def test_what_a_pair_shares_is_laid_down_once_and_little_is_filled_up() -> None:
    policy = tiny_policy()
    items = encode_rows(policy, pairs(64, is_final=True))
    separate = sum(len(tokens.ids) - 1 for item in items for tokens in item)
    n_tokens = sum(map(n_packed, items))
    prefixes = sum(item[0].n_prefix for item in items)
    assert n_tokens <= separate - prefixes
    assert pack(items, 0, CPU, has_kernel=True).input_ids.numel() == n_tokens
    assert n_tokens <= pack(items, 0, CPU, has_kernel=False).input_ids.numel() <= n_tokens * (1 + FILLED)


def test_filling_is_never_looked_at() -> None:
    policy = trained_policy()
    items = encode_rows(policy, [*NESTED, *pairs(24, is_final=True)])
    with reading_packs(policy.model):
        one, other = (pack(items, pad_id, CPU, has_kernel=False) for pad_id in (0, 5))
        assert not torch.equal(one.input_ids, other.input_ids)
        assert torch.equal(*(TokenLogps(policy.model)(batch) for batch in (one, other)))


def test_scores_of_pairs_are_those_of_each_side_by_itself() -> None:
    policy = trained_policy()
    items = encode_rows(policy, NESTED)
    with torch.no_grad():
        assert (logp_sums(policy, items, max_tokens=30) - alone(policy.model, items)).abs().max() < 1e-5


@pytest.mark.parametrize("has_bias", [True, False])
def test_chunked_logits_have_the_gradient_of_their_numbers(has_bias: bool) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(7, 4, dtype=torch.double), torch.randn(9, 4, dtype=torch.double)
    bias = torch.randn(9, dtype=torch.double).requires_grad_() if has_bias else None
    targets = torch.arange(7) + 1
    inputs = (hidden.requires_grad_(), weight.requires_grad_(), bias, targets, 3)
    assert torch.autograd.gradcheck(ChunkedLogps.apply, inputs)
    whole = torch.nn.functional.linear(hidden, weight, bias).log_softmax(-1)[torch.arange(7), targets]
    assert torch.allclose(ChunkedLogps.apply(*inputs), whole, atol=1e-12)


def test_no_more_logits_than_asked_for_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    linear = torch.nn.functional.linear

    def watched(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if len(weight) == len(policy.model.get_output_embeddings().weight):
            held.append(len(hidden))
        return linear(hidden, weight, bias)

    policy = trained_policy()
    monkeypatch.setattr("torch.nn.functional.linear", watched)
    n_vocabulary = len(policy.model.get_output_embeddings().weight)
    trained(policy, rows(16), optim=Optim(1e-3, 1, 16), max_logits=10 * n_vocabulary)
    assert max(held) == 10 and len(held) > 4


def test_attention_is_as_it_was_after_training_and_scoring() -> None:
    policy = tiny_policy()
    before = policy.model.config._attn_implementation
    trained(policy, pairs(4, is_final=True), optim=Optim(1e-3, 1, 4))
    assert policy.model.config._attn_implementation == before != "packed_rows"


def test_a_model_whose_attention_cannot_be_exchanged_is_refused() -> None:
    policy = tiny_policy()
    policy.model._supports_attention_backend = False
    with pytest.raises(ValueError, match="LlamaForCausalLM computes attention in a way of its own"):
        trained(policy, rows(2))


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"sliding_window": 3}, "sliding_window"), ({"softcap": 30.0}, "softcap"), ({"dropout": 0.1}, "dropout")],
)
def test_attention_of_another_kind_is_refused(asked: dict, named: str) -> None:
    states = torch.zeros(1, 2, 4, 8)
    layout = (Block(0, 1, 4),)
    with pytest.raises(ValueError, match=f"Identity asks for {named}, which attention over packed rows does not"):
        packed_attention(torch.nn.Identity(), states, states, states, None, layout=layout, **asked)
    wide = packed_attention(torch.nn.Identity(), states, states, states, None, layout=layout, sliding_window=4)
    assert wide[0].shape == (1, 4, 2, 8)


def test_the_kernel_takes_what_it_is_given() -> None:
    # shapes alone: it computes on a card
    q, kv = torch.empty(5, 4, 8, device="meta"), torch.empty(5, 2, 8, device="meta")
    lengths = torch.zeros(3, dtype=torch.int32, device="meta")
    layout = Lengths(lengths, lengths, 4, 4, torch.zeros(8, dtype=torch.int64, device="meta"))
    assert by_kernel(q, kv, kv, layout, 0.1).shape == (5, 4, 8)


def test_heads_that_share_keys_are_as_transformers_computes_them() -> None:
    policy = trained_policy()
    config = copy.deepcopy(policy.model.config)
    config.num_attention_heads, config.num_key_value_heads, config.head_dim = 4, 2, 4
    torch.manual_seed(0)
    policy.model = type(policy.model)(config).eval()
    items = encode_rows(policy, NESTED)
    assert (in_a_pack(policy, items, 10**9, False) - alone(policy.model, items)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("data", "last_loss", "squared_weights"),
    [(rows(64), 0.46232102, 158.87990), (pairs(64, is_final=False), 0.00805608, 148.22966)],
    ids=["rows", "pairs"],
)
def test_training_ends_where_batches_filled_up_to_their_longest_sequence_ended(
    data: list[Row] | list[Pair], last_loss: float, squared_weights: float
) -> None:
    # 60 updates with the trainer as it was before packs: the same losses, schedule and batches
    policy, losses = trained_policy(), []
    trained(policy, data, optim=Optim(3e-3, 60, 32), log=lambda update, metrics: losses.append(metrics["loss"]))
    assert losses[-1] == pytest.approx(last_loss, abs=1e-4)
    assert float(weights(policy).square().sum()) == pytest.approx(squared_weights, rel=1e-4)
