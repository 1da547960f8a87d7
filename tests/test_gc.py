"""Collecting artifacts that no experiment reaches."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from tiny_sweep import Sweep, planned

from sweep.commands.gc import gc_command, unreached


def test_what_a_plan_reaches_is_kept(sweep_copy: Sweep) -> None:
    smaller = planned("arm=sft", "n_problems=8")
    lost = unreached(sweep_copy.store, [smaller])
    assert set(lost) == set(sweep_copy.plan.stages) - set(smaller.stages)
    assert unreached(sweep_copy.store, [sweep_copy.plan]) == []


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/one.yaml").touch()
    return tmp_path / "conf"


def test_a_dry_run_removes_nothing_and_delete_does(sweep_copy: Sweep, conf: Path, capsys) -> None:
    smaller = planned("arm=sft", "n_problems=8")
    n_all = len(sweep_copy.store.built())
    where = f"exec.store={sweep_copy.store.root}"
    gc_command([where], lambda overrides: smaller, conf)
    assert len(sweep_copy.store.built()) == n_all and "dry run" in capsys.readouterr().out
    gc_command(["--delete", where], lambda overrides: smaller, conf)
    assert set(sweep_copy.store.built()) == set(smaller.stages)


def test_an_experiment_that_cannot_be_composed_keeps_everything(sweep_copy: Sweep, conf: Path) -> None:
    def composed(overrides: list[str]):
        raise ValueError("model.revision has no value")

    n_all, where = len(sweep_copy.store.built()), f"exec.store={sweep_copy.store.root}"
    with pytest.raises(ValueError, match="nothing was deleted: one cannot be composed here") as refusal:
        gc_command(["--delete", where], composed, conf)
    assert len(sweep_copy.store.built()) == n_all
    commands = [shlex.split(line) for line in str(refusal.value).splitlines() if line.startswith("  python")]
    said = ["python", "-m", "sweep", "gc", "--delete", where]
    assert commands == [[*said, "--without", "one"], [*said, "--keep", "experiment=one SETTING=VALUE"]]
    shutil.rmtree(sweep_copy.store.folder(sweep_copy.store.built()[0]))
    gc_command(["--delete", "--without", "one", where], composed, conf)
    assert sweep_copy.store.built() == []


def test_a_grid_that_says_what_an_experiment_lacks_stands_for_it(sweep_copy: Sweep, conf: Path) -> None:
    def composed(overrides: list[str]):
        if overrides == ["experiment=one", "model.revision=abc"]:
            return planned("arm=sft", "n_problems=8")
        raise ValueError("model.revision has no value")

    words = ["--delete", "--keep", "experiment=one model.revision=abc", f"exec.store={sweep_copy.store.root}"]
    gc_command(words, composed, conf)
    assert set(sweep_copy.store.built()) == set(planned("arm=sft", "n_problems=8").stages)


def test_a_wrong_word_is_refused(conf: Path) -> None:
    with pytest.raises(ValueError, match=r"--without two: no such experiment; there are one"):
        gc_command(["--without", "two"], lambda overrides: planned(), conf)
    with pytest.raises(ValueError, match="usage"):
        gc_command(["surplus"], lambda overrides: planned(), conf)
