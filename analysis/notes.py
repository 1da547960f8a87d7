"""Notes: what a reader of a number has to know, with a code to match on and a severity to sort by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "serious"]
_RANK: dict[str, int] = {"serious": 0, "warning": 1, "info": 2}

CODES: dict[str, Severity] = {
    "one_seed": "warning",  # one training run a cell: seed variance is not in the interval
    "replicates": "info",  # intervals are over replicates of the whole experiment
    "missing_replicates": "warning",  # cells that not every replicate has
    "malformed": "warning",  # an arm writes surely more solutions that cannot be read than the baseline
    "odd_run": "warning",  # one run far from where the rest of its replicate and of its cell put it
    "few_seeds": "info",  # seed variance rests on few degrees of freedom
    "missing_seeds": "info",  # cells with fewer seeds than others of their arm
    "no_data": "info",  # runs of size 0, which only a law with a ceiling reads
    "low_percent": "serious",  # percentages that look like fractions
    "dropped_blank": "warning",  # rows without an outcome were left out, as asked
    "not_paired": "warning",  # problems that one of two models alone was tested on were left out, as asked
    "unpaired": "warning",  # arms were not tested on the same problems
    "counts_only": "warning",  # one test set is taken on trust, which problems were missed is not known
    "cell_means_only": "warning",  # neither problems nor counts: residuals stand for all noise
    "normal_approximation": "info",  # many problems: cell means drawn from their covariance
    "few_sizes": "warning",  # fewer sizes than parameters + 2
    "floor_not_estimable": "info",  # the floor sits on its bound or needs more sizes
    "not_falling": "serious",  # fitted error does not fall with size
    "bad_fit": "warning",  # residuals larger than the noise allows
    "read_without_law": "info",  # residuals refute the law, so the multiplier is read between measured errors
    "identity_broken": "serious",  # the baseline against itself is not worth 1 at every size
    "open_limit": "warning",  # a limit beyond the ratios of sizes that were run
    "law_refuted": "warning",  # held-out errors larger than the law itself would make them
    "multimodal": "warning",  # a second optimum fits about as well
    "no_overlap": "serious",  # the two arms share no range of error
    "baseline_flat": "serious",  # the baseline's error barely changes over its sizes
    "extrapolated": "warning",  # the value needs sizes outside those run
    "censored": "warning",  # a share of the draws has no solution
    "both_unreached": "serious",  # neither arm reaches the asked error
    "not_constant": "info",  # m(e) is not shown to be constant over the overlap
    "form_uncertainty": "warning",  # the laws disagree by more than the interval's half width
    "short_arm": "info",  # an arm with fewer than 3 sizes is read point by point
    "seed_clusters": "warning",  # runs of one seed move together over sizes
    "paired_seeds": "info",  # runs of one seed move together over arms
    "few_clusters": "warning",  # too few seeds to see whether they do
    "zero_errors": "warning",  # a cell without a single error
}


@dataclass(frozen=True, slots=True)
class Note:
    """One remark that travels with a result.

    Args:
        code: a key of `CODES`, stable over versions, to be matched by programs.
        text: one sentence with the numbers in it.
    """

    code: str
    text: str

    @property
    def severity(self) -> Severity:
        return CODES[self.code]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "severity": self.severity}


def note(code: str, text: str) -> Note:
    if code not in CODES:
        raise KeyError(f"note code {code!r} is unknown; the codes are {', '.join(CODES)}")
    return Note(code, text)


def sorted_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Each note once, the most severe first, otherwise in the order of arrival."""
    return tuple(sorted(dict.fromkeys(notes), key=lambda one: _RANK[one.severity]))
