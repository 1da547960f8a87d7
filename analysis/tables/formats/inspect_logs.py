"""Inspect: one evaluation a file, .eval (a zip of JSON files) or .json.

A problem is named by its sample's id and a hash of input and target, since ids that Inspect itself gives are 1, 2, 3
of whatever data set; epochs are several attempts at one problem. An evaluation that did not end well is refused.
Source: inspect_ai/log/_log.py and _recorders/eval.py of UKGovernmentBEIS/inspect_ai 0.3.285.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.tables.formats.log import (
    Content,
    Format,
    Log,
    Meaning,
    as_number,
    digest,
    facts_under,
    is_number,
    shown,
    text_of,
    wanted,
)

GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # correct, partial, incorrect, no answer
TRUTH = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
ZSTD = 93
LARGEST = 1 << 30  # bytes of one file inside a log
KEYS = {"version", "status", "eval"}


def _is_zip(content: Content) -> bool:
    return content.path.suffix.lower() == ".eval" and content.magic[:2] == b"PK"


def _is_json(content: Content) -> bool:
    return content.path.suffix.lower() == ".json" and content.document.keys() >= KEYS


def _from_zip(content: Content) -> Log:
    path = content.path
    try:
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.infolist() if one.filename.startswith("samples/")]
            header = next((one for one in archive.infolist() if one.filename == "header.json"), None)
            if header is None:
                raise ValueError(
                    f"{path}: header.json was expected in it and is missing, so the evaluation has not ended; finish "
                    "it with `inspect eval-retry`"
                )
            samples = ((f"{path}, {one.filename}", _member(archive, one, path)) for one in names)
            return _log(_member(archive, header, path), samples, f"{path}")
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: a whole zip was expected ({error}): cut off or damaged; copy it again") from error


def _from_json(content: Content) -> Log:
    path = content.path
    samples = content.document.get("samples")
    if not isinstance(samples, list):
        raise ValueError(f"{path}: 'samples' was expected and is missing: the header alone; give the whole log")
    return _log(content.document, ((f"{path}, sample {n}", one) for n, one in enumerate(samples, 1)), str(path))


def _log(header: Any, samples: Iterator[tuple[str, Any]], path: str) -> Log:
    evaluation = _ended_well(header, path)
    known = facts_under("", {name: evaluation.get(name) for name in ("task", "model")})
    known |= facts_under("task_args", evaluation.get("task_args"))
    known |= facts_under("metadata", evaluation.get("metadata"))
    rows = [_row(place, sample) | known for place, sample in samples]
    results = header.get("results")
    said = results.get("total_samples") if isinstance(results, dict) else None
    if said is not None and said != len(rows):
        raise ValueError(
            f"{path}: {said!s:.20} samples were expected by its results, found {len(rows)}: the log is not whole; "
            "copy it again, or evaluate with all samples logged"
        )
    frame = pd.DataFrame(rows)
    scores: dict[str, Meaning | None] = {}
    for name in frame.columns.difference([*known, *FIXED], sort=False):
        if pd.api.types.is_numeric_dtype(frame[name]):
            scores[name] = "accuracy"
        else:
            _refuse_mixed(frame[name], path)  # only labels: to choose by, and no outcome
    return Log(frame, scores, problem="problem_id")


FIXED = ("problem_id", "sample_id", "epoch")


def _ended_well(header: Any, path: str) -> dict[str, Any]:
    header = header if isinstance(header, dict) else {}
    status = wanted(header, "status", str, path)
    if status != "success" or header.get("invalidated"):
        found = "it was invalidated" if status == "success" else f"found status {shown(status)}"
        raise ValueError(
            f"{path}: an evaluation that ended well was expected, {found}; finish it with `inspect eval-retry`"
        )
    found_eval: dict[str, Any] = wanted(header, "eval", dict, path)
    return found_eval


def _row(place: str, sample: Any) -> dict[str, Any]:
    if not isinstance(sample, dict):
        raise ValueError(f"{place}: a sample was expected, found {shown(sample)}")
    sample_id, epoch = wanted(sample, "id", (int, str), place), wanted(sample, "epoch", int, place)
    content = digest([sample.get("input"), sample.get("target")])
    row: dict[str, Any] = {"problem_id": text_of(f"{sample_id}-{content}"), "sample_id": text_of(sample_id)}
    row["epoch"] = epoch
    scores = sample.get("scores")
    for scorer, score in (scores if isinstance(scores, dict) else {}).items():
        value = score.get("value") if isinstance(score, dict) else score
        several = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else None
        for name, one in [(scorer, value)] if several is None else [(f"{scorer}.{key}", one) for key, one in several]:
            row[text_of(name)] = _graded(one, f"{place}, {text_of(scorer)}")
    return row


def _graded(value: Any, place: str) -> float | str:
    """A score as Inspect's own value_to_float reads it; nan where there is none, and a label as it stands."""
    if isinstance(value, str):
        if value in GRADES or value.lower() in TRUTH:
            return GRADES.get(value, TRUTH.get(value.lower(), math.nan))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        return number if math.isfinite(number) else text_of(value)
    if value is None or is_number(value):
        return math.nan if value is None else as_number(value, place)
    raise ValueError(f"{place}: a grade C, P, I or N, true, false or a number was expected, found {shown(value)}")


def _refuse_mixed(column: pd.Series, path: str) -> None:
    """A scorer grades or it labels; one label among grades is damage, or a grade that is not known here."""
    label = column[[isinstance(one, str) for one in column]].iloc[0]
    if any(isinstance(one, float) for one in column.dropna()):
        raise ValueError(
            f"{path}, {column.name}: a grade C, P, I or N, true, false or a number was expected in every sample, found "
            f"{shown(label)}"
        )


def _member(archive: zipfile.ZipFile, one: zipfile.ZipInfo, path: object) -> Any:
    """The JSON of one file inside; Inspect compresses by Zstandard, which Python's zipfile knows from 3.14 on."""
    place = f"{path}, {one.filename}"
    if one.file_size > LARGEST:
        raise ValueError(f"{place}: at most {LARGEST} bytes were expected, found {one.file_size}")
    try:
        raw = archive.read(one) if one.compress_type != ZSTD else _unpacked(archive, one)
        return json.loads(raw)
    except (ValueError, RecursionError, NotImplementedError, OSError, zlib.error, struct.error, RuntimeError) as error:
        raise ValueError(f"{place}: it cannot be read ({error}): damaged; copy the log again") from error


def _unpacked(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> bytes:
    stream = archive.fp
    if stream is None:
        raise OSError("the archive is closed")
    stream.seek(one.header_offset)
    name, extra = struct.unpack("<26x2H", stream.read(30))
    stream.seek(one.header_offset + 30 + name + extra)
    packed = pa.BufferReader(stream.read(one.compress_size))
    with pa.CompressedInputStream(packed, "zstd") as unpacked:
        raw: bytes = unpacked.read(one.file_size + 1)
    if len(raw) != one.file_size or zlib.crc32(raw) != one.CRC:
        raise OSError("its checksum differs")
    return raw


FORMATS = (
    Format("inspect-eval", "Inspect log (.eval)", _is_zip, _from_zip),
    Format("inspect-json", "Inspect log (.json)", _is_json, _from_json),
)
