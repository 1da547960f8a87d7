"""A pretrained model is named by what its files hold, or by a hub's commit, and never by where it lies."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_policy import tiny_policy, weights
from tiny_sweep import planned

from sweep import pretrained, stages
from sweep.artifacts import Stage, Store
from sweep.bench import model_of
from sweep.config import Exec, TrackingConfig
from sweep.launchers.execute import build
from sweep.models import load_policy, save_policy

SETTINGS = {"kind": "pretrained", "dtype": "float32", "precision": "fp32", "betas": [0.9, 0.999]}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_policy(tiny_policy(seed=3), tmp_path / "model")
    return tmp_path / "model"


def base_of(path: Path | str, revision: str | None = None, **settings: Any) -> Stage:
    exp = planned("arm=sft").runs[0].leaf.exp
    return stages.base(replace(exp, model={**SETTINGS, **settings, "path": str(path), "revision": revision}))


def built(stage: Stage, root: Path) -> Path:
    store = Store(root / "store")
    build(stage, store, Exec(store=str(store.root)), TrackingConfig(name="jsonl"))
    return store.open(stage.key).path


def test_other_weights_in_the_same_place_are_another_model(folder: Path) -> None:
    before = base_of(folder)
    save_policy(tiny_policy(seed=4), folder)
    assert base_of(folder).key != before.key


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
def test_a_configuration_or_tokenizer_that_changes_is_another_model(folder: Path, name: str) -> None:
    before = base_of(folder)
    (folder / name).write_text((folder / name).read_text().replace("2", "3", 1) + " ")
    assert base_of(folder).key != before.key


def test_the_same_files_elsewhere_are_the_same_model(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("notes, a manifest and what else decides nothing")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    paths = [folder, tmp_path / "copy", tmp_path / "link", "~/model", "model", "./copy"]
    assert len({base_of(path).key for path in paths}) == 1
    assert "path" not in base_of(folder).identity["model"]
    assert base_of(folder, precision="bf16").key != base_of(folder).key


def test_a_file_is_hashed_once_for_all_runs_and_again_when_it_changes(folder: Path, monkeypatch: Any) -> None:
    hashed: list[Path] = []
    original = pretrained.file_sha256
    monkeypatch.setattr(pretrained, "file_sha256", lambda path: hashed.append(path) or original(path))
    first = [base_of(folder).key for _ in range(5)]
    assert len(hashed) == len(set(hashed)) == 5
    weights_file = folder / "model.safetensors"
    state = weights_file.stat()
    data = bytearray(weights_file.read_bytes())
    data[-1] ^= 1
    weights_file.write_bytes(data)  # the same size, and the same second
    os.utime(weights_file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert base_of(folder).key != first[0] and hashed[5:] == [weights_file]


def test_the_base_is_built_from_the_folder_it_was_planned_with(folder: Path, tmp_path: Path) -> None:
    stage = base_of(folder)
    assert model_of(stage)["dtype"] == "float32"
    made = load_policy(str(built(stage, tmp_path)), revision=None, device="cpu", dtype="float32")
    assert torch.equal(weights(made), weights(tiny_policy(seed=3)))


def test_a_model_that_changed_after_planning_is_refused(folder: Path, tmp_path: Path) -> None:
    stage = base_of(folder)
    save_policy(tiny_policy(seed=4), folder)
    with pytest.raises(ValueError, match=rf"{stage.key}: the model's files in {folder} changed since .* planned"):
        built(stage, tmp_path)


def test_a_hubs_model_is_named_by_its_commit() -> None:
    stage = base_of("someone/some-model", COMMIT)
    assert (stage.identity["model"]["path"], stage.identity["model"]["revision"]) == ("someone/some-model", COMMIT)
    assert pretrained.place(stage) == ("someone/some-model", COMMIT)


@pytest.mark.parametrize(
    ("path", "revision", "message"),
    [
        ("someone/some-model", "main", "model.revision=main: expected the 40 hexadecimal digits of a commit"),
        ("someone/some-model", COMMIT[:12], "model.revision=0123456789ab: expected the 40 hexadecimal digits"),
        ("someone/some-model", None, "model.path=someone/some-model: no such folder; give one with safetensors"),
        ("./nowhere", COMMIT, r"model.path=\./nowhere: no such folder"),
        ("~/nowhere", None, "model.path=~/nowhere: no such folder"),
    ],
)
def test_a_model_that_cannot_be_named_is_refused_when_planned(path: str, revision: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        base_of(path, revision)


def test_a_folder_has_no_revision_and_holds_a_model(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder, which has no revisions, and model\.revision=0123"):
        base_of(folder, COMMIT)
    (folder / "model.safetensors").rename(folder / "model.bin")
    with pytest.raises(ValueError, match=r"expected a model's folder .* found config\.json, generation_config\.json"):
        base_of(folder)


def test_a_base_that_is_pretrained_here_keeps_its_name() -> None:
    # the key that the tiny sweep's base had before folders were named by their content
    assert stages.base(planned("arm=sft").runs[0].leaf.exp).key == "base-c8e75773f0e35a8d"


def test_naming_a_model_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from sweep import pretrained, stages; from pathlib import Path; "
        f"pretrained.content(Path({str(folder)!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_folder_without_a_chat_template_is_refused_when_a_chat_is_planned(folder: Path) -> None:
    exp = planned("arm=sft").runs[0].leaf.exp
    chat = replace(
        exp, model={**SETTINGS, "path": str(folder), "revision": None}, dataset={**exp.dataset, "is_chat": True}
    )
    with pytest.raises(
        ValueError, match=r"is_chat=true asks for the chat template of model.path=.*, whose tokenizer has none"
    ):
        stages.base(chat)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert stages.base(replace(chat, seed=1)).key
