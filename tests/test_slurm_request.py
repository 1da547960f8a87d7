"""What is asked of SLURM for a kind of stage; no SLURM is needed for these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.config import Exec
from sweep.launchers.slurm import request
from sweep.launchers.slurm.queue import _elements
from sweep.launchers.slurm.sbatch import _ranges
from sweep.launchers.slurm.submission import lock

SITE = request.site_settings(request.REPOSITORY / "slurm/site.yaml")


def options(**more: Any) -> dict[str, Any]:
    own = {
        "site": SITE | {"gpu_partition": "a100", "cpu_partition": "cpu", "account": "lab", "constraint": "nvlink"},
        "partition": "site", "account": "site", "qos": "site", "constraint": "site", "gpus_per_node": 1, "mem_gb": 32,
        "timeout_min": 60, "setup": ["site", "ulimit -n 4096"], "additional_parameters": {}, "stages": {},
    }  # fmt: skip
    return own | more


def test_a_stage_without_gpu_holds_none_and_goes_to_the_cpu_partition() -> None:
    chosen = options(stages={"dsyn": {"gpus_per_node": 0}})
    dsyn, train = (request.parameters(chosen, Exec(), kind) for kind in ("dsyn", "train"))
    assert "gpus_per_node" not in dsyn and dsyn["partition"] == "cpu" and "constraint" not in dsyn
    assert train["gpus_per_node"] == 1 and train["partition"] == "a100" and train["constraint"] == "nvlink"
    assert dsyn["account"] == train["account"] == "lab"


def test_no_stage_holds_a_gpu_on_the_cpu_device() -> None:
    assert "gpus_per_node" not in request.parameters(options(), Exec(device="cpu"), "train")


def test_the_command_line_wins_over_the_site_and_the_kind_over_both() -> None:
    chosen = options(partition="h100", stages={"train": {"mem_gb": 80, "partition": "big"}})
    assert request.parameters(chosen, Exec(), "sft")["partition"] == "h100"
    train = request.parameters(chosen, Exec(), "train")
    assert train["partition"] == "big" and train["mem_gb"] == 80


def test_null_unsets_what_the_site_file_says() -> None:
    chosen = options(account=None, constraint=None, partition=None, setup=["module load cuda"])
    found = request.parameters(chosen, Exec(), "train")
    assert not {"account", "constraint", "partition"} & set(found) and found["setup"] == ["module load cuda"]


def test_the_sites_setup_lines_come_where_they_are_asked_for() -> None:
    chosen = options(site=SITE | {"setup": ["module load python"]})
    assert request.parameters(chosen, Exec(), "train")["setup"] == ["module load python", "ulimit -n 4096"]


def test_other_sbatch_options_are_passed_on() -> None:
    chosen = options(nice=100, core_spec=2, additional_parameters={"licenses": "x"})
    extra = request.parameters(chosen, Exec(), "sft")["additional_parameters"]
    assert extra == {"nice": 100, "core-spec": 2, "licenses": "x"}


def test_a_store_that_other_machines_do_not_see_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must lie on a file system that every node sees; it is on \w+ \(mounted at"):
        request.check_shared(tmp_path / "store", "exec.store", {"login", "node1"}, "login")
    request.check_shared(tmp_path / "store", "exec.store", {"login"}, "login")  # all nodes are this machine


def test_a_site_file_with_a_missing_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("scratch: /tmp\n")
    with pytest.raises(ValueError, match=r"expected the keys .*found \['scratch'\]"):
        request.site_settings(tmp_path / "site.yaml")


def test_ranges_of_an_array() -> None:
    assert _ranges([0, 1, 2, 5, 7, 8]) == ["0-2", "5", "7-8"]
    assert _elements("7_[0-2,5%3]") == ["7_0", "7_1", "7_2", "7_5"] and _elements("7_4") == ["7_4"]


def test_a_lock_that_somebody_holds_is_waited_for_and_one_of_the_dead_is_not(sweep_copy) -> None:
    store = sweep_copy.store
    with (
        lock(store),
        pytest.raises(ValueError, match="somebody submits to this store for more than 0 s"),
        lock(store, patience_s=0),
    ):
        pass
    (store.root / ".slurm/lock").write_text('{"host": "another", "pid": 1, "time": 0}')
    with lock(store, patience_s=5):
        pass
    assert not (store.root / ".slurm/lock").exists()
