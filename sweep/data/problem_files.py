"""Files of problems: JSON lines or Parquet, on this machine or in a data set of a hub at a pinned commit.

data/train.jsonl                                         also .jsonl.gz and .parquet
data/train-*.parquet                                     all that match, in the order of their names
hf://datasets/OWNER/NAME@COMMIT/main/train-*.parquet     the same of a data set on a Hugging Face hub
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.data.jsonl import objects

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
HUB = "hf://"
_OF_HUB = re.compile(r"hf://datasets/(?P<name>(?:[\w.-]+/)?[\w.-]+)@(?P<commit>[0-9a-f]{40})/(?P<files>[^/].*)")

Row = tuple[str, dict[str, Any]]  # where it stands, and its columns


@dataclass(frozen=True)
class Table:
    """The rows of the files that a path names.

    Args:
        content: hexadecimal SHA-256 of what the files hold, unpacked.
    """

    content: str
    rows: list[Row]


def table_of(path: str, dataset: str) -> Table:
    """Read all rows of the files that `path` names.

    Raises:
        ValueError: no such file, one that can't be read or unpacked, of another kind, or with a row that is no object.
    """
    digest, rows = hashlib.sha256(), list[Row]()
    for file in _files(path, dataset):
        content = _bytes(file, dataset)
        digest.update(hashlib.sha256(content).digest())
        rows += _rows(content, str(file), dataset)
    return Table(digest.hexdigest(), rows)


def module_content(function: str, dataset: str) -> str:
    """Hexadecimal SHA-256 of the file that the module of `module:name` is in, which is not run.

    Raises:
        ValueError: no such module, or one without a file of Python.
    """
    import importlib.util

    module, _, name = function.partition(":")
    try:
        found = importlib.util.find_spec(module) if name else None
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise ValueError(
            f"dataset {dataset}: verifier_function={function}: expected MODULE:NAME of a module in Python that can be "
            "imported from here; write it so, and run from its folder or put that on PYTHONPATH"
        )
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


def column(row: Mapping[str, Any], name: str) -> Any:
    """The value of a column; `choices.text` is that of `text` in the object `choices`; None where there is none."""
    value: Any = row
    for part in [name] if name in row else name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _files(path: str, dataset: str) -> list[Path]:
    folder, pattern = _hub_folder(path, dataset) if path.startswith(HUB) else ("", path)
    if not re.search(r"[*?\[]", pattern) or Path(folder, pattern).exists():
        return [Path(folder, pattern)]
    found = sorted(glob.glob(pattern, root_dir=folder or None))
    if not found:
        raise ValueError(f"dataset {dataset}: no file matches {path}; give one that does")
    return [Path(folder, one) for one in found]


def _hub_folder(path: str, dataset: str) -> tuple[str, str]:
    """A folder that holds these files of a hub's data set, fetched once, and their path in it."""
    found = _OF_HUB.fullmatch(path)
    if found is None:
        raise ValueError(
            f"dataset {dataset}: {path}: expected hf://datasets/OWNER/NAME@COMMIT/FILE with the 40 hexadecimal "
            "digits of a commit, because a branch may hold other problems tomorrow"
        )
    try:
        import httpx
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ValueError(f"dataset {dataset}: {path}: {error}; pip install '.[sweep]', or give a file") from None
    try:
        folder = snapshot_download(
            found["name"], repo_type="dataset", revision=found["commit"], allow_patterns=[found["files"]]
        )
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise ValueError(
            f"dataset {dataset}: {path} can't be fetched ({' '.join(str(error).split())[:200]}); plan where the hub "
            "can be reached, or give a file"
        ) from None
    return folder, found["files"]


def _bytes(file: Path, dataset: str) -> bytes:
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"dataset {dataset}: {file} can't be read ({why}); give files that can with "
            "dataset.train_path=FILE and dataset.test_path=FILE"
        ) from None


def _rows(content: bytes, file: str, dataset: str) -> Iterator[Row]:
    if not file.endswith(SUFFIXES):
        raise ValueError(f"dataset {dataset}: {file}: expected a file that ends in one of {', '.join(SUFFIXES)}")
    if not file.endswith(".parquet"):
        yield from ((f"{file}, line {number}", row) for number, row in objects(content, file))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(io.BytesIO(content)).read().to_batches()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"dataset {dataset}: {file} is not a Parquet file that can be read ({str(error)[:100]})"
        ) from None
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield f"{file}, row {number}", row
