"""Text as tokens: the tokens of a text's steps are those of the text, and a special token's name is plain text."""

import copy
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from tiny_policy import tiny_policy
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from sweep.data.records import END_OF_TURN, Credit, Pair, Row, Solution
from sweep.data.segments import cutter
from sweep.methods.dials import Dials
from sweep.methods.material import Material
from sweep.methods.step_dpo import pairs
from sweep.models import Policy, encode_continuation, encode_prefix
from sweep.models.policy import SPECIAL_TOKENS, decode_continuations, encode_continuations
from sweep.models.sequences import encode_rows

HERE = Path(__file__).parent
REAL = HERE.parents[1] / "shared" / "data" / "gsm8k"
END = "<|endoftext|>"

# how published models cut a text before their merges: GPT-2 and Pythia; Llama 3, Qwen and their like
WORDS_OF = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    "llama3": pre_tokenizers.Sequence([
        pre_tokenizers.Split(
            Regex(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            "isolated",
        ),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]),
}  # fmt: skip


def of_shapes() -> list[str]:
    """A few solutions of the shapes that GSM8K and models write: blank lines, two blanks, quotes, other scripts."""
    return [json.loads(line)["answer"] for line in (HERE / "fixtures" / "solutions.jsonl").read_text().splitlines()]


def of_gsm8k() -> list[str]:
    """All its solutions, where its files are."""
    files = [REAL / name for name in ("train.jsonl", "test.jsonl") if REAL.is_dir()]
    return [json.loads(line)["answer"] for file in files for line in file.read_text().splitlines()]


@lru_cache
def policy_of(words: str) -> Policy:
    """A byte-level BPE, trained on texts that end in line ends too, so that it has tokens for several of them."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = WORDS_OF[words], decoders.ByteLevel()
    texts = [*of_shapes(), *of_gsm8k()[:500]]
    backend.train_from_iterator(
        [*texts, *(text + "\n\n" for text in texts), *(text + " \n" for text in texts)],
        trainers.BpeTrainer(
            vocab_size=1500, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )  # fmt: skip
    policy = tiny_policy(max_length=4096)
    policy.tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END)
    policy.model.generation_config.eos_token_id = policy.eos_id
    return policy


@pytest.mark.parametrize("words", WORDS_OF)
@pytest.mark.parametrize("step", ["line", "sentence"])
@pytest.mark.parametrize("texts", [of_shapes(), pytest.param(of_gsm8k(), marks=pytest.mark.slow)], ids=["few", "all"])
def test_the_tokens_of_the_steps_are_the_tokens_of_the_text(words: str, step: str, texts: list[str]) -> None:
    if not texts:
        pytest.skip("needs GSM8K in ../shared/data/gsm8k")
    policy = policy_of(words)
    steps = [cutter(step, None)(text) for text in texts]
    parts = [(part, n == len(of) - 1) for of in steps for n, part in enumerate(of)]
    alone = iter(encode_continuations(policy, *zip(*parts, strict=True)))
    joined = [[i for _ in of for i in next(alone)] for of in steps]
    whole = encode_continuations(policy, texts, [True] * len(texts))
    assert ["".join(of) for of in steps] == texts
    assert sum(len(of) - 1 for of in steps) >= 15
    assert [text for text, a, b in zip(texts, joined, whole, strict=True) if a != b] == []


@pytest.mark.parametrize("words", WORDS_OF)
def test_a_prefix_and_what_follows_it_have_the_tokens_of_the_text(words: str) -> None:
    policy = policy_of(words)
    for text in of_shapes():
        prompt, steps = "Question: Why?\nAnswer:\n", cutter("sentence", None)(text)
        whole = encode_prefix(policy, prompt) + encode_continuation(policy, text, True)
        for i in range(1, len(steps)):
            before, rest = prompt + "".join(steps[:i]), "".join(steps[i:])
            assert encode_prefix(policy, before) + encode_continuation(policy, rest, True) == whole


def test_both_sides_of_a_step_pair_have_the_tokens_of_their_solutions() -> None:
    good, wrong = "Ada has 3. She buys 4 more. So 7.\n#### 7", "Ada has 3. She buys 5 more. So 8.\n#### 8"
    other = "Ada has 3.5 pens. So 4.\n#### 4"  # shares letters with the wrong one, and no step
    material = Material(
        prompts={"p": "Question: Why?\nAnswer:\n"}, solutions=[Solution("p", other), Solution("p", good)], traces=(),
        credits=[Credit("p", wrong, False, 0.5, [0.5, 0.0])], steps=lambda text: cutter("sentence", None)(text),
        dials=Dials(), max_solutions_per_problem=4, rng=np.random.default_rng(0),
    )  # fmt: skip
    (pair,) = pairs(material)
    assert (pair.prefix, pair.chosen, pair.rejected) == (
        "Question: Why?\nAnswer:\nAda has 3.", " She buys 4 more.", " She buys 5 more."
    )  # fmt: skip
    policy = policy_of("gpt2")
    ((chosen, rejected),) = encode_rows(policy, [pair])
    for side, text in ((chosen, good), (rejected, wrong)):
        whole = encode_prefix(policy, material.prompts["p"]) + encode_continuation(policy, text, True)
        assert side.ids.tolist() == whole[: len(side.ids)]


# special tokens


def sentencepiece_policy() -> Policy:
    characters = [*SPECIAL_TOKENS, "\u2581", *"aeos<>"]
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(characters)}, [], unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.post_processor = TemplateProcessing(single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)])
    policy = tiny_policy()
    policy.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>"
    )
    return policy


@pytest.mark.parametrize(
    ("policy", "name"), [(policy_of("gpt2"), END), (policy_of("llama3"), END), (sentencepiece_policy(), "<eos>")]
)
def test_the_name_of_a_special_token_in_a_text_is_plain_text(policy: Policy, name: str) -> None:
    text = f" a {name} a"
    prefix, continuation = encode_prefix(policy, text), encode_continuation(policy, text, True)
    assert policy.eos_id not in prefix
    assert continuation.index(policy.eos_id) == len(continuation) - 1
    if policy.tokenizer.unk_token is None:
        assert decode_continuations(policy, [continuation]) == [text]
    for item in encode_rows(policy, [Pair(text, text, text, False, True, "p")])[0]:
        assert policy.eos_id not in item.ids[:-1]


def test_a_template_is_put_before_a_prefix_and_never_behind_it() -> None:
    policy = sentencepiece_policy()
    assert encode_prefix(policy, "a e") == [1, 4, 5, 4, 6]
    assert encode_prefix(policy, "") == [1]


@pytest.mark.parametrize("row", [Row("1 <eos> f1 | ", "ans 0", True, "p"), Row("1 f1 | ", "ans <eos> 0", False, "p")])
def test_a_special_token_that_cannot_be_distinguished_from_text_is_refused(row: Row) -> None:
    # one word, one token: a word-level vocabulary has no other way to read it
    with pytest.raises(ValueError, match=r"has the tokenizer's own special tokens in it.*: <eos>; a row must not end"):
        encode_rows(tiny_policy(), [row])


CHAT = "{% for one in messages %}" + END + "{{ one.role }}: {{ one.content }}" + END + "\n{% endfor %}{% if "
CHAT += "add_generation_prompt %}assistant:\n{% endif %}"


def chatting(template: str | None) -> Policy:
    policy = copy.deepcopy(policy_of("gpt2"))
    policy.tokenizer.chat_template = template
    return policy


def test_a_users_turn_stands_in_the_models_chat_template_and_its_own_special_tokens_are_text() -> None:
    policy = chatting(CHAT)
    ids = encode_prefix(policy, f"Why {END}?{END_OF_TURN}So")
    assert [i for i, one in enumerate(ids) if one == policy.eos_id] == [0, ids.index(policy.eos_id, 1)]
    text = policy.tokenizer.decode(ids, skip_special_tokens=False)
    assert text == f"{END}user: Why {END}?{END}\nassistant:\nSo"
    bare = encode_prefix(policy, f"Why {END}?{END_OF_TURN}")
    assert ids == bare + encode_continuation(policy, "So", False)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "asks for the model's chat template, and its tokenizer has none"),
        ("{{ messages[0].role }}", "chat template does not put the user's message in once, as it is"),
        ("{{ messages[0].content * 2 }}", "chat template does not put the user's message in once"),
    ],
)
def test_a_model_that_cannot_chat_is_refused(template: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        encode_prefix(chatting(template), f"Why?{END_OF_TURN}")
