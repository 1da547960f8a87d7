"""Data sets in words for tests: rows written to files and opened with the settings of a file of conf/dataset/."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import yaml

from sweep.data import domain
from sweep.data.natural_text import NaturalText

CONF = Path(__file__).parents[1] / "conf" / "dataset"


def dials_of(name: str) -> dict[str, Any]:
    """The dials of conf/dataset/NAME.yaml, those of problems.yaml below them."""
    both = [yaml.safe_load((CONF / f"{one}.yaml").read_text()) for one in ("problems", name)]
    merged = {**both[0], **both[1]}
    return {key: value for key, value in merged.items() if key != "defaults"}


def written(path: Path, rows: list[Any]) -> str:
    """JSON lines of the rows; texts and bytes are written as they are."""
    texts = [row if isinstance(row, (str, bytes)) else json.dumps(row) for row in rows]
    content = b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def opened(
    of: str, folder: Path, train: list[Any], test: list[Any] | None = None, ending: str = "jsonl", **dials: Any
) -> NaturalText:
    """The data set `of` with these rows as its files, nothing held out or left out unless the dials say so."""
    paths = {"train_path": written(folder / f"train.{ending}", train)}
    if test is not None:
        paths["test_path"] = written(folder / f"test.{ending}", test)
    result = domain({**dials_of(of), "n_validation": 0, "most_left_out": 0, **paths, **dials})
    assert isinstance(result, NaturalText)
    return result


def is_right(data: NaturalText, text: str, problem: Any) -> bool:
    return data.verdicts([text], [problem]).is_correct[0]
