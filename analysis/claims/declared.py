"""When the rules were declared, and when the first run was made that they judge: read from history, not typed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.claims import rules

RULES = Path(rules.__file__)


@dataclass(frozen=True)
class Declared:
    """The rules' file and the two dates.

    Args:
        sha256: of analysis/claims/rules.py as it judged, and of which arms it sets against which.
        committed: date of the commit since which the file says what it says, imports aside, which say no rule; None
            outside a checkout, or where it differs from what is committed.
        first_run: start of the earliest stage in the table's provenance; None in a table that does not say.
        has_history: whether git knows the file; not where the package was installed or copied without it.
    """

    sha256: str
    committed: datetime | None
    first_run: datetime | None
    has_history: bool = True

    @property
    def is_older_than_runs(self) -> bool | None:
        """Whether the rules were committed before the first run; None where a date is missing."""
        if self.committed is None or self.first_run is None:
            return None
        return self.committed < self.first_run

    def sentence(self) -> str:
        """For a report."""
        undated = "not committed" if self.has_history else "of unknown date (this copy has no git history)"
        rules_date = f"in force since a commit of {self.committed:%Y-%m-%d %H:%M %z}" if self.committed else undated
        run_date = f"begun {self.first_run:%Y-%m-%d %H:%M %z}" if self.first_run else "of unknown date"
        order = {
            True: "The rules are older than the runs.",
            False: "The rules are YOUNGER than the runs: see the list of what changed after results were seen.",
            None: "Which came first is not known.",
        }[self.is_older_than_runs]
        return f"Rules: sha256 {self.sha256[:16]}, {rules_date}; first run {run_date}. {order}"


def rules_dated(provenance: Mapping[str, Any], path: Path = RULES) -> Declared:
    """Hash and dates of the rules in `path`, beside the first run that a table's provenance names.

    Args:
        provenance: of a table that `python -m sweep collect` wrote; `first_run` is an ISO date with its zone.
    """
    first = provenance.get("first_run")
    begun = datetime.fromisoformat(first) if first else None
    pairs = repr((rules.WORTH, tuple(rules.PAIRS), rules.MORE_POSITIVES)).encode()
    is_known = _said(path, "ls-files", "--error-unmatch") is not None
    return Declared(hashlib.sha256(path.read_bytes() + pairs).hexdigest(), _committed(path), begun, is_known)


def _committed(path: Path) -> datetime | None:
    if _said(path, "status", "--porcelain") != "":
        return None
    now, since = _rules_in(path.read_text(encoding="utf-8")), None
    for line in (_said(path, "log", "--format=%H %cI") or "").splitlines():
        commit, date = line.split()
        if _rules_in(_git(path, "show", f"{commit}:./{path.name}") or "") != now:
            break
        since = date
    return datetime.fromisoformat(since) if since else None


def _rules_in(code: str) -> str:
    """All that the file says and does but its imports and how it is laid out; the text itself where it is no Python."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return code
    return "\n".join(ast.dump(one) for one in body if not isinstance(one, ast.Import | ast.ImportFrom))


def _said(path: Path, *words: str) -> str | None:
    """What git says of the file; None where it is absent or refuses."""
    said = _git(path, *words, "--", path.name)
    return said if said is None else said.strip()


def _git(path: Path, *words: str) -> str | None:
    from sweep.table import GitRefuses, git_said

    try:
        return git_said(path.parent, *words)
    except GitRefuses:
        return None
