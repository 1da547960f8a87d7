"""Engines of sampling: one interface, and what all but the small CPU one (`sampler`) have in common.

An engine completes prefixes with given random numbers and nothing else: texts, entropies, repeated prefixes and the
file that a stopped call goes on from are dealt with here, once for all of them. So they draw the same tokens from the
same seed, up to the rounding of floating point sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

import torch

from sweep.fields import ENGINES
from sweep.models.draws import Completion, Settings, check_arguments
from sweep.models.forced import entropies
from sweep.models.policy import Policy, decode_continuations, encode_prefixes
from sweep.models.precision import in_precision
from sweep.models.progress import Interrupted, Progress
from sweep.models.sampler import sample

Ids = tuple[int, ...]
Sampled = list[list[Completion]]


class Engine(Protocol):
    """Completes prefixes; what it has computed of a prefix it may keep for the next call."""

    n_read: int  # tokens of prefixes computed so far

    def rows(self, n_rows: dict[Ids, int], settings: Settings) -> Iterator[tuple[Ids, list[list[int]]]]:
        """Each prefix with its rows, as soon as all of them have ended, in any order.

        A row's tokens end with one of the policy's eos_ids or are max_new_tokens. Token t of row r is `choose`d by
        `uniforms(settings, prefix, n_rows[prefix])[r, t]`.

        Raises:
            FloatingPointError: logits that are not finite.
        """
        ...

    def close(self) -> None:
        """Gives back its memory and leaves the model as it was."""
        ...


class Sampler:
    """`sample`, by an engine that stays open between calls."""

    def __init__(self, policy: Policy, engine: Engine | None, max_rows: int) -> None:
        self.policy, self.engine, self.max_rows = policy, engine, max_rows

    def __call__(
        self,
        prefixes: Sequence[str],
        *,
        n_samples: int,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        top_p: float = 1.0,
        first_sample: int = 0,
        has_entropy: bool = False,
        checkpoint_path: Path | None = None,
        should_stop: Callable[[], bool] | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> Sampled:
        """As `sampler.sample`; a call that was stopped goes on with the prefixes that it had not finished."""
        told: dict[str, Any] = {"n_samples": n_samples, "first_sample": first_sample, "temperature": temperature}
        told |= {"top_p": top_p, "seed": seed, "max_new_tokens": max_new_tokens}
        told |= {"max_rows": self.max_rows, "has_entropy": has_entropy}
        if self.engine is None:
            kept: dict[str, Any] = {"checkpoint_path": checkpoint_path, "should_stop": should_stop, "report": report}
            return sample(self.policy, prefixes, **told, **kept)
        check_arguments(n_samples, temperature, top_p, max_new_tokens, self.max_rows)
        settings = Settings(**told)
        places = placed(self.policy, prefixes, max_new_tokens)
        n_rows = {ids: 1 if temperature == 0 else n_samples * len(where) for ids, where in places.items()}
        results: Sampled = [[] for _ in prefixes]
        done = self._completed(n_rows, settings, Progress(checkpoint_path, should_stop))
        for ids, completions in done:
            for n, i in enumerate(places[ids]):
                part = completions[n * n_samples : (n + 1) * n_samples]
                results[i] = completions * n_samples if temperature == 0 else part
            if report is not None:
                report(sum(map(bool, results)), len(prefixes))
        return results

    def _completed(
        self, n_rows: dict[Ids, int], settings: Settings, progress: Progress
    ) -> Iterator[tuple[Ids, list[Completion]]]:
        """Every prefix with its completions: those that the file holds first."""
        assert self.engine is not None
        identity = {ids: (settings, ids, n) for ids, n in n_rows.items()}
        todo = {}
        for ids, n in n_rows.items():
            kept = progress.kept(identity[ids])
            if kept is None:
                todo[ids] = n
            else:
                yield ids, [Completion(*row) for row in kept]
        n_done = len(n_rows) - len(todo)
        for ids, rows in self.engine.rows(todo, settings) if todo else ():
            completions = completed(self.policy, ids, rows, settings)
            progress.keep(identity[ids], [astuple(one) for one in completions])
            n_done += 1
            yield ids, completions
            if progress.is_stopped() and n_done < len(n_rows):
                raise Interrupted(n_done, len(n_rows), "prefix")


@contextmanager
def opened(
    policy: Policy, name: str, *, max_rows: int, precision: str = "fp32", is_graphed: bool = True
) -> Iterator[Sampler]:
    """The engine of this name on the policy, which others leave alone while it is open.

    Args:
        max_rows: bound on the rows of one forward pass; memory, not mathematics.
        precision: that the weights are computed with, fp32 or bf16.
        is_graphed: on a card, replay a captured graph in place of launching every kernel.
    Raises:
        ValueError: an unknown name, or a model that the engine cannot run.
    """
    if name not in ENGINES:
        raise ValueError(f"engine={name!r} is not known; choose one of {', '.join(ENGINES)}")
    policy.model.eval()
    with ExitStack() as stack:
        stack.enter_context(in_precision(policy.model, precision))
        if name == "embedded":
            yield Sampler(policy, None, max_rows)
            return
        stack.enter_context(torch.no_grad())  # an engine may work in a thread of its own
        engine = _made(policy, name, max_rows, is_graphed)
        stack.callback(engine.close)
        yield Sampler(policy, engine, max_rows)


def _made(policy: Policy, name: str, max_rows: int, is_graphed: bool) -> Engine:
    """Imported here, so that an engine whose package is not installed is asked for by nobody else."""
    if name == "slots":
        from sweep.models.slots import Slots

        return Slots(policy, max_rows, is_graphed)
    if name == "paged":
        from sweep.models.paged import Paged

        return Paged(policy, max_rows, is_graphed)
    from sweep.models.on_vllm import OnVllm

    return OnVllm(policy, max_rows, is_graphed)


def placed(policy: Policy, prefixes: Sequence[str], max_new_tokens: int) -> dict[Ids, list[int]]:
    """Where each distinct prefix stands.

    Raises:
        ValueError: a prefix that leaves no room for max_new_tokens.
    """
    places: dict[Ids, list[int]] = defaultdict(list)
    for i, (text, ids) in enumerate(zip(prefixes, encode_prefixes(policy, prefixes), strict=True)):
        if len(ids) + max_new_tokens > policy.max_length:
            raise ValueError(
                f"the prefix {text[-60:]!r} has {len(ids)} tokens, with max_new_tokens={max_new_tokens} more than the "
                f"model's max_length={policy.max_length}; lower max_new_tokens or raise the model's max_length"
            )
        places[tuple(ids)].append(i)
    return places


def completed(policy: Policy, ids: Ids, rows: list[list[int]], settings: Settings) -> list[Completion]:
    """The rows of one prefix as texts."""
    nats: Sequence[float | None] = [None] * len(rows)
    if settings.has_entropy:
        nats = entropies(policy, ids, rows, settings)
    ends = set(policy.eos_ids)
    texts = decode_continuations(policy, rows)
    return [
        Completion(text, len(row), row[-1] in ends, entropy)
        for text, row, entropy in zip(texts, rows, nats, strict=True)
    ]
