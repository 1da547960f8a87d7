"""What is asked of SLURM for a kind of stage; no SLURM is needed for these."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import put_on_path

from sweep.config import Exec, Limits
from sweep.launchers.slurm import queue, request
from sweep.launchers.slurm.queue import Cluster, SlurmError, _elements, minutes
from sweep.launchers.slurm.sbatch import _ranges
from sweep.launchers.slurm.settings import REPOSITORY, site_settings
from sweep.launchers.slurm.submission import lock

SITE = site_settings(REPOSITORY / "slurm/site.yaml")


def options(**more: Any) -> dict[str, Any]:
    own = {
        "site": SITE | {"gpu_partition": "a100", "cpu_partition": "cpu", "account": "lab", "constraint": "nvlink"},
        "partition": "site", "account": "site", "qos": "site", "constraint": "site", "gpus_per_node": 1, "mem_gb": 32,
        "timeout_min": 60, "setup": ["site", "ulimit -n 4096"], "additional_parameters": {}, "stages": {},
    }  # fmt: skip
    return own | more


def test_a_stages_limit_is_its_jobs_time_with_room_to_start_and_to_write_a_checkpoint() -> None:
    exec, chosen = Exec(limits_minutes=Limits(train=10)), options(signal_delay_s=60)
    minutes_of = {n: request.parameters(chosen, exec, "train", n)["timeout_min"] for n in (1, 2, 9)}
    assert minutes_of == {1: 13, 2: 23, 9: 60}  # 10 a stage, 1 for the checkpoint, 2 to start; timeout_min is 60
    assert request.parameters(chosen, exec, "sft")["timeout_min"] == 60
    assert request.parameters(chosen, exec, None)["timeout_min"] == 30


def test_a_stage_without_gpu_holds_none_and_goes_to_the_cpu_partition() -> None:
    chosen = options(stages={"dsyn": {"gpus_per_node": 0}})
    dsyn, train = (request.parameters(chosen, Exec(), kind) for kind in ("dsyn", "train"))
    assert "gpus_per_node" not in dsyn and dsyn["partition"] == "cpu" and "constraint" not in dsyn
    assert train["gpus_per_node"] == 1 and train["partition"] == "a100" and train["constraint"] == "nvlink"
    assert dsyn["account"] == train["account"] == "lab"


def test_no_stage_holds_a_gpu_on_the_cpu_device() -> None:
    assert "gpus_per_node" not in request.parameters(options(), Exec(device="cpu"), "train")


def test_a_training_shared_by_processes_asks_for_as_many_gpus_and_no_other_stage_does() -> None:
    exec = Exec(n_processes=4)
    asked = {k: request.parameters(options(), exec, k).get("gpus_per_node") for k in ("sft", "train", "evaluate", None)}
    assert asked == {"sft": 4, "train": 4, "evaluate": 1, None: None}
    assert request.parameters(options(gpus_per_node="a100:1"), exec, "train")["gpus_per_node"] == "a100:4"
    assert request.parameters(options(gpus_per_node=8), exec, "train")["gpus_per_node"] == 8
    assert "gpus_per_node" not in request.parameters(options(), Exec(n_processes=4, device="cpu"), "train")


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


def test_false_and_null_leave_an_sbatch_option_out() -> None:
    chosen = options(hold=False, reservation=None, additional_parameters={"contiguous": False, "nice": 0})
    assert request.parameters(chosen, Exec(), "sft")["additional_parameters"] == {"nice": 0}


def test_a_kind_adds_to_the_sbatch_options_of_all() -> None:
    chosen = options(additional_parameters={"nice": 1}, stages={"train": {"additional_parameters": {"licenses": "x"}}})
    assert request.parameters(chosen, Exec(), "train")["additional_parameters"] == {"nice": 1, "licenses": "x"}


def test_minutes_per_job_hold_by_kind_too(sweep) -> None:
    manifests = [sweep.store.manifest(key) for key in sweep.plan.stages]
    kinds = {"train": {"minutes_per_job": 1000}, "sft": {"stages_per_job": 3}}
    chosen = options(minutes_per_job=None, stages_per_job=2, stages=kinds)
    packs = request.stages_per_job(chosen, sweep.plan, sweep.plan.stages, manifests)
    assert packs["train"] > 1000 and packs["sft"] == 3 and packs["evaluate"] == 2


def test_the_job_that_submits_asks_for_no_more_time_than_the_others() -> None:
    assert request.parameters(options(timeout_min=5), Exec(), None)["timeout_min"] == 5
    assert request.parameters(options(timeout_min=500), Exec(), None)["timeout_min"] == 30


def test_a_store_that_other_machines_do_not_see_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must lie on a file system that every node sees; it is on \w+ \(mounted at"):
        request.check_shared(tmp_path / "store", "exec.store", {"login", "node1"}, "login")
    request.check_shared(tmp_path / "store", "exec.store", {"login"}, "login")  # all nodes are this machine


def test_ranges_of_an_array() -> None:
    assert _ranges([0, 1, 2, 5, 7, 8]) == ["0-2", "5", "7-8"]
    assert _elements("7_[0-2,5%3]") == ["7_0", "7_1", "7_2", "7_5"] and _elements("7_4") == ["7_4"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_an_element_that_has_a_row_of_its_own_in_the_accounting_ended_as_that_one_says(
    order: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["7_[0-5]|CANCELLED|0:0|None assigned", "7_0|COMPLETED|0:0|n1", "7_2|FAILED|1:0|n2"]
    put_on_path(tmp_path / "bin", monkeypatch, {"sacct": f"printf '%s\\n' {shlex.join(rows[n] for n in order)}"})
    found = {job: how[0] for job, how in queue.accounted(["7"]).items()}
    assert [found[f"7_{n}"] for n in range(4)] == ["COMPLETED", "CANCELLED", "FAILED", "CANCELLED"]


def test_a_lock_that_somebody_holds_is_waited_for_and_one_of_the_dead_is_not(sweep_copy) -> None:
    store = sweep_copy.store
    with (
        lock(store),
        pytest.raises(ValueError, match="somebody submits to this store for more than 0 s"),
        lock(store, patience_s=0),
    ):
        pass
    (store.root / ".slurm/lock").write_text("pid 1 of another on another")  # whoever wrote that holds it no more
    with lock(store, patience_s=0):
        assert f"pid {os.getpid()} of " in (store.root / ".slurm/lock").read_text()


def test_a_lock_that_is_a_link_is_not_followed(sweep_copy, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (sweep_copy.store.root / ".slurm").mkdir()
    (sweep_copy.store.root / ".slurm/lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match="found a symbolic link; it is not followed"), lock(sweep_copy.store):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


# ---------------------------------------------------------------- what the cluster can run

CLUSTER = """
case "$*" in
  *config*) echo "ClusterName = lab"; echo "MaxArraySize = 1001";;
  *partition*)
    echo "PartitionName=gpu Default=YES MaxTime=1-00:00:00 State=UP TotalCPUs=4"
    echo "PartitionName=short Default=NO MaxTime=00:01:00 State=UP TotalCPUs=4"
    echo "PartitionName=old Default=NO MaxTime=UNLIMITED State=DOWN TotalCPUs=4";;
  *node*)
    echo "NodeName=n1 CPUTot=8 Gres=gpu:a100:4(S:0-1) NodeHostName=h1 RealMemory=64000 AvailableFeatures=nvlink,big \
Partitions=gpu,short State=IDLE+DRAIN Reason=disk swap = soon [root@2026-11-28T03:33:41]"
    echo "NodeName=n2 CPUTot=2 Gres=(null) NodeHostName=h2 RealMemory=4000 AvailableFeatures=(null) Partitions=gpu \
State=MIXED";;
esac
"""
NO_NODE = 'echo "allocation failure: Requested node configuration is not available" >&2; exit 1'


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    put_on_path(tmp_path / "bin", monkeypatch, {"scontrol": CLUSTER, "sbatch": NO_NODE})
    return queue.cluster()


def asked(**more: Any) -> dict[str, Any]:
    return {"timeout_min": 60, "cpus_per_task": 4, "mem_gb": 32, "setup": [], "additional_parameters": {}} | more


def test_a_cluster_is_read(cluster: Cluster) -> None:
    assert (cluster.name, cluster.max_array_size, cluster.default_partition) == ("lab", 1001, "gpu")
    assert cluster.hosts == {"h1", "h2"}
    n1, n2 = cluster.nodes
    assert (n1.state, n1.reason, n1.n_cpus, n1.memory_mb, n1.n_gpus) == ("IDLE+DRAIN", "disk swap = soon", 8, 64000, 4)
    assert n1.features == {"nvlink", "big"} and n1.is_out and not n2.is_out
    assert {name: p.max_minutes for name, p in cluster.partitions.items()} == {"gpu": 1440, "old": None, "short": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-00:00:00", 1440), ("2-12:30", 3630), ("2-0", 2880), ("00:01:00", 1), ("1:30", 1.5), ("30", 30),
     ("UNLIMITED", None), ("INFINITE", None)],
)  # fmt: skip
def test_slurms_times_in_minutes(text: str, expected: float | None) -> None:
    assert minutes(text) == expected


def test_a_time_above_that_of_every_partition_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="timeout_min=60 is above the limit of its partition: short ends jobs after 1"):
        request.check([asked(partition="short")], cluster)
    with pytest.raises(ValueError, match=r"gpu ends jobs after 1440 min, .*; give at most 1440"):
        request.check([asked(timeout_min=1441)], cluster)
    with pytest.raises(ValueError, match=r"timeout_min=1441 .*short ends jobs after 1 min, gpu ends jobs after 1440"):
        request.check([asked(timeout_min=1441, partition="short,gpu")], cluster)


def test_an_unknown_partition_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="partition=nowhere: lab has no such partition; it has gpu, old, short"):
        request.check([asked(partition="nowhere")], cluster)


def test_a_drained_node_that_fits_is_named_and_waited_for(cluster: Cluster) -> None:
    told = request.check([asked(gpus_per_node=2, constraint="nvlink"), asked(partition="short,gpu")], cluster)
    out = "every node that fits is out of service: n1 is IDLE+DRAIN (disk swap = soon)"
    assert told == [f"{out}; the jobs wait until one is back"]


@pytest.mark.parametrize("more", [{"mem_gb": 100}, {"cpus_per_task": 9}, {"gpus_per_node": 5}, {"constraint": "h100"}])
def test_what_no_node_has_is_refused_though_some_are_drained(cluster: Cluster, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no node of lab can run a job with .*not available; nothing was submitted"):
        request.check([asked(**more)], cluster)


def test_another_refusal_of_sbatch_is_told_as_it_is(cluster: Cluster, tmp_path: Path, monkeypatch: Any) -> None:
    put_on_path(tmp_path / "bin", monkeypatch, {"sbatch": "echo 'sbatch: error: Invalid account' >&2; exit 1"})
    with pytest.raises(ValueError, match=r"no node of lab can run a job with .*Invalid account"):
        request.check([asked()], cluster)


def test_a_partition_that_is_down_is_told(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path / "bin", monkeypatch, {"sbatch": "true"})
    assert request.check([asked(partition="old")], cluster) == ["partition old is DOWN: its jobs wait"]


def test_a_job_to_wait_for_must_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path / "bin", monkeypatch, {"scontrol": "echo 'slurm_load_jobs error: Invalid job id' >&2; exit 1"})
    with pytest.raises(SlurmError, match=r"hydra.launcher.dependency: job 12: .*Invalid job id; it ended a while ago"):
        queue.check_job("12")
