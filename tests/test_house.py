"""What a stranger finds beside the code: citation, changelog, hooks, containers. They say what is so."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONTAINERS = ("Dockerfile", "slurm/apptainer.def")


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= said.keys()  # what its schema demands
    assert (said["version"], said["license"]) == (PROJECT["version"], PROJECT["license"])
    (paper,) = said["references"]
    assert paper["identifiers"][0]["value"] == "arXiv:2406.14532"
    assert [one["family-names"] for one in paper["authors"]] == ["Setlur", "Garg", "Geng", "Garg", "Smith", "Kumar"]


def test_the_changelog_keeps_its_form_and_ends_at_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\](?: - \d{4}-\d{2}-\d{2})?$", text, re.MULTILINE)
    assert versions == re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE) and versions[0] == "Unreleased"
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"} and kinds
    tags = subprocess.run(["git", "tag"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {tag.removeprefix("v") for tag in tags} <= set(versions)
    assert PROJECT["version"] in text


def test_a_commit_is_asked_what_make_test_asks_of_style_and_types() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    asked = {hook["entry"].removeprefix(".venv/bin/python -m ") for hook in repository["hooks"]}
    tested = re.findall(r"^\t\$\(PY\) -m (ruff check|ruff format|mypy)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(tested) == {"ruff check", "ruff format", "mypy"} <= asked
    (rest,) = asked - set(tested)
    assert all((ROOT / name).is_file() for name in rest.split()[1:])
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert ("types" in hook) != ("files" in hook)


def test_make_test_looks_at_the_style_of_programs_that_have_no_ending_as_the_hooks_do() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["extend-include"]
    files = [path for path in (ROOT / "slurm").rglob("*") if path.is_file() and not path.suffix]
    python = [path for path in files if path.read_text().startswith("#!/usr/bin/env python3\n")]
    assert sorted(str(path.relative_to(ROOT)) for path in python) == sorted(asked)


def instructions(name: str) -> str:
    """A container's definition without its comments."""
    return re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_copies_what_is_there_and_makes_what_the_makefile_can(name: str) -> None:
    text = instructions(name)
    copied = re.findall(r"^COPY (\S+) \S+$|^%files\n +(\S+) \S+$", text, re.MULTILINE)
    assert [source for pair in copied for source in pair if source] == ["."]
    targets = re.findall(r"make (?:-C \S+ )?((?:clean )?\.venv/\.\w+)", text)
    assert len(targets) == 1
    done = subprocess.run(["make", "-n", "-B", *targets[0].split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "-m pip install -q --require-hashes -r requirements.lock" in done.stdout


def test_both_containers_are_of_one_image_with_a_python_that_the_project_allows() -> None:
    images = {re.search(r"^(?:FROM|From:) (\S+)$", instructions(name), re.MULTILINE)[1] for name in CONTAINERS}  # type: ignore[index]
    (image,) = images
    least = tuple(map(int, re.findall(r"\d+", PROJECT["requires-python"])))
    assert tuple(map(int, re.findall(r"\d+", image))) >= least
    programs = {
        re.findall(r"install -y --no-install-recommends ([a-z ]+) &&", instructions(name))[0] for name in CONTAINERS
    }
    assert programs == {"git make"}  # and nothing that the other has not


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_container_is_given_runs_with_its_python(name: str) -> None:
    comments = "".join(line for line in (ROOT / name).read_text().splitlines(True) if line.startswith("#"))
    modules = set(re.findall(r"(?:rl-on-incorrect|\.sif) -m (\w+)", comments))
    assert modules and all((ROOT / module / "__main__.py").is_file() for module in modules)
    assert "python" in re.findall(r'^ENTRYPOINT \["(\w+)"\]$|exec (\w+) "\$@"', instructions(name), re.MULTILINE)[0]


def test_an_image_is_not_made_of_what_git_ignores() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()}
    left_out = {line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().split()}
    assert ignored == left_out


def test_commands_of_record_run_anywhere() -> None:
    """A path of the machine that ran them would be nobody else's."""
    tables = sorted((ROOT / "analysis/results").rglob("provenance.json"))
    assert len(tables) > 5
    for path in tables:
        for command in json.loads(path.read_text())["commands"]:
            assert not re.search(r"(^|[ =])[/~]", command), f"{path}: {command}"
