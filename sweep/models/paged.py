"""The engine of transformers: continuous batching over a paged cache; prefixes that begin alike share its pages.

Its own sampling draws from one generator for whatever is in the batch, so a token would depend on its neighbours. Here
a processor of logits puts all the weight on the token that `choose` takes, and the engine takes the likeliest. On a
card it wants flash-attn, without which every row looks past the keys of all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)

from sweep.models.draws import Settings, check_finite, choose, uniforms
from sweep.models.policy import Policy

PAGE = 16  # tokens of a page on the CPU, and the least that two prefixes must share to share a page
PAGE_OF_KERNEL = 256  # on a card, what flash-attn's kernels read
CPU_PAGES = 1024
CPU_BATCH_TOKENS = 512  # of one forward pass; each looks past every key of the cache

Ids = tuple[int, ...]


class Seeded(ContinuousBatchingLogitsProcessor):
    """Leaves each request the one token that its next uniform number chooses."""

    supported_kwargs: dict[str, type] = {"numbers": np.ndarray, "n_prefix": int}  # noqa: RUF012  # as the library has it
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self, policy: Policy, settings: Settings) -> None:
        self.settings = settings
        self.barred = torch.tensor(policy.barred_ids, dtype=torch.long, device=policy.device)
        self.is_finite = torch.ones((), dtype=torch.bool, device=policy.device)

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> Tensor:
        """A number a request, as the bits that the engine hands on: position_offset counts the tokens read so far."""
        numbers = [0.0] * len(requests_with_new_token)
        for i, request in enumerate(requests_with_new_token):
            told = request.state.logit_processor_kwargs
            if told:
                numbers[i] = float(told["numbers"][request.state.position_offset - told["n_prefix"]])
        return torch.tensor(numbers, dtype=torch.float32).view(dtype=torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        numbers = tensor_arg[: len(scores)].view(dtype=torch.float32)
        chosen, _, mass = choose(scores, self.barred, numbers if self.settings.temperature else None, self.settings)
        lowest, highest = scores.aminmax(dim=1)
        self.is_finite &= ((highest - lowest).isfinite() & mass.isfinite()).all()
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen[:, None], 0.0)


class Paged:
    """A manager of the library for each call; its pages live as long as the call."""

    def __init__(self, policy: Policy, max_rows: int, is_graphed: bool) -> None:
        self.policy, self.max_rows, self.n_read = policy, max_rows, 0
        self.is_graphed = is_graphed and policy.device.type == "cuda"

    def close(self) -> None:
        pass

    def rows(self, n_rows: dict[Ids, int], settings: Settings) -> Iterator[tuple[Ids, list[list[int]]]]:
        told = GenerationConfig(
            do_sample=False,
            max_new_tokens=settings.max_new_tokens,
            eos_token_id=self.policy.eos_ids,
            pad_token_id=self.policy.pad_id,
        )
        processor = Seeded(self.policy, settings)
        model: Any = self.policy.model  # this method of its mixin is hidden from checkers by torch's own annotations
        manager = model.init_continuous_batching(told, self._config())
        manager.logit_processor = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([processor]))
        manager.logit_processor.tensors_required = 1
        manager.start()
        try:
            asked = self._ask(manager, n_rows, settings)
            yield from self._answered(manager, asked, n_rows, processor)
        finally:
            manager.stop(block=True, hard_stop=True)
            manager.destroy()

    def _paused(self, manager: Any, asked: dict[str, tuple[Ids, int]]) -> AbstractContextManager[None]:
        """While the caller has a prefix it may use the model, which two threads at once may not."""
        return manager.pause() if asked else nullcontext()

    def _config(self) -> ContinuousBatchingConfig:
        if self.policy.device.type == "cuda":
            return ContinuousBatchingConfig(
                page_size=PAGE_OF_KERNEL,
                max_requests_per_batch=self.max_rows,
                use_cuda_graph=self.is_graphed,
                per_request_processors=True,
            )
        return ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=CPU_PAGES,
            max_batch_tokens=CPU_BATCH_TOKENS,
            max_requests_per_batch=self.max_rows,
            per_request_processors=True,
        )

    def _ask(self, manager: Any, n_rows: dict[Ids, int], settings: Settings) -> dict[str, tuple[Ids, int]]:
        """A request a row, relatives behind each other."""
        asked: dict[str, tuple[Ids, int]] = {}
        for ids in sorted(n_rows):
            numbers = uniforms(settings, ids, n_rows[ids]) if settings.temperature else None
            for row in range(n_rows[ids]):
                name = f"{len(asked)}"
                asked[name] = (ids, row)
                how = {} if numbers is None else {"numbers": numbers[row], "n_prefix": len(ids)}
                told = {"max_new_tokens": settings.max_new_tokens, "eos_token_id": self.policy.eos_ids, **how}
                manager.add_request(list(ids), request_id=name, **told)
        return asked

    def _answered(
        self, manager: Any, asked: dict[str, tuple[Ids, int]], n_rows: dict[Ids, int], processor: Seeded
    ) -> Iterator[tuple[Ids, list[list[int]]]]:
        rows: dict[Ids, dict[int, list[int]]] = {}
        while asked:
            result = manager.get_result(timeout=1)
            if result is None:
                if manager.is_running():
                    continue
                why = "it ended"
            else:
                why = result.error
            if why is not None:
                raise RuntimeError(
                    f"exec.engine=paged gave up with {len(asked)} rows to draw: {why}; lower exec.max_rows, or take "
                    "another exec.engine"
                )
            check_finite(processor.is_finite, len(result.generated_tokens) - 1, processor.settings)
            ids, row = asked.pop(result.request_id)
            of_prefix = rows.setdefault(ids, {})
            of_prefix[row] = result.generated_tokens
            if len(of_prefix) == n_rows[ids]:
                with self._paused(manager, asked):
                    yield ids, [of_prefix[i] for i in range(n_rows[ids])]
