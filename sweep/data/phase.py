"""A phase of the curriculum that a base is pretrained in, as far as every procedural domain's phases are alike."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.fields import SCHEDULES, choice, real, whole

MOST_DOCUMENTS = 10**9


@dataclass(frozen=True, slots=True)
class Phase:
    """How many documents it shows and how they are trained on; what stands in them is its domain's.

    What a phase teaches is learnt all at once, after a number of updates that differs much from one base to another.
    With `until_loss` the phase goes on, in rounds of n_documents fresh ones, until a token of documents that were never
    seen costs less than that many nats; a base that has not come so far after `most_rounds` is refused.
    """

    n_documents: int = whole(1, MOST_DOCUMENTS)
    lr: float = real(above=0, most=1e38)  # what single precision holds
    batch_size: int = whole(1, 2**20, default=64)
    embedding_lr_scale: float = real(above=0, most=1e6, default=1.0)
    schedule: str = choice(*SCHEDULES, default="cosine")  # "constant" where the next phase goes on from a working rate
    until_loss: float | None = real(above=0, most=1e6, default=None)
    most_rounds: int = whole(1, 10**4, default=16)
