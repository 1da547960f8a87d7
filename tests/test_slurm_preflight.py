"""slurm/preflight: what it promises of a node, and what it says of one that breaks a promise."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]


def preflight(tmp_path: Path, *options: str, **site: object) -> subprocess.CompletedProcess[str]:
    settings = yaml.safe_load((REPOSITORY / "slurm/site.yaml").read_text()) | {"scratch": str(tmp_path)} | site
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(settings))
    where = (f"--site={tmp_path}/site.yaml", f"--store={tmp_path}/store")
    command = [sys.executable, REPOSITORY / "slurm/preflight", *where, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_cpu_node_that_keeps_its_promises(tmp_path: Path) -> None:
    done = preflight(tmp_path, "--no-gpu", "--one-machine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["ok", name] for name in ("node", "packages", "scratch", "store", "weights", "tracking")
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
