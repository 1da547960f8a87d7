"""Log-probabilities of a pack's continuation tokens, without the logits of any other token and never all at once."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from sweep.models.packing import Pack

MAX_LOGITS = 2**25  # logits that are held at once; 128 MiB in fp32


class TokenLogps(nn.Module):
    """The log-probability of each continuation token of a pack, and of no other token.

    The vocabulary's logits are computed at these positions only: with a prefix of a third
    of the sequence this is a third of the output layer's work and of its memory.
    """

    def __init__(self, model: PreTrainedModel, max_logits: int = MAX_LOGITS) -> None:
        super().__init__()
        scaled = [n for n in ("final_logit_softcapping", "logit_scale", "logits_scaling") if _is_set(model, n)]
        if scaled:
            raise ValueError(
                f"{type(model).__name__} changes its logits after the output layer ({', '.join(scaled)}), which "
                "this trainer does not do; choose a model without, such as Llama, Mistral or Qwen"
            )
        self.model = model
        self.max_logits = max_logits

    def forward(self, pack: Pack) -> Tensor:
        """(n_trained,) in nats, float32; the model must be `reading_packs`."""
        decoder = self.model.get_decoder()
        read = decoder(input_ids=pack.input_ids, position_ids=pack.position_ids, layout=pack.layout, use_cache=False)
        hidden = read.last_hidden_state.flatten(0, 1).index_select(0, pack.positions)
        output = self.model.get_output_embeddings()
        if len(hidden) * len(output.weight) <= self.max_logits:
            return -F.cross_entropy(output(hidden).float(), pack.targets, reduction="none")
        n_rows = max(1, self.max_logits // len(output.weight))
        logps: Tensor = ChunkedLogps.apply(  # type: ignore[no-untyped-call]
            hidden, output.weight, output.bias, pack.targets, n_rows
        )
        return logps


def _is_set(model: PreTrainedModel, name: str) -> bool:
    return getattr(model.config, name, None) not in (None, 1, 1.0)


class ChunkedLogps(torch.autograd.Function):
    """log softmax(hidden @ weight.T + bias) at the targets, n_rows rows of it at a time; backward computes it again.

    hidden (n, hidden_size), weight (n_vocabulary, hidden_size), bias (n_vocabulary,) or None, targets (n,); (n,) in
    float32 at least. Kept for the backward pass is one number a row, the logarithm of its normaliser.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, n_rows: int) -> Tensor:
        normalisers, logps = [], []
        for rows, wanted in zip(torch.split(hidden, n_rows), torch.split(targets, n_rows), strict=True):
            logits = _logits(rows, weight, bias)
            normalisers.append(logits.logsumexp(1))
            logps.append(logits.gather(1, wanted[:, None])[:, 0] - normalisers[-1])
        ctx.save_for_backward(hidden, weight, bias, targets, torch.cat(normalisers))
        ctx.n_rows = n_rows
        return torch.cat(logps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, normalisers = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_weight = torch.zeros_like(weight, dtype=normalisers.dtype) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias, dtype=normalisers.dtype) if bias is not None else None
        for start in range(0, len(hidden), ctx.n_rows):
            part = slice(start, start + ctx.n_rows)
            of_logits = _logits(hidden[part], weight, bias).sub_(normalisers[part, None]).exp_().neg_()
            of_logits.scatter_add_(1, targets[part, None], torch.ones_like(of_logits[:, :1]))
            of_logits.mul_(grad[part, None])
            if of_bias is not None:
                of_bias += of_logits.sum(0)
            of_logits = of_logits.to(weight.dtype)
            of_hidden[part] = of_logits @ weight
            if of_weight is not None and of_weight.dtype == weight.dtype:
                of_weight.addmm_(of_logits.T, hidden[part])
            elif of_weight is not None:
                of_weight += of_logits.T @ hidden[part]
        cast = [None if g is None else g.to(weight.dtype) for g in (of_weight, of_bias)]
        return of_hidden, *cast, None, None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = F.linear(hidden, weight, bias)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
