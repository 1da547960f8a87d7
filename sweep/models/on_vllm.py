"""The engine of vLLM, the extra `vllm`: paged cache, prefixes shared by whatever begins alike, graphs.

As in `paged`, a processor of logits leaves each row the one token that `choose` takes. vLLM is given
the policy's configuration and weights as they are in memory, whatever was done to them since they were read, and works
in this process, so that the processor can be asked what it saw.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import torch

from sweep.installed import check_engine
from sweep.models.draws import Settings, check_finite, choose, uniforms
from sweep.models.policy import Policy

SHARE_OF_CARD = 0.8  # of its memory, the policy's own copy beside it
WEIGHTS = "of_policy"  # what vLLM calls the way by which it is given the weights of a policy in memory
ROWS_AT_ONCE = 8  # times max_rows: given to vLLM in one call, after which finished prefixes are kept

Ids = tuple[int, ...]


class OnVllm:
    """One LLM for as long as the engine is open, so prefixes are shared between calls."""

    def __init__(self, policy: Policy, max_rows: int, is_graphed: bool) -> None:
        check_engine("vllm", policy.device.type)
        _check_heads(policy)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import LLM

        self.policy, self.max_rows, self.n_read = policy, max_rows, 0
        self.seeded, loader = _processor(policy), _loader()
        loader.weights = policy.model.state_dict()
        try:
            with TemporaryDirectory() as folder:
                policy.model.config.save_pretrained(folder)
                self.llm = LLM(
                    model=folder,
                    dtype=str(policy.model.dtype).removeprefix("torch."),
                    max_model_len=policy.max_length,
                    max_num_seqs=max_rows,
                    enable_prefix_caching=True,
                    enforce_eager=not is_graphed,
                    gpu_memory_utilization=SHARE_OF_CARD,
                    skip_tokenizer_init=True,
                    trust_remote_code=False,
                    logits_processors=[self.seeded],
                    load_format=WEIGHTS,
                )
        except BaseException:
            self.close()
            raise
        finally:
            loader.weights = {}

    def close(self) -> None:
        """What vLLM keeps for the whole process goes too, so that the next engine in it finds none of it."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    def rows(self, n_rows: dict[Ids, int], settings: Settings) -> Iterator[tuple[Ids, list[list[int]]]]:
        self.seeded.settings = settings
        self.seeded.is_finite = torch.ones((), dtype=torch.bool, device=self.policy.device)
        part: dict[Ids, int] = {}
        for ids in sorted(n_rows):
            part[ids] = n_rows[ids]
            if sum(part.values()) >= ROWS_AT_ONCE * self.max_rows:
                yield from self._drawn(part, settings)
                part = {}
        yield from self._drawn(part, settings) if part else ()

    def _drawn(self, n_rows: dict[Ids, int], settings: Settings) -> list[tuple[Ids, list[list[int]]]]:
        from vllm import SamplingParams

        prompts, told = [], []
        for ids, n in n_rows.items():
            for numbers in uniforms(settings, ids, n):
                prompts.append({"prompt_token_ids": list(ids)})
                how = {
                    "temperature": 0.0,
                    "max_tokens": settings.max_new_tokens,
                    "stop_token_ids": self.policy.eos_ids,
                    "detokenize": False,
                    "extra_args": {"numbers": numbers.tolist()},
                }
                told.append(SamplingParams(**how))
        answers = iter(self.llm.generate(prompts, told, use_tqdm=False))
        rows = [(ids, [list(next(answers).outputs[0].token_ids) for _ in range(n)]) for ids, n in n_rows.items()]
        check_finite(self.seeded.is_finite, max(len(row) for _, of in rows for row in of) - 1, settings)
        return rows


def _check_heads(policy: Policy) -> None:
    """vLLM's attention on a CPU is compiled for some sizes of a head, and says so only when it draws."""
    if policy.device.type != "cpu":
        return
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    config, known = policy.model.config, CPUAttentionBackend.get_supported_head_sizes()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if size not in known:
        raise ValueError(
            f"exec.engine=vllm: on a CPU vLLM knows heads of {', '.join(map(str, sorted(known)))} dimensions, and this "
            f"model's have {size}; take exec.engine=embedded or slots"
        )


def _loader() -> Any:
    """A class, which vLLM makes an instance of and keeps under its name; the weights it gives are set for a while."""
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.base_loader import BaseModelLoader

    @register_model_loader(WEIGHTS)
    class Given(BaseModelLoader):  # type: ignore[misc]
        weights: dict[str, torch.Tensor]

        def download_model(self, model_config: Any) -> None:
            pass

        def load_weights(self, model: Any, model_config: Any) -> None:
            model.load_weights(self.weights.items())

    return Given


def _processor(policy: Policy) -> Any:
    """A class, which vLLM makes an instance of; what a call sets and reads stands in the class."""
    from vllm.v1.sample.logits_processor import LogitsProcessor
    from vllm.v1.sample.logits_processor.builtin import process_dict_updates

    class Seeded(LogitsProcessor):  # type: ignore[misc]
        settings: Settings
        is_finite: torch.Tensor
        barred = torch.tensor(policy.barred_ids, dtype=torch.long, device=policy.device)

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            self.of_row: dict[int, tuple[list[float], list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            process_dict_updates(
                self.of_row, batch_update, lambda told, _, output: (told.extra_args["numbers"], output)
            )

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            """The list of a row's output grows as it is drawn: its length is the place of the next token."""
            rows = sorted(self.of_row)
            if not rows:
                return logits
            own = logits[rows].float()
            places = [(numbers, len(output)) for numbers, output in (self.of_row[row] for row in rows)]
            numbers = torch.tensor([numbers[min(n, len(numbers) - 1)] for numbers, n in places], device=logits.device)
            settings = type(self).settings
            chosen, _, mass = choose(own, self.barred, numbers if settings.temperature else None, settings)
            lowest, highest = own.aminmax(dim=1)
            type(self).is_finite &= ((highest - lowest).isfinite() & mass.isfinite()).all()
            logits[rows] = torch.full_like(own, float("-inf")).scatter_(1, chosen[:, None], 0.0).to(logits.dtype)
            return logits

    return Seeded
