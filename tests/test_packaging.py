"""What is installed: locked files with their hashes, and a wheel that runs from any folder."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import hydra
import omegaconf
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from analysis.__main__ import RUNS
from sweep.config import MISSING
from sweep.installed import BUILDING, EXTRA, PLANS, TABLES, refused

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, BUILD = DECLARED["project"], DECLARED["build-system"]


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


def both_locks() -> dict[str, str]:
    return {**locked("requirements.lock"), **locked("requirements-dev.lock")}


def packages(*groups: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for by itself and under these extras."""
    named = [*PROJECT["dependencies"], *(one for group in groups for one in PROJECT["optional-dependencies"][group])]
    return {canonicalize_name(one.name): one for one in map(Requirement, named)}


def test_what_the_project_names_is_locked_and_torch_is_not() -> None:
    assert packages("sweep", "dev").keys() - set(both_locks()) == {"torch"}
    makefile = (ROOT / "Makefile").read_text()
    assert "torch==2.13.0" in PROJECT["optional-dependencies"]["sweep"] and "install -q torch==2.13.0" in makefile
    assert all("--require-hashes" in line for line in makefile.splitlines() if "install -q" in line and ".lock" in line)


GPU = ("nvidia", "cuda", "triton")  # what torch brings along for one is of its build, as torch itself


def closure(*groups: str) -> set[str]:
    """Every package that pyproject.toml needs with these extras, by what is installed; each as it is locked.

    Raises:
        AssertionError: a version is locked that somebody does not take.
    """
    versions = {name: rest.split()[0] for name, rest in both_locks().items()}
    left = [("pyproject.toml", one) for one in packages(*groups).values()]
    left += [("its build", Requirement(line)) for line in BUILD["requires"]]
    seen: set[tuple[str, ...]] = set()
    while left:
        by, asked = left.pop()
        name = canonicalize_name(asked.name)
        if name in versions:
            assert asked.specifier.contains(versions[name], prereleases=True), f"{by}: {asked}, locked {versions[name]}"
        if name.startswith(GPU) or (name, *sorted(asked.extras)) in seen:
            continue
        seen.add((name, *sorted(asked.extras)))
        for line in metadata.requires(name) or ():
            one = Requirement(line)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (*asked.extras, "")):
                left.append((name, one))
    return {name for name, *_ in seen}


@pytest.mark.skipif(
    sys.platform != "linux", reason="which packages are needed is asked of those that are installed here"
)
def test_the_locks_hold_what_pyproject_asks_for_and_nothing_else() -> None:
    """Without a network; `make lock` puts it right."""
    assert set(locked("requirements.lock")) == closure("sweep") - {"torch"}
    assert set(both_locks()) == closure("sweep", "dev") - {"torch"}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_uv_reads_the_locks_too(name: str) -> None:
    # `make test` has installed them all, so that uv needs no network to say that nothing is to be done
    python = str(Path(hydra.__file__).parents[4] / "bin" / "python")
    options = ["--offline", "--dry-run", "--no-deps", "--require-hashes", "--python", python, "-r", name]
    uv = [find_uv_bin(), "pip", "install", *options]
    done = subprocess.run(uv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Checked {len(locked(name))} packages" in done.stderr and "Would make no changes" in done.stderr


def test_no_file_names_the_host_of_a_package_registry() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml", "Dockerfile", "slurm/apptainer.def"):
        assert re.findall(r"https?://\S*(?:simple|packages|index)\S*", (ROOT / name).read_text()) == [], name


def test_each_prerelease_is_named_with_its_reason() -> None:
    head = "".join(line for line in (ROOT / "requirements.lock").read_text().splitlines(True) if line.startswith("#"))
    early = [name for name, rest in locked("requirements.lock").items() if re.match(r"[\d.]+(a|b|rc)\d", rest)]
    assert early
    assert all(name.split("-")[0] in head for name in early)


WITHOUT = (
    "torch",
    "transformers",
    "accelerate",
    "submitit",
    "rapidfuzz",
    "math_verify",
    "wandb",
    "trackio",
    "tokenizers",
)
HIDES = """
import os, sys
class Rest:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in os.environ["WITHOUT"].split(",")
        return None if hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Rest, sys.meta_path)
"""
EVERY_COMMAND = """
import contextlib, io, json, sys
from analysis.__main__ import main
said = {}
for line in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line.split())
    said[line] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(said))
"""


class Installed:
    """The wheel in an environment of its own, which shares the packages of this one and has no network."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.empty, environment = folder / "empty", folder / "environment"
        self.empty.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        (self.site,) = environment.glob("lib/python3.*/site-packages")
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", self.site, wheel], check=True)
        (self.site / "a.pth").write_text(f"{Path(hydra.__file__).parents[1]}\n")  # not that folder's own .pth files
        (self.site / "b.pth").write_text("import hides\n")
        (self.site / "hides.py").write_text(HIDES)
        self.python = environment / "bin" / "python"

    def run(self, *words: str, without: Sequence[str] = WITHOUT, given: str = "") -> subprocess.CompletedProcess[str]:
        """A command from the empty folder, as if these packages were not there."""
        env = {**os.environ, "WITHOUT": ",".join(without), "MPLCONFIGDIR": str(self.site / "matplotlib")}
        return subprocess.run(
            [self.python, *words], cwd=self.empty, env=env, input=given, capture_output=True, text=True, check=False
        )

    def said(self, *words: str) -> str:
        done = self.run("-m", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def tables(folder: Path) -> None:
    """A user's two tables: counts of two arms with two seeds, and the losses of a grid of models."""
    rows = [
        (arm, n, seed, 1000 - round(1000 * (0.8 * (gain * n / 100) ** -0.4)) + 3 * seed, 1000)
        for arm, gain in (("SFT", 1.0), ("RFT", 2.0))
        for n in (100, 200, 400, 800, 1600)
        for seed in (0, 1)
    ]
    pd.DataFrame(rows, columns=["arm", "n_problems", "seed", "n_correct", "n_test"]).to_csv(
        folder / "t.csv", index=False
    )
    grid = [(n, d, 1.7 + 400 * n**-0.34 + 400 * d**-0.28) for n in (1e7, 3e7, 1e8, 3e8) for d in (1e9, 3e9, 1e10)]
    pd.DataFrame(grid, columns=["n_params", "n_tokens", "loss"]).to_csv(folder / "losses.csv", index=False)


def test_the_wheel_has_every_file_of_conf_and_the_published_tables(installed: Installed) -> None:
    ours, theirs = (
        {p.relative_to(top) for p in top.rglob("*.*")} for top in (ROOT / "conf", installed.site / "sweep/conf")
    )
    assert ours == theirs
    published = {path.name for path in (ROOT / "analysis/published").glob("*.csv")}
    assert published == {path.name for path in (installed.site / "analysis/published").glob("*.csv")}


def test_the_wheel_plans_from_an_empty_folder_without_torch(installed: Installed) -> None:
    assert "experiment: " in installed.said("sweep", "--help")
    assert "22 runs = " in installed.said("sweep", "plan", "-m", "experiment=smoke")
    assert list(installed.empty.iterdir()) == []


def test_the_wheel_watches_a_sweep_without_torch(installed: Installed, tmp_path: Path) -> None:
    words = ("watch", "-m", "experiment=smoke", "--once", "--out", str(tmp_path / "page"))
    assert "22 waiting" in installed.said("sweep", *words)
    assert "<style>:root" in (tmp_path / "page/index.html").read_text()  # what is no Python of it was installed too


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-m experiment=smoke", f" stages needs {', '.join(BUILDING)}, which"),
        ("-m experiment=smoke hydra/launcher=slurm", "submitting stages needs torch, transformers"),
        ("collect --from wandb a/b", "python -m sweep collect needs wandb"),
    ],
)  # fmt: skip
def test_what_needs_a_package_that_is_not_there_says_so_before_any_work(
    installed: Installed, words: str, why: str
) -> None:
    done = installed.run("-m", "sweep", *words.split())
    assert done.returncode == 2, done.stderr
    assert why in done.stderr and "pip install '.[sweep]'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_command_of_the_analysis_runs_without_torch_and_without_hydra(installed: Installed) -> None:
    tables(installed.empty)
    few = "--law power --draws 100"
    ours = ROOT / "analysis" / "results" / "free_order_one_base"
    lines = [
        f"fit t.csv {few}",
        "fit losses.csv --law chinchilla --draws 20",
        f"multiplier t.csv {few}",
        f"multiplier {ours} --of RFT --at-size 2048 --law saturating --draws 100",  # a table that a sweep collected
        f"design t.csv {few}",
        "validate t.csv --of SFT --draws 100",
        f"report t.csv --out report {few}",
        "figures --only theorem --out figures",
        f"compare {ours} {ours} --a arm=SFT --b arm=RFT --where n_problems=2048",
        f"map {ours} --of RFT --out map --law saturating --draws 100",
        "published --draws 100",
    ]
    assert {line.split()[0] for line in lines} == set(RUNS)
    done = installed.run("-c", EVERY_COMMAND, without=(*WITHOUT, "hydra", "omegaconf", "yaml"), given=json.dumps(lines))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {line: err for line, (code, _, err) in said.items() if code != 0} == {}
    assert "RFT" in said[lines[2]][1]
    page = (installed.empty / "report" / "index.html").read_text(encoding="utf-8")
    assert "of unknown date (this copy has no git history)" in page


def test_only_packages_of_the_extra_are_told_as_such() -> None:
    told = refused(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), "python -m sweep run")
    assert told is not None and re.match("python -m sweep run needs torch, which", str(told))
    assert refused(ModuleNotFoundError("No module named 'x'", name="x"), "python -m sweep run") is None
    extra = map(Requirement, PROJECT["optional-dependencies"]["sweep"])
    assert set(EXTRA) == {one.name.replace("-", "_") for one in extra}


@pytest.mark.parametrize(("command", "names"), [("sweep", PLANS), ("analysis", TABLES)])
def test_a_python_in_which_nothing_is_installed_is_said_in_one_sentence(command: str, names: tuple[str, ...]) -> None:
    words = [sys.executable, "-S", "-m", command, "--help"]  # -S: none of the packages, as in a checkout just cloned
    done = subprocess.run(words, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"python -m {command} needs {', '.join(names)}, which this Python (")
    assert ".venv/bin/activate" in done.stderr and "pip install ." in done.stderr


def test_what_every_command_needs_is_what_pyproject_asks_for_always() -> None:
    assert {name.replace("hydra", "hydra-core") for name in PLANS} == set(packages())


def test_a_value_that_is_missing_is_omegaconfs_own() -> None:
    assert MISSING == omegaconf.MISSING
