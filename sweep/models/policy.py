"""A policy: a Hugging Face causal LM, its tokenizer and the device both live on.

How it is opened and written is in `folder`. Text becomes tokens in two functions only:
`encode_prefixes` (with the beginning-of-sequence token, if the model has one) and
`encode_continuations` (with the end-of-sequence token where a solution ends, and nowhere else).
A text that spells a special token is text: no end of sequence stands inside a row. Only where a prefix has an end of
turn in it does the model's own chat template put special tokens around the user's turn.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from sweep.data.records import END_OF_TURN

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
LETTER = "a"  # what stands for text that goes on


@dataclass
class Policy:
    """Weights that give a probability to every continuation of a prefix."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device

    @property
    def max_length(self) -> int:
        """Most tokens, prefix and continuation together, that the model has positions for."""
        n_positions: int = self.model.config.max_position_embeddings
        return n_positions

    @property
    def flops_per_token(self) -> int:
        """Of a forward pass: 2 for each parameter that is multiplied by, the output layer's with them and a token's
        lookup not; attention's own share, small for short texts, is not counted (arXiv:2001.08361, section 2.1)."""
        model = self.model
        n_parameters = sum(p.numel() for p in model.parameters())
        is_tied = embedding(model) is model.get_output_embeddings().weight
        return 2 * (n_parameters - (0 if is_tied else embedding(model).numel()))

    @property
    def eos_id(self) -> int:
        eos_id: int = self.tokenizer.eos_token_id
        return eos_id

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
    def special_ids(self) -> set[int]:
        """Tokens that no text reads as: end and beginning of sequence, padding, unknown, marks of roles."""
        added = self.tokenizer.added_tokens_decoder.items()
        return {*self.tokenizer.all_special_ids, *self.eos_ids, *(i for i, token in added if token.special)}

    @property
    def barred_ids(self) -> list[int]:
        """Never sampled, because no text reads back to them: special tokens but the end of sequence, and rows of the
        embedding beyond the tokenizer's words."""
        n_rows = len(embedding(self.model))
        unnamed = range(max(self.tokenizer.get_vocab().values()) + 1, n_rows)
        return sorted({*self.special_ids, *unnamed} - set(self.eos_ids))


def embedding(model: PreTrainedModel) -> torch.Tensor:
    """(n_rows, hidden_size): a row a token that can be read."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor), type(weight)
    return weight


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


def encode_prefix(policy: Policy, text: str) -> list[int]:
    """Tokens of a prefix, the beginning-of-sequence token first if the model has one."""
    return encode_prefixes(policy, [text])[0]


def encode_continuation(policy: Policy, text: str, is_final: bool) -> list[int]:
    """Tokens of a continuation, closed by the end-of-sequence token only if it is final."""
    return encode_continuations(policy, [text], [is_final])[0]


def encode_prefixes(policy: Policy, texts: Sequence[str]) -> list[list[int]]:
    """`encode_prefix` of many texts at once.

    Raises:
        ValueError: a text has a word outside a word-level vocabulary, a special token that cannot be distinguished from
            text, or no token at all.
    """
    if any(END_OF_TURN in text for text in texts):
        return _encode_turns(policy, texts)
    start = _start_ids(policy)
    encoded = [[*start, *ids] for ids in _token_ids(policy, texts, is_start=True, goes_on=[True] * len(texts))]
    for text, ids in zip(texts, encoded, strict=True):
        if not ids:
            raise ValueError(
                f"the prefix {text!r} has no tokens and the model has no beginning-of-sequence token; a prefix "
                "needs at least one token, so render the problem into it"
            )
    return encoded


def _encode_turns(policy: Policy, texts: Sequence[str]) -> list[list[int]]:
    """The user's turns in the model's chat template, and what of the assistant's turn stands behind each."""
    before, behind = _turn_ids(policy)
    turns = [text.partition(END_OF_TURN) for text in texts]
    asked = _token_ids(policy, [user for user, _, _ in turns], is_start=False, goes_on=[False] * len(texts))
    begun = _token_ids(policy, [said for _, _, said in turns], is_start=False, goes_on=[True] * len(texts))
    return [[*before, *user, *behind, *said] for user, said in zip(asked, begun, strict=True)]


def _turn_ids(policy: Policy) -> tuple[list[int], list[int]]:
    """What the chat template puts before and behind a user's message where the assistant is to speak.

    Raises:
        ValueError: the model has no chat template, or one that does not put a message in as it is.
    """
    if not policy.tokenizer.chat_template:
        raise ValueError(
            "dataset.is_chat=true asks for the model's chat template, and its tokenizer has none; take a model that "
            "was tuned to chat, or prompt=plain"
        )
    message = [{"role": "user", "content": END_OF_TURN}]
    shown = policy.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    before, mark, behind = str(shown).partition(END_OF_TURN)
    if not mark or END_OF_TURN in behind:
        raise ValueError(
            "dataset.is_chat=true: the model's chat template does not put the user's message in once, as it is; take "
            "another model, or prompt=plain"
        )
    backend = policy.tokenizer.backend_tokenizer
    backend.encode_special_tokens = False
    ids = [list[int](backend.encode(text, add_special_tokens=False).ids) for text in (before, behind)]
    return ids[0], ids[1]


def encode_continuations(policy: Policy, texts: Sequence[str], are_final: Sequence[bool]) -> list[list[int]]:
    """`encode_continuation` of many texts at once; the same refusals."""
    encoded = _token_ids(policy, texts, is_start=False, goes_on=[not is_final for is_final in are_final])
    return [[*ids, policy.eos_id] if is_final else ids for ids, is_final in zip(encoded, are_final, strict=True)]


def decode_continuations(policy: Policy, continuations: Sequence[Sequence[int]]) -> list[str]:
    """Texts such that prefix + text is what the tokens say; special tokens are left out."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    before = _newline_ids(policy)
    n_before = len(policy.tokenizer.decode(before, **options))
    texts = policy.tokenizer.batch_decode([[*before, *ids] for ids in continuations], **options)
    return [text[n_before:] for text in texts]


def _token_ids(policy: Policy, texts: Sequence[str], *, is_start: bool, goes_on: Sequence[bool]) -> list[list[int]]:
    """Each text's tokens as they stand in the whole: behind other text unless is_start, before more if it goes on."""
    if not texts:
        return []
    backend = policy.tokenizer.backend_tokenizer  # a quarter of the time of calling the tokenizer itself
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # a text that spells a special token is ordinary text
    n_before = 0 if is_start else len(_newline_ids(policy))
    lines = ["\n" + text if n_before else text for text in texts]
    letter = _letter_id(policy) if any(text.endswith("\n") for text in texts) else None
    is_open = [letter is not None and more and text.endswith("\n") for text, more in zip(texts, goes_on, strict=True)]
    asked = [line + LETTER if opened else line for line, opened in zip(lines, is_open, strict=True)]
    encoded = [e.ids[n_before:] for e in backend.encode_batch_fast(asked, add_special_tokens=False)]
    for i in (i for i, opened in enumerate(is_open) if opened):
        is_apart = encoded[i][-1] == letter
        encoded[i] = encoded[i][:-1] if is_apart else backend.encode(lines[i], add_special_tokens=False).ids[n_before:]
    _check_words(policy, texts, encoded)
    return encoded


def _check_words(policy: Policy, texts: Sequence[str], encoded: Sequence[Sequence[int]]) -> None:
    """Refuses a text that has unknown words, or that reads as a special token whatever it is asked as."""
    unk_id, special = policy.tokenizer.unk_token_id, policy.special_ids
    for text, ids in zip(texts, encoded, strict=True):
        found = special.intersection(ids)
        if not found:
            continue
        if unk_id in found and unk_id not in policy.eos_ids:
            unknown = [word for word in text.split() if policy.tokenizer.convert_tokens_to_ids(word) == unk_id]
            raise ValueError(
                f"the text {text[:80]!r} has words that the tokenizer does not know: {unknown[:5]}; add them to the "
                "domain's vocabulary and pretrain the base again, or take the text out"
            )
        names = policy.tokenizer.convert_ids_to_tokens(sorted(found))
        raise ValueError(
            f"the text {text[:80]!r} has the tokenizer's own special tokens in it, which it cannot read as plain text: "
            f"{', '.join(names)}; a row must not end in its middle, so take the text out of the data"
        )


def _start_ids(policy: Policy) -> list[int]:
    """What the model's template puts before a text; what it puts behind one, an end of sequence, is left out."""
    encoded = policy.tokenizer.backend_tokenizer.encode(LETTER, add_special_tokens=True)
    start: list[int] = encoded.ids[: encoded.special_tokens_mask.index(0)]
    return start


def _letter_id(policy: Policy) -> int | None:
    """The token of LETTER at the start of a line; None where a line does not start with a token of its own.

    Put behind a text that goes on, it keeps the text's last line ends as they are in the whole: GPT-2 reads two of
    them as one token where a text ends, and as two where it does not.
    """
    encoded = policy.tokenizer.backend_tokenizer.encode("\n" + LETTER, add_special_tokens=False)
    return encoded.ids[-1] if encoded.tokens[-1:] == [LETTER] else None


def _newline_ids(policy: Policy) -> list[int]:
    """What to put before a continuation so that it is read as the middle of a text; mostly nothing.

    SentencePiece tokenizers (Llama 2) put a space before every text, which would make a step that
    starts a line another sequence of tokens than inside the whole solution.
    """
    backend = policy.tokenizer.backend_tokenizer
    puts_space = backend.encode("a", add_special_tokens=False).tokens[0].startswith("\u2581")
    return backend.encode("\n", add_special_tokens=False).ids if puts_space else []
