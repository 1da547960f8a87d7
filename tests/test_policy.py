"""A policy is a plain Hugging Face folder, whole and finite; text becomes tokens and text again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_policy import WORDS, rows, tiny_policy, weights
from tokenizers import Tokenizer, decoders, models, normalizers
from tokenizers.processors import Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from sweep.models import encode_continuation, encode_prefix, load_policy, new_policy, save_policy
from sweep.models.policy import SPECIAL_TOKENS, decode_continuations

SHAPE = {
    "hidden_size": 16,
    "n_layers": 1,
    "n_heads": 2,
    "mlp_size": 32,
    "max_length": 32,
    "rope_theta": 1000.0,
}


def test_the_same_seed_makes_the_same_weights_and_another_seed_others() -> None:
    assert torch.equal(weights(tiny_policy(seed=3)), weights(tiny_policy(seed=3)))
    assert not torch.equal(weights(tiny_policy(seed=3)), weights(tiny_policy(seed=4)))


def test_making_a_policy_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    tiny_policy(seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_the_number_of_parameters_of_the_testbeds_model() -> None:
    # 828 * 64 embeddings; 3 layers of 4 * 64^2 attention, 3 * 64 * 192 MLP, 2 * 64 norms; a last norm
    shape = {
        "hidden_size": 64,
        "n_layers": 3,
        "n_heads": 4,
        "mlp_size": 192,
        "max_length": 64,
        "rope_theta": 1000.0,
    }
    policy = new_policy([f"w{i}" for i in range(824)], **shape, seed=0)
    expected = 828 * 64 + 3 * (4 * 64 * 64 + 3 * 64 * 192 + 2 * 64) + 64
    assert sum(parameter.numel() for parameter in policy.model.parameters()) == expected == 213_184


def test_text_survives_the_round_trip_through_tokens() -> None:
    policy = tiny_policy()
    for row in rows(20):
        ids = encode_continuation(policy, row.continuation, False)
        text = policy.tokenizer.decode(ids, skip_special_tokens=True)
        assert text == row.continuation
        assert encode_continuation(policy, text, False) == ids


def test_a_prefix_begins_with_bos_and_only_a_final_continuation_ends_with_eos() -> None:
    policy = tiny_policy()
    # the specials come first: <pad> 0, <bos> 1, <eos> 2, <unk> 3, then f0 to f7 as 4 to 11, then the numbers
    assert encode_prefix(policy, "2 f1 |") == [1, 14, 5, 17]
    assert encode_continuation(policy, "ans 0", True) == [19, 12, 2]
    assert encode_continuation(policy, "ans 0", False) == [19, 12]


def test_a_saved_folder_opens_with_transformers_alone(tmp_path: Path) -> None:
    policy = tiny_policy()
    save_policy(policy, tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("2 f1 f2 |", return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == encode_prefix(policy, "2 f1 f2 |")
    assert torch.equal(model(ids).logits, policy.model(ids).logits)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.model_max_length) == ("<eos>", "<pad>", 48)


def test_a_loaded_policy_is_the_one_that_was_saved(tmp_path: Path) -> None:
    policy = tiny_policy()
    save_policy(policy, tmp_path)
    loaded = load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")
    assert torch.equal(weights(loaded), weights(policy))
    assert loaded.max_length == policy.max_length == 48
    assert (loaded.eos_ids, loaded.barred_ids) == ([2], [0, 1, 3])


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    policy = tiny_policy()
    save_policy(policy, tmp_path)
    torch.save(policy.model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"in safetensors and found only pytorch_model\.bin, a pickle"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected weights in safetensors and found none"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")


def test_truncated_weights_are_refused_by_name(tmp_path: Path) -> None:
    save_policy(tiny_policy(), tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{tmp_path}.*could not open it"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    tiny_policy().model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"could not open it|no end-of-sequence token"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")


def test_a_hub_model_without_a_revision_is_refused() -> None:
    with pytest.raises(ValueError, match="no such folder, and a model of a hub needs a revision"):
        load_policy("someone/some-model", revision=None, device="cpu", dtype="float32")


def test_an_unknown_dtype_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dtype='int8' is not known; choose one of float32, bfloat16, float16"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="int8")


@pytest.mark.parametrize("word", ["f1", "<eos>", "two words", ""])
def test_a_vocabulary_word_that_is_not_one_new_word_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="repeated, special, empty or contain whitespace"):
        new_policy([*WORDS, word], **SHAPE, seed=0)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_size=16 with n_heads=3: expected a multiple of 2 \* n_heads"):
        new_policy(WORDS, **{**SHAPE, "n_heads": 3}, seed=0)


def test_an_unknown_word_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"words that the tokenizer does not know: \['f99'\]"):
        encode_prefix(tiny_policy(), "2 f1 f99 |")


def test_a_tokenizer_without_an_end_of_sequence_token_is_refused(tmp_path: Path) -> None:
    policy = tiny_policy()
    policy.tokenizer.eos_token = None
    save_policy(policy, tmp_path)
    with pytest.raises(ValueError, match="end-of-sequence token, without which no solution ends"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")


def opened(folder: Path) -> None:
    load_policy(str(folder), revision=None, device="cpu", dtype="float32")


def with_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Changes the tensors of a folder's one weight file."""

    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def with_config(**values: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return edit


def nan_in_the_head(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    tensors["model.norm.weight"][0] = float("inf")


EMBEDDING = "model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (with_tensors(lambda w: w.pop("model.layers.0.mlp.up_proj.weight")), r"mlp\.up_proj\.weight missing"),
        (with_tensors(lambda w: w.pop(EMBEDDING)), r"lm_head\.weight, model\.embed_tokens\.weight missing"),
        (with_tensors(lambda w: w.update(stray=torch.ones(2))), "stray left over"),
        (with_config(num_hidden_layers=1), r"model\.layers\.1\..* and 4 more left over"),
        (with_config(num_hidden_layers=3), r"model\.layers\.2\..* and 4 more missing"),
        (with_config(tie_word_embeddings=False), r"lm_head\.weight missing"),
        (
            with_tensors(lambda w: w.update({"lm_head.weight": w[EMBEDDING] + 1})),
            r"an output layer of its own where config\.json ties it",
        ),
        (with_tensors(lambda w: w.update({"model.norm.weight": torch.ones(7)})), "could not open it: .*mismatched"),
        (
            with_tensors(lambda w: w.update({"model.norm.weight": torch.ones(16, dtype=torch.int8)})),
            r"floating-point weights \(F64, F32, BF16, F16\), found model\.norm\.weight in I8",
        ),
        (
            with_tensors(nan_in_the_head),
            r"NaN or infinity in model\.layers\.1\.mlp\.up_proj\.weight, model\.norm\.weight",
        ),
        (with_config(auto_map={"AutoModelForCausalLM": "code.Model"}), r"asks for code of its own \(auto_map\)"),
        (with_config(quantization_config={"bits": 4}), r"describes quantised weights \(quantization_config\)"),
        (with_config(hidden_size="wide"), "could not open it"),
        (lambda folder: (folder / "config.json").write_text("{"), "could not open it"),
        (lambda folder: (folder / "config.json").unlink(), "could not open it"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "an adapter .* which would be left out"),
    ],
)  # fmt: skip
def test_weights_that_are_not_whole_and_finite_are_refused_by_name(
    tmp_path: Path, edit: Callable[[Path], None], message: str
) -> None:
    save_policy(tiny_policy(), tmp_path)
    edit(tmp_path)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path)


def without_a_tensor(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"]["model.layers.0.mlp.gate_proj.weight"]
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without_a_tensor, r"mlp\.gate_proj\.weight missing"),
        (lambda folder: (folder / "model-00002-of-00011.safetensors").unlink(), "could not open it: .*No such file"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "could not open it"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_'), "could not open it"),
        (
            lambda folder: shutil.copy(
                folder / "model-00001-of-00011.safetensors", folder / "model-00003-of-00011.safetensors"
            ),
            "missing",
        ),
    ],
)
def test_a_folder_in_shards_is_whole_by_its_index(tmp_path: Path, edit: Callable[[Path], None], message: str) -> None:
    policy = tiny_policy()
    policy.model.save_pretrained(tmp_path, max_shard_size="3KB")
    policy.tokenizer.save_pretrained(tmp_path)
    opened(tmp_path)
    edit(tmp_path)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path)


def test_weights_beyond_the_range_of_the_dtype_are_refused(tmp_path: Path) -> None:
    policy = tiny_policy()
    policy.model.model.norm.weight.data[0] = 1e6  # half precision ends at 65,504
    save_policy(policy, tmp_path)
    opened(tmp_path)
    with pytest.raises(ValueError, match=r"finite weights in float16, found NaN or infinity in model\.norm\.weight"):
        load_policy(str(tmp_path), revision=None, device="cpu", dtype="float16")


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    policy = tiny_policy()
    policy.model.model.norm.weight.data[0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"to publish, found NaN or infinity in model\.norm\.weight"):
        save_policy(policy, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_with_more_words_than_the_embedding_is_refused(tmp_path: Path) -> None:
    policy = tiny_policy()
    save_policy(policy, tmp_path)
    policy.tokenizer.add_tokens(["one", "too", "many"])
    policy.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="at most the 20 tokens of the embedding, found 3 without a row in it: many"):
        opened(tmp_path)


def test_a_tokenizer_that_is_not_a_fast_one_is_refused(tmp_path: Path) -> None:
    save_policy(tiny_policy(), tmp_path)
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"expected a fast tokenizer .*found ByT5Tokenizer"):
        opened(tmp_path)


def test_an_empty_prefix_needs_a_beginning_of_sequence_token() -> None:
    policy = tiny_policy()
    assert encode_prefix(policy, "") == [1]
    policy.tokenizer.backend_tokenizer.post_processor = Sequence([])
    with pytest.raises(ValueError, match="the prefix '' has no tokens"):
        encode_prefix(policy, "")


def test_a_step_has_the_same_tokens_alone_as_inside_its_solution_even_in_sentencepiece() -> None:
    # as in Llama 2: a space is put before every text, and stripped when it is read back
    characters = [*SPECIAL_TOKENS, "\u2581", "<0x0A>", *"abc"]
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(characters)}, [], unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    policy = tiny_policy()
    policy.tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>")
    solution = ["a b\n", "c a\n", " c"]
    whole = encode_continuation(policy, "".join(solution), False)
    alone = [encode_continuation(policy, step, False) for step in solution]
    assert [i for ids in alone for i in ids] == whole
    assert decode_continuations(policy, alone) == solution
    assert policy.tokenizer.decode(alone[2]) == "c"  # the plain reading loses the space
