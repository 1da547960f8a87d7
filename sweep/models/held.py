"""What this process has held of its cards since a stage began; nothing where it has none."""

import gc

import torch

_of_others: list[tuple[int, int]] = []  # of processes that this one started


def forget() -> None:
    """Give back what no tensor uses, and count from here."""
    _of_others.clear()
    if torch.cuda.is_initialized():
        gc.collect()
    torch.cuda.empty_cache()
    if torch.cuda.is_initialized():  # before that there is nothing to reset, and torch refuses to
        torch.cuda.reset_peak_memory_stats()


def let_go() -> None:
    """Give back to the card all but the process itself: a worker that waits keeps nothing from others."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def note(allocated: int, reserved: int) -> None:
    """Take in what a process of this stage held."""
    _of_others.append((allocated, reserved))


def peak() -> tuple[int, int]:
    """Bytes of tensors, and bytes taken from one card for them, at the most; (0, 0) without a card."""
    here = (0, 0)
    if torch.cuda.device_count():
        here = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
    each = [here, *_of_others]
    return max(one[0] for one in each), max(one[1] for one in each)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a card, and not the machine, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "CUDA" in str(error) and "out of memory" in str(error)
    )
