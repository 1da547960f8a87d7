"""The policy, its training and its sampling: the one layer that knows torch and transformers."""

from sweep.models.draws import Completion, n_sampled_tokens, sampling_flops
from sweep.models.engines import Sampler, opened
from sweep.models.entropy import mean_entropy, temperature_of
from sweep.models.folder import load_policy, save_policy
from sweep.models.held import is_out_of_memory, let_go
from sweep.models.optim import Optim
from sweep.models.policy import Policy, encode_continuation, encode_prefix, new_policy
from sweep.models.processes import train_in_processes
from sweep.models.progress import Interrupted
from sweep.models.sampler import sample
from sweep.models.sequences import continuation_logps, pair_scores
from sweep.models.trainer import TrainCost, Trained, train
from sweep.models.update import Loss

__all__ = [
    "Completion",
    "Interrupted",
    "Loss",
    "Optim",
    "Policy",
    "Sampler",
    "TrainCost",
    "Trained",
    "continuation_logps",
    "encode_continuation",
    "encode_prefix",
    "is_out_of_memory",
    "let_go",
    "load_policy",
    "mean_entropy",
    "n_sampled_tokens",
    "new_policy",
    "opened",
    "pair_scores",
    "sample",
    "sampling_flops",
    "save_policy",
    "temperature_of",
    "train",
    "train_in_processes",
]
