"""A run as W&B keeps it in a .wandb file.

A file is whole when every piece of it is and the last of them says how the run ended. One that a kill cut off is not:
its stage, built again, leaves another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.sharing import bytes_of
from sweep.tracking.backend import Described, Point
from sweep.wandb_file import NotWhole, records

SENT = ".synced"  # W&B's own mark beside a file that its server has


@dataclass
class Recorded:
    """What a file tells of its run; each point with how many came before it, in this file or on the server."""

    described: Described
    project: str
    entity: str | None
    exit_code: int
    points: list[tuple[int, Point]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def recorded(path: Path) -> Recorded:
    """The run in a file.

    Raises:
        NotWhole: it was cut off or damaged, or the run has not ended; the message says which.
    """
    by_kind: dict[str, list[Any]] = {}
    for record in _records(path):
        by_kind.setdefault(record.WhichOneof("record_type"), []).append(record)
    if "run" not in by_kind:
        raise NotWhole("it holds no run")
    if "exit" not in by_kind:
        raise NotWhole("its run has not ended: it is being written, or was cut off by a kill")
    run, used = by_kind["run"][0].run, [record.artifact for record in by_kind.get("artifact", ())]
    out = Recorded(_described(run, used), run.project, run.entity or None, by_kind["exit"][-1].exit.exit_code)
    for record in by_kind.get("history", ()):
        row = _values(record.history.item)
        metrics = {name: value for name, value in row.items() if not name.startswith("_") and name != "update"}
        point = Point(int(row.get("update", 0)), float(row["_timestamp"]), metrics)
        out.points.append((int(row["_step"]), point))
    shown = {name for _, point in out.points for name in point.metrics}
    for record in by_kind.get("summary", ()):
        out.facts.update(_values(record.summary.update))
    # what W&B made of the history it makes again
    out.facts = {k: v for k, v in out.facts.items() if k not in shown and k != "update" and not k.startswith("_")}
    for one in (one for record in by_kind.get("files", ()) for one in record.files.files):
        out.files[one.path] = _file(path.parent / "files", one.path)
    return out


def _file(folder: Path, name: str) -> bytes:
    """A file that a run was saved with: one of its folder, whatever the record says, for what is read is sent."""
    place = Path(os.path.normpath(folder / name))
    if not place.is_relative_to(folder) or place.resolve() != folder.resolve() / place.relative_to(folder):
        raise NotWhole(f"its file {name} does not lie in the run's own folder")
    try:
        return bytes_of(place)
    except OSError as error:
        raise NotWhole(f"its file {name} cannot be read ({error.strerror})") from error


def _described(run: Any, artifacts: Sequence[Any]) -> Described:
    return Described(
        run.run_id,
        run.job_type,
        run.display_name,
        run.run_group,
        tuple(run.tags),
        {item.key: json.loads(item.value_json) for item in run.config.update if item.key != "_wandb"},
        {artifact.name: artifact.type for artifact in artifacts if artifact.use_after_commit},
        run.notes,
    )


def _values(items: Any) -> dict[str, Any]:
    """Keys and values of a record; a nested key as nested dictionaries."""
    out: dict[str, Any] = {}
    for item in items:
        *above, name = item.nested_key or [item.key]
        place = out
        for key in above:
            place = place.setdefault(key, {})
        place[name] = json.loads(item.value_json)
    return out


def _records(path: Path) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    for _, content in records(path):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # made when it is imported
        try:
            record.ParseFromString(content)
        except Exception as error:  # protobuf's own class of it differs between its implementations
            raise NotWhole(f"a record cannot be read ({type(error).__name__})") from error
        yield record
