"""What is installed: locked files with their hashes, and a wheel that runs from any folder."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import hydra
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name: str) -> dict[str, str]:
    """Package to the rest of its requirement, hashes included."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {line.split("==")[0].lower(): line.split("==")[1] for line in lines}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_one_version_and_hashes_of_its_files(name: str) -> None:
    assert locked(name)
    for package, rest in locked(name).items():
        assert re.fullmatch(r"\S+( ;[^#]*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", rest), package


def test_what_the_project_names_is_locked_and_torch_is_not() -> None:
    both = {**locked("requirements.lock"), **locked("requirements-dev.lock")}
    named = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    packages = {re.split(r"[=<>~!\[; ]", one)[0].lower() for one in named}
    assert packages - set(both) == {"torch"}
    makefile = (ROOT / "Makefile").read_text()
    assert "torch==2.13.0" in PROJECT["dependencies"] and "install -q torch==2.13.0" in makefile
    assert all("--require-hashes" in line for line in makefile.splitlines() if "install -q" in line and ".lock" in line)


def test_each_prerelease_is_named_with_its_reason() -> None:
    head = "".join(line for line in (ROOT / "requirements.lock").read_text().splitlines(True) if line.startswith("#"))
    early = [name for name, rest in locked("requirements.lock").items() if re.match(r"[\d.]+(a|b|rc)\d", rest)]
    assert early
    assert all(name.split("-")[0] in head for name in early)


@pytest.mark.slow
def test_the_wheel_runs_from_an_empty_folder(tmp_path: Path) -> None:
    source, site, empty = tmp_path / "source", tmp_path / "site", tmp_path / "empty"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        if name.split("/")[0] in ("sweep", "analysis", "conf") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", site, wheel], check=True)
    empty.mkdir()
    shared = Path(hydra.__file__).parents[1]
    path = os.pathsep.join([str(site), str(shared)])

    def said(*words: str) -> str:
        line = [sys.executable, "-S", "-P", "-m", *words]  # without this checkout's own paths
        env = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(line, cwd=empty, env=env, capture_output=True, text=True, check=True).stdout

    assert "experiment: map, positives" in said("sweep", "--help")
    assert "22 runs = " in said("sweep", "plan", "-m", "experiment=smoke")
    assert said("analysis", "published")
    assert list(empty.iterdir()) == []
    ours, theirs = ({p.relative_to(top) for p in top.rglob("*.*")} for top in (ROOT / "conf", site / "sweep/conf"))
    assert ours == theirs
