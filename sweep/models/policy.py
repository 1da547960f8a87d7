"""A policy: a Hugging Face causal LM, its tokenizer and the device both live on.

Every artifact that holds weights is a plain Hugging Face folder, so
`AutoModelForCausalLM.from_pretrained(folder)` opens it without this project. Text
becomes tokens in two functions only: `encode_prefixes` (with the beginning-of-sequence
token, if the model has one) and `encode_continuations` (with the end-of-sequence token
where a solution ends, and nowhere else).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

transformers_logging.disable_progress_bar()  # many short stages write to one log

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Policy:
    """Weights that give a probability to every continuation of a prefix."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device

    @property
    def max_length(self) -> int:
        """Most tokens, prefix and continuation together, that the model has positions for."""
        return self.model.config.max_position_embeddings

    @property
    def flops_per_token(self) -> int:
        """Of a forward pass: 2 for each parameter that is multiplied by, the output layer's with them and a token's
        lookup not; attention's own share, small for short texts, is not counted (arXiv:2001.08361, section 2.1)."""
        model = self.model
        n_parameters = sum(p.numel() for p in model.parameters())
        is_tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        return 2 * (n_parameters - (0 if is_tied else model.get_input_embeddings().weight.numel()))

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def pad_id(self) -> int:
        """Fills the unused places of a batch; never attended to and never a target."""
        pad = self.tokenizer.pad_token_id
        return self.eos_id if pad is None else pad

    @property
    def eos_ids(self) -> list[int]:
        """Tokens that end a completion; a hub model's generation settings may name several."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        return sorted({self.eos_id, *([named] if isinstance(named, int) else named or [])})

    @property
    def barred_ids(self) -> list[int]:
        """Never sampled, because no text reads back to them: padding, beginning of sequence, unknown."""
        tokenizer = self.tokenizer
        special = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id} - {None}
        return sorted(special - set(self.eos_ids))


def new_policy(
    vocabulary: Sequence[str],
    *,
    hidden_size: int,
    n_layers: int,
    n_heads: int,
    mlp_size: int,
    max_length: int,
    rope_theta: float,
    seed: int,
) -> Policy:
    """A small Llama with random weights, tied embeddings and one token a word.

    Args:
        vocabulary: the words, without repeats, whitespace or the special tokens.
        max_length: tokens of the longest prefix and continuation together.
        seed: of the initial weights; torch's global generator is left as it was.
    Raises:
        ValueError: a word is repeated, special, empty or contains whitespace, or
            hidden_size is not a multiple of 2 * n_heads.
    """
    if n_heads < 1 or hidden_size % (2 * n_heads):
        raise ValueError(
            f"hidden_size={hidden_size} with n_heads={n_heads}: expected a multiple of 2 * n_heads, because "
            "rotary positions turn pairs of coordinates in each head; change one of the two in conf/model"
        )
    tokenizer = _word_tokenizer(vocabulary, max_length)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=mlp_size,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_heads,
        max_position_embeddings=max_length,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return Policy(model.eval(), tokenizer, torch.device("cpu"))


def _word_tokenizer(vocabulary: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """Splits on whitespace and puts <bos> in front; decoding joins the words with one space."""
    words = [*SPECIAL_TOKENS, *vocabulary]
    odd = [word for word, n in Counter(words).items() if n > 1 or word.split() != [word]]
    if odd:
        raise ValueError(
            f"the vocabulary has words that are repeated, special, empty or contain whitespace: {odd[:5]}; "
            "expected distinct words, as the domain's `vocabulary` lists them"
        )
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", words.index("<bos>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def load_policy(folder_or_name: str, *, revision: str | None, device: str, dtype: str) -> Policy:
    """Opens a folder of this project, or a pinned revision of a model hub.

    Weights are read from safetensors alone, and no code that comes with a model is run.

    Raises:
        ValueError: no such folder, no revision for a hub name, weights that are
            missing, damaged or pickled, or an unknown dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    folder = Path(folder_or_name)
    if folder.is_dir():
        _check_weights(folder)
    elif revision is None:
        raise ValueError(
            f"{folder_or_name}: no such folder, and a model of a hub needs a revision to be the same model "
            "tomorrow; give the folder of a finished stage, or name the revision (a commit) in conf/model"
        )
    try:
        options = {"revision": revision, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder_or_name, **options)
        model = AutoModelForCausalLM.from_pretrained(
            folder_or_name, dtype=DTYPES[dtype], use_safetensors=True, **options
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{folder_or_name} (revision {revision}): expected a causal LM in safetensors with its tokenizer, and "
            f"could not open it: {str(error).strip().splitlines()[0]}. Build the artifact again, or name a "
            "revision whose weights are in safetensors"
        ) from error
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise ValueError(
            f"{folder_or_name}: expected a fast tokenizer (tokenizer.json) with an end-of-sequence token, "
            f"without which no solution ends; found {type(tokenizer).__name__} and "
            f"{tokenizer.eos_token}; choose another model"
        )
    place = torch.device(device)
    return Policy(model.eval().to(place), tokenizer, place)


def _check_weights(folder: Path) -> None:
    """Refuses a folder without safetensors before anything in it is opened."""
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    found = (
        f"only {', '.join(pickles)}, a pickle, which can run code when it is opened" if pickles else "none"
    )
    raise ValueError(
        f"{folder}: expected weights in safetensors and found {found}; convert them with "
        "`model.save_pretrained(folder)`, or build the artifact again"
    )


def save_policy(policy: Policy, folder: Path | str) -> None:
    """Writes weights, configuration and tokenizer; the caller publishes the folder atomically."""
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


def encode_prefix(policy: Policy, text: str) -> list[int]:
    """Tokens of a prefix, the beginning-of-sequence token first if the model has one."""
    return encode_prefixes(policy, [text])[0]


def encode_continuation(policy: Policy, text: str, is_final: bool) -> list[int]:
    """Tokens of a continuation, closed by the end-of-sequence token only if it is final."""
    return encode_continuations(policy, [text], [is_final])[0]


def encode_prefixes(policy: Policy, texts: Sequence[str]) -> list[list[int]]:
    """`encode_prefix` of many texts at once.

    Raises:
        ValueError: a text has a word outside a word-level vocabulary, or no token at all.
    """
    encoded = _token_ids(policy, texts, is_prefix=True)
    eos_id = policy.eos_id
    encoded = [ids[:-1] if len(ids) > 1 and ids[-1] == eos_id else ids for ids in encoded]
    for text, ids in zip(texts, encoded, strict=True):
        if not ids:
            raise ValueError(
                f"the prefix {text!r} has no tokens and the model has no beginning-of-sequence token; a prefix "
                "needs at least one token, so render the problem into it"
            )
    return encoded


def encode_continuations(policy: Policy, texts: Sequence[str], are_final: Sequence[bool]) -> list[list[int]]:
    """`encode_continuation` of many texts at once; the same refusal of unknown words."""
    encoded = _token_ids(policy, texts, is_prefix=False)
    return [
        [*ids, policy.eos_id] if is_final else ids for ids, is_final in zip(encoded, are_final, strict=True)
    ]


def decode_continuations(policy: Policy, continuations: Sequence[Sequence[int]]) -> list[str]:
    """Texts such that prefix + text is what the tokens say; special tokens are left out."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    before = _newline_ids(policy)
    n_before = len(policy.tokenizer.decode(before, **options))
    texts = policy.tokenizer.batch_decode([[*before, *ids] for ids in continuations], **options)
    return [text[n_before:] for text in texts]


def _token_ids(policy: Policy, texts: Sequence[str], *, is_prefix: bool) -> list[list[int]]:
    if not texts:
        return []
    backend = policy.tokenizer.backend_tokenizer  # a quarter of the time of calling the tokenizer itself
    backend.no_truncation()
    backend.no_padding()
    before = [] if is_prefix else _newline_ids(policy)
    lines = ["\n" + text for text in texts] if before else list(texts)
    encoded = [e.ids[len(before) :] for e in backend.encode_batch_fast(lines, add_special_tokens=is_prefix)]
    unk_id = policy.tokenizer.unk_token_id
    for text, ids in zip(texts, encoded, strict=True):
        if unk_id is not None and unk_id in ids:
            unknown = [
                word for word in text.split() if policy.tokenizer.convert_tokens_to_ids(word) == unk_id
            ]
            raise ValueError(
                f"the text {text[:80]!r} has words that the tokenizer does not know: {unknown[:5]}; add them to the "
                "domain's vocabulary and pretrain the base again, or take the text out"
            )
    return encoded


def _newline_ids(policy: Policy) -> list[int]:
    """What to put before a continuation so that it is read as the middle of a text; mostly nothing.

    SentencePiece tokenizers (Llama 2) put a space before every text, which would make a step that
    starts a line another sequence of tokens than inside the whole solution.
    """
    backend = policy.tokenizer.backend_tokenizer
    puts_space = backend.encode("a", add_special_tokens=False).tokens[0].startswith("\u2581")
    return backend.encode("\n", add_special_tokens=False).ids if puts_space else []
