"""Which came first, the rules or the runs: read from git's history and the table's provenance."""

import subprocess
from pathlib import Path

import pytest

from analysis.claims.declared import rules_dated
from analysis.claims.rules import holm


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    path = tmp_path / "rules.py"
    committed(path, "import os\n\nMARGIN = 0.01\n", "2026-03-01T12:00:00+00:00")
    return path


def committed(path: Path, text: str, date: str) -> None:
    path.write_text(text)
    dated = {"GIT_COMMITTER_DATE": date, "PATH": "/usr/bin:/bin:/usr/local/bin"}
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "add", "."], cwd=path.parent, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "rules"], cwd=path.parent, check=True, env=dated)


def test_rules_committed_before_the_first_run_are_older(rules: Path) -> None:
    found = rules_dated({"first_run": "2026-03-01T12:00:01+00:00"}, rules)
    assert found.is_older_than_runs
    assert found.sentence().startswith("Rules: sha256 ") and found.sentence().endswith(
        "The rules are older than the runs."
    )


def test_rules_changed_after_the_first_run_are_said_to_be_younger(rules: Path) -> None:
    found = rules_dated({"first_run": "2026-03-01T13:00:00+02:00"}, rules)
    assert found.is_older_than_runs is False
    assert "YOUNGER" in found.sentence()


def test_an_import_that_moves_is_no_other_rule(rules: Path) -> None:
    committed(rules, "from os import path\n\n\nMARGIN = 0.01\n", "2026-03-02T12:00:00+00:00")
    assert rules_dated({"first_run": "2026-03-01T12:00:01+00:00"}, rules).is_older_than_runs


def test_a_rule_that_was_changed_and_changed_back_is_as_young_as_the_change_back(rules: Path) -> None:
    committed(rules, "MARGIN = 0.02\n", "2026-03-02T12:00:00+00:00")
    committed(rules, "MARGIN = 0.01\n", "2026-03-03T12:00:00+00:00")
    found = rules_dated({"first_run": "2026-03-02T13:00:00+00:00"}, rules)
    assert found.is_older_than_runs is False and "since a commit of 2026-03-03 12:00" in found.sentence()


def test_rules_that_are_not_what_was_committed_have_no_date(rules: Path) -> None:
    rules.write_text("MARGIN = 0.02\n")
    found = rules_dated({"first_run": "2026-03-02T12:00:00+00:00"}, rules)
    assert found.is_older_than_runs is None and ", not committed; first run begun 2026-03-02" in found.sentence()


def test_a_folder_without_history_or_a_table_without_dates_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text("x")
    said = rules_dated({}, path).sentence()
    assert (
        "of unknown date (this copy has no git history); first run of unknown date. Which came first is not known"
        in said
    )


def test_an_environment_that_points_git_elsewhere_is_not_believed(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert rules_dated({}, rules).committed is not None


def test_holm_by_hand() -> None:
    # four claims; p of .01, .02, .03, .04 at alpha .05 need .0125, .0167, .025, .05: only the first stands
    assert holm([5, 2, 1, 1]) == [True, False, False, False]
    # p of .005, .011, .02, .04: needs 4, 3, 2, 1 and reaches 10, 4, 2, 1: all stand, in whatever order they come
    assert holm([1, 4, 10, 2]) == [True, True, True, True]
    assert holm([0]) == [False]
    assert holm([]) == []
