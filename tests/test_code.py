"""Which code runs: the commit and what differs from it, told by content and by git alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.launchers import code
from sweep.launchers.code import PACKAGE, changed_packages, git_state, links, packages, sources


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@x")
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *who, "-C", folder, *words], env=own, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with sweep/ and conf/, committed."""
    root = tmp_path / "checkout"
    for name in ("sweep/__init__.py", "sweep/methods/dpo.py", "conf/config.yaml", "README.md"):
        write(root / name, f"# {name}\n")
    write(root / ".gitignore", "*.log\nignored_*.py\n")
    git(root.parent, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def test_a_committed_checkout_is_clean(checkout: Path) -> None:
    write(checkout / "README.md", "not what a run reads\n")
    found = git_state(checkout)
    assert found == {"commit": git(checkout, "rev-parse", "HEAD"), "is_dirty": False, "diff": ""}


def remove(path: Path) -> None:
    path.unlink()


def hide(path: Path) -> None:
    git(path.parents[2], "update-index", "--assume-unchanged", "sweep/methods/dpo.py")
    path.write_text("hidden = 1\n")


def stage(path: Path) -> None:
    write(path, "staged = 1\n")
    git(path.parents[2], "add", ".")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sweep/methods/new.py", lambda path: write(path, "new = 1\n")),
        ("conf/method/new.yaml", lambda path: write(path, "name: new\n")),
        ("sweep/methods/dpo.py", lambda path: write(path, "changed = 1\n")),
        ("sweep/methods/dpo.py", remove),
        ("sweep/methods/dpo.py", hide),
        ("sweep/methods/staged.py", stage),
        ("sweep/methods/a b\tc.py", lambda path: write(path, "odd = 1\n")),
        ("sweep/methods/latin.py", lambda path: path.write_bytes(b"# \xe9\n")),
    ],
)
def test_any_difference_of_the_sources_is_dirty_and_named(
    checkout: Path, name: str, change: Callable[[Path], None]
) -> None:
    change(checkout / name)
    found = git_state(checkout)
    assert found["is_dirty"] is True and f"{name} " in found["diff"].splitlines()[-1]


def test_names_and_sources_in_any_encoding_are_hashed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "sweep/methods/dpo.py").write_bytes(b"# caf\xe9\n")
    (checkout / os.fsdecode(b"sweep/methods/n\xff.py")).write_text("x = 1\n")
    write(checkout / "sweep/methods/two\nlines.py", "x = 1\n")
    monkeypatch.setattr(code, "PACKAGE", checkout / "sweep")
    code.git.cache_clear()
    try:
        found = code.git()
    finally:
        code.git.cache_clear()
    assert found["commit"] == git(checkout, "rev-parse", "HEAD") and len(found["diff_sha256"]) == 16


def test_another_content_of_an_untracked_file_is_another_difference(checkout: Path) -> None:
    write(checkout / "sweep/methods/new.py", "lr = 1\n")
    first = git_state(checkout)["diff"]
    write(checkout / "sweep/methods/new.py", "lr = 2\n")
    assert git_state(checkout)["diff"] != first


@pytest.mark.parametrize(
    "name", ["sweep/run.log", "sweep/ignored_try.py", "sweep/.env", "sweep/notes.txt", "outputs/x.py"]
)
def test_what_no_run_reads_is_no_difference(checkout: Path, name: str) -> None:
    write(checkout / name, "x\n")
    assert git_state(checkout)["is_dirty"] is False


def test_the_environments_repository_is_not_believed(checkout: Path, tmp_path: Path, monkeypatch: Any) -> None:
    git(tmp_path, "init", "-q", "other")
    expected = git_state(checkout)
    for name, value in {
        "GIT_DIR": tmp_path / "other/.git", "GIT_WORK_TREE": tmp_path / "other", "GIT_INDEX_FILE": tmp_path / "index",
        "GIT_OBJECT_DIRECTORY": tmp_path, "GIT_EXTERNAL_DIFF": "false", "GIT_CEILING_DIRECTORIES": checkout,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    assert git_state(checkout) == expected and expected["commit"]


def test_a_checkout_without_git_says_why(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(checkout / ".git")
    found = git_state(checkout)
    assert found["commit"] is None and found["is_dirty"] is None and "not a git repository" in found["reason"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(checkout)["reason"] == "git is not installed"


def test_a_repository_without_a_commit_says_why(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "new")
    assert "rev-parse" in git_state(tmp_path / "new")["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_a_checkout_of_another_user_says_why(checkout: Path) -> None:
    os.chown(checkout, 12345, 12345)
    os.chown(checkout / ".git", 12345, 12345)
    assert "dubious ownership" in git_state(checkout)["reason"]


def test_a_package_installed_inside_another_repository_is_none_of_its_commits(checkout: Path) -> None:
    site = checkout / ".venv/site-packages"
    write(site / "sweep/__init__.py", "")
    write(site / "sweep/methods/dpo.py", "")
    assert "does not hold sweep/" in git_state(site)["reason"]
    assert [path.name for path in sources(site)] == ["__init__.py", "dpo.py"]


def test_sources_are_what_git_tracks_and_what_can_be_imported_or_composed(checkout: Path, tmp_path: Path) -> None:
    for name in (
        "sweep/.env", "sweep/run.log", "sweep/key.pem", "sweep/.hidden/x.py", "sweep/ignored_try.py", "outputs/x.py",
        "sweep/methods/new.py", "sweep/__pycache__/x.py", "conf/new.yaml", "elsewhere/secret.py",
    ):  # fmt: skip
        write(checkout / name, "")
    (checkout / "sweep/link.py").symlink_to(checkout / "elsewhere/secret.py")
    (checkout / "sweep/folder").symlink_to(checkout / "elsewhere")
    git(checkout, "add", "-f", "sweep/.env", "sweep/link.py")
    found = [path.relative_to(checkout).as_posix() for path in sources(checkout)]
    expected = [
        "conf/config.yaml", "conf/new.yaml", "sweep/__init__.py", "sweep/methods/dpo.py", "sweep/methods/new.py",
    ]  # fmt: skip
    assert found == expected
    assert links(checkout) == [checkout / "sweep/link.py"]
    shutil.rmtree(checkout / ".git")
    assert [p for p in sources(checkout) if "ignored" not in p.name] == [checkout / name for name in expected]


def test_an_editors_lock_beside_the_sources_is_no_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "sweep", ignore=shutil.ignore_patterns("__pycache__"))
    before = code.code.__wrapped__()
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "sweep")
    (tmp_path / "sweep/methods/.#dpo.py").symlink_to("nobody@nowhere.1")
    assert code.code.__wrapped__() == before
    (tmp_path / "sweep/methods/new.py").write_text("new = 1\n")
    assert code.code.__wrapped__() != before


def test_packages_that_differ_are_named_with_both_versions() -> None:
    before = {**packages(), "torch": "1.0", "gone": "2.0"}
    del before["pytest"]
    assert changed_packages(before) == {
        "gone": "2.0 at submission, absent in the job",
        "pytest": f"absent at submission, {packages()['pytest']} in the job",
        "torch": f"1.0 at submission, {packages()['torch']} in the job",
    }
    assert changed_packages(packages()) == {}
