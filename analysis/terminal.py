"""Results as JSON and as plain text for a terminal."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np

from analysis.commands import NoNextRuns, Result, SharedFit
from analysis.design.next_runs import MAX_UNITS, NextRuns
from analysis.held_out import Misses, Validation
from analysis.laws.curves import Curves
from analysis.laws.fit import FitResult
from analysis.laws.surface import SurfaceFit
from analysis.noise.malformed import Malformed
from analysis.notes import Note, sorted_notes
from analysis.worth.identity import Identity
from analysis.worth.words import (
    beyond_text,
    by_unit_text,
    count,
    error_text,
    interval_text,
    joint_text,
    kind_text,
    multiplier_text,
    shape_text,
    times,
)

PARAMETERS = {  # in the order in which fits have them
    "b": "how steeply it falls with n: the exponent; of log_linear the error per ln n",
    "error_at_ref": "the curve at n_ref",
    "excess_at_ref": "the curve's height over its floor at n_ref",
    "n_half": "the n at which half of the way from ceiling to floor is gone",
    "floor": "error with endless data",
    "ceiling": "error without data",
    "n_ref": "geometric middle of the sizes",
    "ln_a": "logarithm of the curve (over its floor) at n = 1",
}


STATUSES = {
    "converged": "converged",
    "at_bound": "at a limit of floor or slope",
    "multimodal": "a second optimum within 5 %",
    "not_falling": "not falling",
}


def as_json(value: Any) -> str:
    """One JSON object; a limit that does not exist (infinite or undefined) is null."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False)


def plain(value: Any) -> Any:
    if isinstance(value, Note):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value) if one.name != "drawn")
        return {name: plain(inner) for name, inner in fields if not isinstance(inner, Curves)}
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def result_object(one: Result) -> dict[str, Any]:
    """The multiplier's fields at the top, with shape, curve and the fast interval beside them."""
    rest = {name: plain(getattr(one, name)) for name in ("shape", "curve", "delta", "by_unit", "malformed")}
    rest["identity"] = None if one.identity is None else _identity_object(one.identity)
    return {**plain(one.multiplier), **rest}


def _identity_object(one: Identity) -> dict[str, Any]:
    """The baseline against itself: value and limits at each size, and the sizes at which they leave 1 out."""
    rows = [{name: getattr(m, name) for name in ("at_size", "multiplier", "ci_low", "ci_high")} for m in one.by_size]
    return {"arm": one.middle.arm, "holds": not one.broken, "by_size": plain(rows)}


def _identity_text(one: Identity) -> str:
    held = f"holds 1 at all of its {len(one.by_size)} sizes" if not one.broken else "does NOT hold 1 at every size"
    is_open = one.middle.bound != "=" or one.middle.ci_low <= 0 or not np.isfinite(one.middle.ci_high)
    if is_open and not one.broken:
        held = "its intervals hold 1, but the one in the middle is open, so this checks nothing"
    widest = max(one.by_size, key=lambda m: m.ci_high / max(m.ci_low, 1e-300))
    at = f"at n = {count(widest.at_size or 0)} {multiplier_text(widest)}"
    return f"{one.middle.arm}: {held}; {multiplier_text(one.middle)} in the middle, at its widest {at}"


def _malformed_text(rows: Sequence[Malformed], baseline: str) -> list[str]:
    beside = [f" ({baseline} {row.gap.other:.1%})" if row.gap else "" for row in rows]
    shares = [f"{row.share:.1%} at {count(row.size)}{other}" for row, other in zip(rows, beside, strict=True)]
    nats = [f"{row.entropy:.2f} at {count(row.size)}" for row in rows if np.isfinite(row.entropy)]
    return [f"  malformed: {', '.join(shares)}", *([f"  nats a sampled solution: {', '.join(nats)}"] if nats else [])]


def results_text(results: Sequence[Result]) -> str:
    lines = []
    for one in results:
        m = one.multiplier
        at = f"{one.measure} {error_text(m.at_error)}" + ("" if m.at_size is None else f", n = {count(m.at_size)}")
        lines.append(f"{m.arm} over {m.baseline}: {multiplier_text(m)} at {at}  ({kind_text(m.kind, one.measure)})")
        if beyond_text(m):
            lines.append(f"  {beyond_text(m)}")
        if m.kind != "undefined" and np.isfinite(m.form_spread).all():
            spread = ", ".join(f"{law} {times(value)}" for law, value in m.form_values.items())
            lines.append(f"  laws: {spread}")
        if one.delta:
            lines.append(
                f"  by the law alone, without resampling: {interval_text(one.delta.low, one.delta.high, times)}"
            )
        if joint_text(m):
            lines.append(f"  {joint_text(m)}")
        if one.by_unit:
            lines.append(f"  {by_unit_text(one.by_unit)}")
        if one.malformed:
            lines += _malformed_text(one.malformed, m.baseline)
        if one.shape:
            lines.append("  " + shape_text(one.shape))
        fits = ", ".join(STATUSES[one] for one in m.status.split("+"))
        limits = f"{m.level:.0%} interval: {m.method}; no value in {m.frac_censored:.1%} of the resamples"
        lines.append(f"  {limits}; fits of both: {fits}")
    identity = results[0].identity if results else None
    lines += [] if identity is None else [_identity_text(identity)]
    known = () if identity is None else identity.notes
    notes = sorted_notes((*known, *(note for one in results for note in one.multiplier.notes)))
    return "\n".join([*lines, *notes_text(notes)])


def fits_text(found: Sequence[FitResult] | SharedFit | SurfaceFit) -> str:
    if isinstance(found, (SharedFit, SurfaceFit)):
        head = (
            f"{found.law}: {', '.join(found.arms)}"
            if isinstance(found, SharedFit)
            else (
                f"{found.law} on {found.n_points} points, {found.objective_name}: {found.status}, objective "
                f"{found.objective:.6g}, {found.frac_at_best:.0%} of {found.n_starts} starts at the best, gradient "
                f"{found.gradient_norm:.1e}, intervals from {found.n_draws} resamples"
            )
        )
        errors = found.standard_errors if isinstance(found, SurfaceFit) else {}
        lines = [head, *_params_text(found.params, found.intervals, errors)]
        return "\n".join([*lines, *notes_text(getattr(found, "notes", ()))])
    lines = []
    for one in found:
        lines.append(
            f"{one.arm}, {one.law}: {one.status}, {one.frac_at_best:.0%} of {one.n_starts} starts at the best"
            + (f", bounds hit {', '.join(one.bounds_hit)}" if one.bounds_hit else "")
        )
        lines += [*_read_text(one), *_params_text(one.params, one.intervals)]
    lines += [f"{name}: {what}" for name, what in PARAMETERS.items() if any(name in one.params for one in found)]
    return "\n".join([*lines, *notes_text(sorted_notes(note for one in found for note in one.notes))])


def _read_text(one: FitResult) -> list[str]:
    """For which arms `multiplier` reads the law: any of the baseline's, its own of another arm's."""
    ends = {
        "read by this law and by a curve without one": one.read_for,
        "read without a law, as residuals refute this one": one.refuted_for,
    }
    names = {end: "" if arms == (one.arm,) else f" of {'; '.join(arms)}" for end, arms in ends.items() if arms}
    return [f"  multiplier{which}: {end}" for end, which in names.items()]


def _params_text(
    params: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    standard_errors: Mapping[str, float] = MappingProxyType({}),
) -> list[str]:
    return [
        f"  {name} = {value:.6g}"
        + (f" (s.e. {standard_errors[name]:.3g})" if name in standard_errors else "")
        + (f"  {interval_text(*intervals[name], '{:.4g}'.format)}" if name in intervals else "")
        for name, value in params.items()
    ]


def plans_text(plans: Sequence[NextRuns | NoNextRuns]) -> str:
    lines = []
    for one in plans:
        if isinstance(one, NoNextRuns):
            lines.append(f"{one.arm} over {one.baseline}: no plan; {one.why}")
            continue
        state = "reached already" if one.is_reached else f"needs a standard error of {one.target_se:.3f}"
        read = {"local": f" (read without {one.law}, which residuals refute)", "law": f" (by {one.law} alone)"}
        at = f"{error_text(one.at_error)}{read.get(one.form, '')}"
        lines.append(
            f"{one.arm} over {one.baseline}: m = {times(one.multiplier)} at error {at}, "
            f"known within a factor {one.factor:.2f} (se of ln m {one.se:.3f}); {one.target}: {state}"
        )
        for option in one.options:
            cost = "" if option.cost is None else f", {count(option.cost)} {one.cost_name}"
            mark = "reaches" if option.se <= one.target_se * 1.0001 else "falls short"
            lines.append(f"  {option.what}: factor {option.factor:.2f}, {option.n_new_runs} new runs{cost}  ({mark})")
            lines += [f"    {override}" for override in option.overrides]
        if not one.options and not one.is_reached:
            most = f"{MAX_UNITS} {one.unit}s, 8 times the test problems or the added sizes"
            lines.append(f"  no option within {most} narrows it")
    if any(isinstance(one, NextRuns) and one.unit == "replicate" for one in plans):
        lines.append("A new replicate is runs of arm and baseline at all their sizes, and a base, which is not priced.")
    return "\n".join(lines)


def validation_text(found: Validation) -> str:
    head = "predictions  mean z^2 (se)  if true      p   RMSLE"
    lines = [f"{'':<14}  {'that all laws make, which rank them':<51}   all of its own, which judge it"]
    lines += [f"{'law':<14}  {head}   {head}"]
    lines += [f"{one.law:<14}  {_misses_text(one.shared)}   {_misses_text(one.own)}" for one in found.scores]
    return "\n".join([*lines, found.says, *notes_text(found.notes)])


def _misses_text(one: Misses) -> str:
    mean = f"{one.mean_square_z:.2f} ({one.se:.2f})"
    return f"{one.n_predictions:>11}  {mean:>13}  {one.expected:7.2f}  {one.p_value:5.3f}  {one.rmsle:6.4f}"


def notes_text(notes: Sequence[Note]) -> list[str]:
    return [f"{one.severity} {one.code}: {one.text}" for one in notes]
