"""Settings of every test, and the one tiny real sweep that tests share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"

from analysis_tables import FALLING, write_sweep
from checkouts import copied
from tiny_sweep import GRID, Sweep, build_all, planned, tiny

from sweep.artifacts import Store


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Six arms at two sizes, built once. Tests read it; whoever changes an artifact takes a copy."""
    store = Store(tmp_path_factory.mktemp("shared") / "store")
    words = tiny(*GRID)
    plan = planned(*GRID)
    build_all(plan, store)
    yield Sweep((*words, f"exec.store={store.root}"), plan, store)


@pytest.fixture
def sweep_copy(sweep: Sweep, tmp_path: Path) -> Sweep:
    """The shared sweep in a store of the test's own."""
    shutil.copytree(sweep.store.root, tmp_path / "store", ignore=shutil.ignore_patterns(".grids"))  # other tests' runs
    words = (*sweep.words[:-1], f"exec.store={tmp_path / 'store'}")
    return Sweep(words, sweep.plan, Store(tmp_path / "store"))


@pytest.fixture(scope="session")
def falling_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collected table of eight arms whose errors fall; tests read it."""
    return write_sweep(tmp_path_factory.mktemp("falling") / "table", FALLING, n_problems=600)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is installed, built once without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copied(folder / "source", "sweep", "analysis", "conf")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "wheel", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "-w", folder, source], check=True)
    (built,) = folder.glob("*.whl")
    return built
