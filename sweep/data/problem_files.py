"""What data sets of two files have in common: reading them, content of a question, splits with a hold-out.

The validation problems are the `n_validation` training problems with the smallest content hash, so
that they do not depend on the order of the file; the others are the train pool, in file order.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.data.records import Problem
from sweep.data.splits import SPLITS, first_problems


@dataclass(frozen=True)
class Splits:
    """Train, validation and test problems of the data set `dataset`."""

    dataset: str
    by_split: Mapping[str, Sequence[Problem]]

    def first(self, split: str, n_problems: int | None) -> list[Problem]:
        """The first `n_problems` of the split, or all; ValueError beyond what it has, or for another split."""
        if split not in self.by_split:
            raise ValueError(f"dataset {self.dataset}: no split {split!r}; choose one of {', '.join(SPLITS)}")
        return first_problems(self.by_split[split], n_problems, f"dataset {self.dataset}, {split}")


def normalised_question(question: str) -> str:
    """Content of a question: case and blanks do not make another problem."""
    return " ".join(question.lower().split())


def content_hash(question: str) -> str:
    """Hexadecimal SHA-256 of the normalised question."""
    return hashlib.sha256(normalised_question(question).encode()).hexdigest()


def content_of(train: bytes, test: bytes) -> str:
    """Hexadecimal SHA-256 of what both files hold."""
    return hashlib.sha256(hashlib.sha256(train).digest() + hashlib.sha256(test).digest()).hexdigest()


def splits(
    train: Sequence[Problem], test: Sequence[Problem], n_validation: int, train_path: str
) -> dict[str, list[Problem]]:
    """Hold the validation problems out of train; no content may occur twice.

    Raises:
        ValueError: train has fewer problems than are to be held out.
    """
    if n_validation > len(train):
        raise ValueError(
            f"{train_path}: n_validation={n_validation} of {len(train)} problems can't be held out; ask for fewer"
        )
    held_out = set(sorted(content_hash(p.question) for p in train)[:n_validation])
    return {
        "train": [p for p in train if content_hash(p.question) not in held_out],
        "validation": [p for p in train if content_hash(p.question) in held_out],
        "test": list(test),
    }


def file_bytes(path: str, dataset: str, wanted: str) -> bytes:
    """What a file holds, unpacked where its name ends in .gz.

    Args:
        wanted: which files `dataset.train_path` and `dataset.test_path` should name.
    Raises:
        ValueError: the file can't be read or unpacked.
    """
    try:
        content = Path(path).read_bytes()
        return gzip.decompress(content) if path.endswith(".gz") else content
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"dataset {dataset}: {path} can't be read ({why}); give dataset.train_path and dataset.test_path {wanted}"
        ) from None
