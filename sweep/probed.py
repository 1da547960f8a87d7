"""What was measured beside test errors, as tables: a file a kind of measurement, TABLE/<kind>.parquet.

Its rows are those that the stages left, each with the run's point of the grid; of what no arm decides there is one for
all arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import pandas as pd

from sweep.artifacts import Stage, Store
from sweep.config import Exp
from sweep.results import point_of

ROWS = "rows.parquet"


def measured(probes: Sequence[tuple[Exp, Stage]], store: Store) -> dict[str, pd.DataFrame]:
    """Of each kind that was asked for, the rows of all its stages.

    Raises:
        ValueError: a stage is not built; it is named.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    missing = [stage.key for _, stage in probes if store.manifest(stage.key) is None]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(probes)} measurements are not built, e.g. {missing[0]}; give the sweep command "
            "again to build them, or collect a smaller grid"
        )
    for exp, stage in probes:
        rows = pd.read_parquet(BytesIO(store.read(stage.key, ROWS)))
        point: dict[str, Any] = {"stage": stage.key, **_point(exp, stage)}
        for place, (name, value) in enumerate(point.items()):
            rows.insert(place, name, value)
        found.setdefault(stage.kind, []).append(rows)
    return {kind: pd.concat(frames, ignore_index=True) for kind, frames in found.items()}


def _point(exp: Exp, stage: Stage) -> Mapping[str, Any]:
    arm = {"arm": point_of(stage)["arm"]} if "policy" in stage.parents else {}
    return {**arm, "n_problems": exp.n_problems, "replicate": exp.replicate, "seed": exp.seed}
