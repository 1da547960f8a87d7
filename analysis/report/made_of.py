"""What a report was made of, so that one of the same table, options and code is not made twice.

DIR/made_of.json names the hash of all that decides the report's bytes and of every file that was written. Where both
are still so, the report is what it would become.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.claims.declared import rules_dated
from analysis.options import Options

NAME = "made_of.json"
PROJECT = Path(__file__).parents[2]
CODE = ("analysis/**/*.py", "sweep/arms.py", "sweep/table.py")
LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow", "matplotlib")
READ = ("runs.parquet", "outcomes.parquet", "provenance.json", "verdicts.json")  # of a folder, table or record


def ingredients(path: str | Path, options: Options, others: Mapping[str, str | Path | None]) -> str:
    """Hash of the table, the options, the files beside it (by their role), the analysis' code and its libraries."""
    code = sorted(one for pattern in CODE for one in PROJECT.glob(pattern))
    told: dict[str, Any] = {
        "table": _content(path),
        "name": Path(path).name,
        "options": repr(options),
        "others": {role: [str(one), _content(one)] for role, one in sorted(others.items()) if one},
        "code": [(str(one.relative_to(PROJECT)), _hash(one)) for one in code],
        "libraries": [(name, version(name)) for name in LIBRARIES],
        "rules": str(rules_dated({}).committed),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def note(out: Path, ingredients: str, files: Iterable[Path], prediction: str | None) -> None:
    """Write down what the files in `out` were made of, and the sentence that was printed beside them."""
    written = {one.name: _hash(one) for one in files}
    told = {"ingredients": ingredients, "prediction": prediction, "files": written}
    (out / NAME).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def is_note(path: Path) -> bool:
    """Whether a file of the note's name is one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and {"ingredients", "files"} <= told.keys()


def unchanged(out: Path, ingredients: str) -> dict[str, Any] | None:
    """The note in `out`, where it is of these ingredients and every file is as it was written; else None."""
    try:
        told = json.loads((out / NAME).read_text(encoding="utf-8"))
        is_same = told["ingredients"] == ingredients
        return told if is_same and all(_hash(out / name) == was for name, was in told["files"].items()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _content(path: str | Path) -> Any:
    """Hashes of what is read of a file or folder; None where it is not there, which reading will tell."""
    path = Path(path)
    if path.is_dir():
        return {name: _hash(path / name) for name in READ if (path / name).is_file()}
    return _hash(path) if path.is_file() else None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
