"""Training against TRL's trainers: the same rows, one after the other in one process, fp32, a thread."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..measuring import Spent, spent

BATCH = 64


def sized() -> Any:
    """The texts and trainers, which load torch: only where they are asked for."""
    folder = str(Path(__file__).parents[1])
    if folder not in sys.path:
        sys.path.append(folder)
    import training_sized

    return training_sized


@dataclass(frozen=True)
class Training:
    """n rows or pairs read once by a model of 0.2M parameters; set-up of the trainers is left out of both."""

    folder: Path
    n: int
    is_pairs: bool = False

    @cached_property
    def data(self) -> Any:
        warnings.filterwarnings("ignore")
        one, size = sized(), sized().SIZES["0.2M"]
        return one.pairs_of(size, self.n, 0.6) if self.is_pairs else one.rows_of(size, self.n)

    @cached_property
    def policy(self) -> Any:
        import torch

        torch.set_num_threads(1)
        return sized().policy_of(sized().SIZES["0.2M"], "cpu")

    @property
    def _how(self) -> tuple[int, int, str]:
        batch = min(BATCH, self.n)
        return max(1, self.n // batch), batch, "cpu"

    def ours(self) -> Spent:
        done = sized().ours(copy.deepcopy(self.policy), self.data, *self._how)
        return Spent(done.seconds, done.cpu_seconds)

    def peer(self) -> Spent:
        done = sized().trls(copy.deepcopy(self.policy), self.data, *self._how)
        return Spent(done.seconds, done.cpu_seconds)

    def limit(self) -> Spent:
        """As many operations in one product of matrices of this model's width: 6 a parameter and token."""
        import torch

        n_words = [len(text.split()) for one in self.data for text in _texts(one)]
        width = self.policy.model.config.hidden_size
        n_parameters = sum(one.numel() for one in self.policy.model.parameters())
        rows = sum(n_words) * 6 * n_parameters // (2 * width * width)
        a, b = torch.ones(1024, width), torch.ones(width, width)
        return spent(lambda: [a @ b for _ in range(max(1, rows // 1024))])


def _texts(one: Any) -> list[str]:
    return (
        [one.prefix + one.chosen, one.rejected]  # the prefix is read once for both
        if hasattr(one, "chosen")
        else [one.prefix + one.continuation]
    )
