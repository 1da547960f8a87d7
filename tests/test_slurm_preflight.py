"""slurm/preflight: what it promises of a node, and what it says of one that breaks a promise."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_slurm import put_on_path

REPOSITORY = Path(__file__).resolve().parents[1]


def preflight(tmp_path: Path, *options: str, **site: object) -> subprocess.CompletedProcess[str]:
    settings = yaml.safe_load((REPOSITORY / "slurm/site.yaml").read_text()) | {"scratch": str(tmp_path)} | site
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(settings))
    where = (f"--site={tmp_path}/site.yaml", f"--store={tmp_path}/store")
    command = [sys.executable, REPOSITORY / "slurm/preflight", *where, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(autouse=True)
def _commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster whose partition cpu is up and whose partition gpu has one node, drained."""
    lines = """case "$*" in
      *config*) echo "ClusterName = lab"; echo "MaxArraySize = 1001";;
      *partition*) for p in cpu gpu; do echo "PartitionName=$p MaxTime=02:00:00 State=UP"; done;;
      *) echo "NodeName=n1 Partitions=cpu State=IDLE"; echo "NodeName=n2 Partitions=gpu State=IDLE+DRAIN Reason=fan";;
    esac"""
    put_on_path(tmp_path / "bin", monkeypatch, {"scontrol": lines})


def test_a_cpu_node_that_keeps_its_promises(tmp_path: Path) -> None:
    done = preflight(tmp_path, "--no-gpu", "--one-machine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["ok", name] for name in ("node", "packages", "partition", "scratch", "store", "weights", "tracking")
    ]
    assert list((tmp_path / "store").iterdir()) == []


def test_every_broken_promise_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(struct.pack("<Q", 9) + b"not json!")
    done = preflight(
        tmp_path, "--no-gpu", "--one-machine", weights=str(tmp_path / "weights"), min_scratch_gb=10**9,
        scratch=str(tmp_path), wandb="offline",
    )  # fmt: skip
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 2
    assert "expected min_scratch_gb=1000000000" in failed[0] and "not a readable safetensors file" in failed[1]


def test_weights_that_can_be_read(tmp_path: Path) -> None:
    header = json.dumps({}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    done = preflight(tmp_path, "--no-gpu", "--one-machine", weights=str(tmp_path))
    assert "1 safetensors files" in done.stdout and done.returncode == 0


@pytest.mark.parametrize(
    ("site", "reason"),
    [({"wandb": "sometimes"}, "expected offline, online or disabled"), ({"colour": "red"}, "expected the keys")],
)
def test_a_wrong_site_file_is_refused(tmp_path: Path, site: dict, reason: str) -> None:
    done = preflight(tmp_path, **site)
    assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("site", "told"),
    [
        ({"cpu_partition": "cpu"}, "ok      partition cpu_partition=cpu: 1 nodes, 120 min a job"),
        ({"cpu_partition": "cpus"}, "FAILED  partition cpu_partition: lab has no partition cpus; it has cpu, gpu"),
        ({"gpu_partition": "gpu"}, "FAILED  partition gpu_partition=gpu starts no jobs now: it is UP, its nodes are n"),
    ],
)
def test_the_partitions_of_the_site_file_are_looked_up(tmp_path: Path, site: dict, told: str) -> None:
    assert told in preflight(tmp_path, "--no-gpu", "--one-machine", **site).stdout


def test_a_partition_that_nobody_can_look_up_is_told(tmp_path: Path) -> None:
    (tmp_path / "bin/scontrol").write_text("#!/bin/bash\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    asked = preflight(tmp_path, "--no-gpu", "--one-machine", cpu_partition="cpu")
    assert "FAILED  partition {'cpu_partition': 'cpu'} cannot be looked up" in asked.stdout
    assert "ok      partition not looked up" in preflight(tmp_path, "--no-gpu", "--one-machine").stdout


@pytest.mark.parametrize(("setup", "reason"), [([False], "must be a line of shell"), (["fi"], "bash cannot read it")])
def test_setup_that_no_job_can_run_is_refused(tmp_path: Path, setup: list, reason: str) -> None:
    done = preflight(tmp_path, setup=setup)
    assert done.returncode == 2 and "setup" in done.stderr and reason in done.stderr


def test_outside_the_environment_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-S", REPOSITORY / "slurm/preflight", "--no-gpu"]  # without installed packages
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert "is not the project's environment: No module named" in done.stderr and "activate it" in done.stderr
