"""The training loop: what it may not change (micro-batches, restarts) and what it must (weights, counts)."""

import copy
import json

import numpy as np
import pytest
import torch
from tiny_policy import OPTIM, pairs, rows, tiny_policy, trained, trained_policy, weights

from sweep.data.records import Judged, Pair, Row
from sweep.methods.sft import sft_loss
from sweep.models import Optim, Policy, continuation_logps, pair_scores, sample, train
from sweep.models.optim import batch_indices, lr_factor
from sweep.models.sequences import micro_batches


def gradient(policy: Policy, data: list[Row] | list[Pair], micro_batch_tokens: int) -> torch.Tensor:
    """What has accumulated after the last micro-batch of a batch that holds all of data."""
    kept = {}
    for name, parameter in policy.model.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: kept.update({name: p.grad.clone()}))
    trained(
        policy,
        data,
        optim=Optim(1e-3, 1, len(data), max_grad_norm=1e9),
        micro_batch_tokens=micro_batch_tokens,
    )
    return torch.cat([kept[name].flatten() for name in sorted(kept)])


@pytest.mark.parametrize("data", [rows(16), pairs(16, is_final=False)], ids=["rows", "pairs"])
def test_micro_batches_leave_the_gradient_unchanged(data: list[Row] | list[Pair]) -> None:
    policy = trained_policy()
    whole = gradient(copy.deepcopy(policy), data, micro_batch_tokens=10**6)
    cut = gradient(copy.deepcopy(policy), data, micro_batch_tokens=50)
    alone = gradient(copy.deepcopy(policy), data, micro_batch_tokens=1)
    assert whole.abs().max() > 0.01
    assert (whole - cut).abs().max() < 1e-6
    assert (whole - alone).abs().max() < 1e-6


@pytest.mark.parametrize("data", [rows(20), pairs(20, is_final=True)], ids=["rows", "pairs"])
def test_the_same_seed_ends_in_the_same_weights_and_another_seed_in_others(
    data: list[Row] | list[Pair],
) -> None:
    first, again, other = (trained_policy() for _ in range(3))
    trained(first, data, seed=1)
    trained(again, data, seed=1)
    trained(other, data, seed=2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_every_update_is_reported_with_how_many_there_are() -> None:
    said: list[tuple[int, int]] = []
    trained(trained_policy(), rows(20), report=lambda n_done, n: said.append((n_done, n)))
    assert said == [(update, 12) for update in range(1, 13)]


def test_training_learns_the_toy_language() -> None:
    policy = trained_policy()
    trained(policy, rows(200), optim=Optim(1e-2, 200, 32))
    held_out = rows(50, seed=99)
    drawn = sample(policy, [row.prefix for row in held_out], n_samples=1, temperature=0, max_new_tokens=16, seed=0)
    assert np.mean([c[0].text == row.continuation for c, row in zip(drawn, held_out, strict=True)]) > 0.8


def test_dpo_widens_the_margin_of_its_pairs() -> None:
    logged: list[dict[str, float]] = []
    trained(trained_policy(), pairs(20, is_final=True), log=lambda update, metrics: logged.append(metrics))
    assert logged[-1]["log_ratio_margin"] > logged[0]["log_ratio_margin"] + 1
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert logged[-1]["chosen_logp_sum"] > logged[-1]["rejected_logp_sum"]
    assert 0 <= logged[-1]["pair_accuracy"] <= 1


def test_trained_tokens_are_the_continuations_tokens_and_eos() -> None:
    # "f1 1 ; ans 0" is 5 tokens and EOS; the inner step 3 without; one epoch of two rows is 9, twice
    data = [Row("1 f1 | ", "f1 1 ; ans 0", True, "a"), Row("1 f1 f2 f3 | ", "f1 1 ; ", False, "b")]
    assert trained(trained_policy(), data, optim=Optim(1e-3, 2, 2)).n_trained_tokens == 18
    two_sided = [Pair("1 f1 | ", "f1 1 ; ", "f1 ", False, False, "a")]
    assert trained(trained_policy(), two_sided, optim=Optim(1e-3, 3, 1)).n_trained_tokens == 12


def test_the_reference_is_scored_once_before_the_first_update() -> None:
    reference, n_calls = tiny_policy(seed=8), 0

    def count(*_: object) -> None:
        nonlocal n_calls
        n_calls += 1

    reference.model.model.register_forward_pre_hook(count)
    trained(trained_policy(), pairs(20, is_final=True), reference=reference, micro_batch_tokens=10**6)
    assert n_calls == 1


def test_the_policy_itself_can_be_its_reference() -> None:
    policy, copied, start = trained_policy(), trained_policy(), trained_policy()
    trained(policy, pairs(20, is_final=True), reference=policy)
    trained(copied, pairs(20, is_final=True), reference=start)
    assert torch.equal(weights(policy), weights(copied))


def test_metrics_are_logged_about_200_times_and_after_the_last_update() -> None:
    logged: list[int] = []
    optim = Optim(1e-3, 405, 1)
    trained(tiny_policy(), rows(4), optim=optim, log=lambda update, metrics: logged.append(update))
    assert logged == [*range(2, 405, 2), 405]


def test_metrics_are_plain_numbers() -> None:
    logged: list[dict[str, float]] = []
    trained(trained_policy(), pairs(4, is_final=True), log=lambda update, metrics: logged.append(metrics))
    names = "loss lr grad_norm n_trained_tokens log_ratio_margin pair_accuracy chosen_logp_sum rejected_logp_sum"
    assert list(json.loads(json.dumps(logged[0]))) == names.split()


def test_a_loss_that_is_not_finite_names_the_update() -> None:
    policy, before = trained_policy(), weights(trained_policy())
    n_calls = 0

    def loss(logps: torch.Tensor) -> torch.Tensor:
        nonlocal n_calls
        n_calls += 1
        return logps * (float("nan") if n_calls == 3 else 1.0)

    with pytest.raises(FloatingPointError, match=r"update 3 of 12: loss nan"):
        train(policy, rows(8), loss, OPTIM, seed=0, log=lambda *_: None, micro_batch_tokens=10**6)
    assert torch.isfinite(weights(policy)).all() and not torch.equal(weights(policy), before)


@pytest.mark.parametrize("n_updates", [1, 3])
def test_a_weight_that_is_not_finite_names_the_update_even_the_last_one(n_updates: int) -> None:
    # Adam's first step is lr a weight, whatever the gradient: 1e39 is beyond fp32 and no loss comes after it
    optim = Optim(1e39, n_updates, 8, warmup_fraction=0, schedule="constant")
    with pytest.raises(FloatingPointError, match=rf"update 1 of {n_updates}: largest weight (inf|nan); expected"):
        trained(trained_policy(), rows(8), optim=optim)


def test_a_reference_that_scores_nothing_finite_is_refused_before_the_first_update() -> None:
    reference = tiny_policy(seed=8)
    reference.model.get_output_embeddings().weight.data[5] = float("nan")
    with pytest.raises(FloatingPointError, match="4 of 4 rows have a log-probability that is not finite"):
        trained(trained_policy(), pairs(4, is_final=True), reference=reference)


@pytest.mark.parametrize("data", [rows(16), pairs(16, is_final=True)], ids=["rows", "pairs"])
def test_bf16_trains_close_to_fp32(data: list[Row] | list[Pair]) -> None:
    logged: dict[str, float] = {}
    for precision in ("fp32", "bf16"):
        trained(
            trained_policy(),
            data,
            optim=Optim(1e-3, 3, 16, warmup_fraction=0),
            precision=precision,
            log=lambda update, metrics, precision=precision: logged.update({precision: metrics["loss"]}),
        )
    assert logged["bf16"] == pytest.approx(logged["fp32"], rel=0.02)
    assert logged["bf16"] != logged["fp32"]


def test_bf16_moves_weights_by_less_than_bf16_can_tell() -> None:
    # near 1 two bf16 numbers are 2**-8 apart: a norm's weight would never leave 1 at this rate without a master
    policy = tiny_policy()
    trained(policy, rows(16), optim=Optim(1e-4, 5, 16, warmup_fraction=0, schedule="constant"), precision="bf16")
    moved = (policy.model.model.norm.weight - 1).abs().max()
    assert policy.model.dtype == torch.float32
    assert 1e-4 < moved < 2**-8


def test_frozen_weights_and_dtypes_come_back_as_they_were() -> None:
    policy = tiny_policy()
    policy.model.to(torch.bfloat16)
    frozen = policy.model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    trained(policy, rows(16), precision="fp32")
    assert {p.dtype for p in policy.model.parameters()} == {torch.bfloat16}
    after = dict(policy.model.named_parameters())
    assert torch.equal(frozen, before["model.layers.0.mlp.up_proj.weight"])
    assert not torch.equal(after["model.layers.0.mlp.down_proj.weight"], before["model.layers.0.mlp.down_proj.weight"])


def test_the_reference_is_scored_in_the_precision_of_the_policy() -> None:
    # so that both start with a log-ratio of nothing at all
    logged: list[dict[str, float]] = []
    policy = trained_policy()
    options = {"reference": policy, "precision": "bf16", "optim": Optim(1e-3, 1, 16)}
    trained(policy, pairs(16, is_final=True), log=lambda update, metrics: logged.append(metrics), **options)
    assert logged[0]["log_ratio_margin"] == 0.0


@pytest.mark.parametrize("options", [{"gradient_checkpointing": True}, {"compiler": "aot_eager"}], ids=str)
def test_how_layers_are_computed_changes_no_number(options: dict) -> None:
    plain, other = trained_policy(), trained_policy()
    torch._dynamo.utils.counters.clear()
    n_calls = 0

    def count(*_: object) -> None:
        nonlocal n_calls
        n_calls += 1

    other.model.model.layers[0].mlp.register_forward_pre_hook(count)
    optim = Optim(1e-3, 2, 8)
    trained(plain, rows(16), optim=optim)
    trained(other, rows(16), optim=optim, **options)
    assert (weights(plain) - weights(other)).abs().max() < 1e-6
    if "compiler" in options:
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    else:
        assert n_calls == 4  # in each update, forward and again for the backward pass
    assert not other.model.is_activation_checkpointing
    assert other.model.model.layers[0]._compiled_call_impl is None


def test_an_unknown_compiler_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="compiler='gcc' is not known; choose one of off, inductor, aot_eager"):
        trained(tiny_policy(), rows(2), compiler="gcc")


def test_every_row_is_seen_once_an_epoch() -> None:
    # batches of 4 from 10 rows: 5 batches are 2 epochs, the third batch spans both
    places = [i for update in range(5) for i in batch_indices(10, 4, seed=0, update=update)]
    assert sorted(places[:10]) == sorted(places[10:]) == list(range(10))
    assert places[:10] != places[10:]
    assert places != [i for update in range(5) for i in batch_indices(10, 4, seed=1, update=update)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_the_learning_rate_by_hand(schedule: str, expected: list[float]) -> None:
    optim = Optim(1.0, 6, 1, warmup_fraction=1 / 3, schedule=schedule)
    assert [lr_factor(optim, update) for update in range(6)] == pytest.approx(expected, abs=1e-6)


def test_the_embedding_moves_with_its_own_learning_rate() -> None:
    still, before = trained_policy(), trained_policy()
    trained(still, rows(16), optim=Optim(1e-2, 3, 16, embedding_lr_scale=0.0))
    embeddings = [policy.model.get_input_embeddings().weight for policy in (still, before)]
    assert torch.equal(*embeddings)
    assert not torch.equal(weights(still), weights(before))


def test_micro_batches_hold_every_item_once_and_keep_the_bound() -> None:
    lengths = [5, 9, 2, 9, 7, 30, 1]
    groups = micro_batches(lengths, 20)
    assert sorted(i for group in groups for i in group) == list(range(7))
    assert [sum(lengths[i] for i in group) for group in groups] == [15, 18, 30]
    assert len(micro_batches(lengths, 20, multiple_of=2)) == 4
    with pytest.raises(ValueError, match="2 items cannot be shared by 3 processes"):
        micro_batches([1, 1], 20, multiple_of=3)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([Row("1 f1 | ", "f1 " * 45, True, "p7")], r"p7: prefix of 4 .* 46 make 50, more than .*max_length=48"),
        ([Pair("1 f1 | ", "f1 ", "f2 " * 45, False, False, "p8")], r"p8: prefix of 4 .* 45 make 49, more than"),
        ([Row("1 f1 | ", "", False, "p9")], "problem p9: the continuation has no tokens"),
        ([], "all Row, all Pair or all Judged, and at least one; found nothing"),
        ([*rows(1), *pairs(1, is_final=True)], "all Row, all Pair or all Judged, and at least one; found Pair, Row"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_trained_on_are_refused_by_name(data: list, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        train(tiny_policy(), data, sft_loss, OPTIM, seed=0, log=lambda *_: None)


def test_pairs_without_a_reference_and_rows_with_one_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs without a reference: pairs and judged solutions need one"):
        trained(tiny_policy(), pairs(2, is_final=True), reference=None)
    with pytest.raises(ValueError, match="rows with a reference: pairs and judged solutions need one"):
        trained(tiny_policy(), rows(2), reference=tiny_policy())
    with pytest.raises(ValueError, match="pairs with two references: pairs and judged solutions need one"):
        trained(tiny_policy(), pairs(1, is_final=True), reference_logp_sums=[(-1.0, -2.0)])
    with pytest.raises(ValueError, match="2 pairs with the reference's scores of 1"):
        trained(tiny_policy(), pairs(2, is_final=True), reference=None, reference_logp_sums=[(-1.0, -2.0)])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores_of_the_reference_that_were_kept_train_to_the_same_bits(precision: str) -> None:
    data, kept, now = pairs(20, is_final=True), trained_policy(), trained_policy()
    scores, flops = pair_scores(kept, data, precision=precision, max_tokens=2048)
    before = trained(now, data, reference=now, precision=precision)
    after = trained(kept, data, reference=None, reference_logp_sums=scores, precision=precision)
    assert torch.equal(weights(kept), weights(now))
    assert before.flops == after.flops + flops


def judged(n: int) -> list[Judged]:
    """Right solutions of every third problem, wrong ones of the others, solved half of the time or a quarter of it."""
    right, rates = [i % 3 == 0 for i in range(n)], [0.5 if i % 2 else 0.25 for i in range(n)]
    made = [row.continuation if right[i] else f"f7 {i % 5} ; ans {i % 3}" for i, row in enumerate(rows(n, seed=2))]
    return [
        Judged(row.prefix, text, True, row.problem_id, is_right, rate)
        for row, text, is_right, rate in zip(rows(n, seed=2), made, right, rates, strict=True)
    ]


def judged_loss(policy: torch.Tensor, reference: torch.Tensor, right: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    return (rate - right) * (policy - reference).exp()


@pytest.mark.parametrize("micro_batch_tokens", [1, 50, 10**6])
def test_judged_solutions_are_weighed_token_by_token_against_the_reference(micro_batch_tokens: int) -> None:
    policy, data, logged = trained_policy(), judged(12), []
    lengths = [len(one.continuation.split()) + 1 for one in data]
    optim = Optim(1e-3, 1, len(data), max_grad_norm=1e9)
    train(
        policy, data, judged_loss, optim, seed=0, reference=policy, micro_batch_tokens=micro_batch_tokens,
        log=lambda update, metrics: logged.append(metrics),
    )  # fmt: skip
    # policy and reference agree at the start, so every ratio is 1
    sums = [n * (one.pass_rate - one.is_correct) for n, one in zip(lengths, data, strict=True)]
    assert logged[0]["loss"] == pytest.approx(sum(sums) / sum(lengths), rel=1e-5)
    assert logged[0]["n_trained_tokens"] == sum(lengths)


def test_training_on_judged_solutions_moves_wrong_ones_down_and_right_ones_away_from_them() -> None:
    policy, data = trained_policy(), judged(24)
    as_rows = [Row(one.prefix, one.continuation, True, one.problem_id) for one in data]
    before = [logp for logp, _ in continuation_logps(policy, as_rows)]
    train(policy, data, judged_loss, Optim(3e-3, 20, 8), seed=0, reference=trained_policy(), log=lambda *_: None)
    gains = [after - b for (after, _), b in zip(continuation_logps(policy, as_rows), before, strict=True)]
    right, wrong = (np.mean([g for g, one in zip(gains, data, strict=True) if one.is_correct == is_right])
                    for is_right in (True, False))  # fmt: skip
    assert wrong < -1 and right > wrong + 1


def test_judged_solutions_without_a_reference_are_refused() -> None:
    with pytest.raises(ValueError, match="judged solutions without a reference: pairs and judged"):
        train(tiny_policy(), judged(2), judged_loss, OPTIM, seed=0, log=lambda *_: None)


def test_an_unknown_precision_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="precision='fp8' is not known; choose one of fp32, bf16"):
        trained(tiny_policy(), rows(2), precision="fp8")


@pytest.mark.parametrize(
    "setting",
    [{"lr": 0.0}, {"n_updates": 0}, {"batch_size": 0}, {"warmup_fraction": 1.5}, {"schedule": "step"},
     {"weight_decay": -1.0}, {"betas": (0.9, 1.0)}, {"max_grad_norm": 0.0}, {"embedding_lr_scale": -1.0},
     {"moments": "4bit"}],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(setting: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(setting))}=.*expected"):
        Optim(**{"lr": 1e-3, "n_updates": 1, "batch_size": 1, **setting})


def test_logits_that_are_changed_after_the_output_layer_are_refused() -> None:
    policy = tiny_policy()
    policy.model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match=r"changes its logits after the output layer \(final_logit_softcapping\)"):
        trained(policy, rows(2))
