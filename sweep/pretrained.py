"""A model that was pretrained elsewhere: what names it, whatever folder it lies in, and without opening it.

A folder is named by what its files hold, so that other weights in the same place are another model, and the same
weights in another place are not. A model of a hub is named by its name and a full commit, which never moves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sweep.artifacts import Stage
from sweep.disk import file_sha256

# what transformers reads of a folder: weights, configuration, tokenizer
FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
)
COMMIT = re.compile(r"[0-9a-f]{40}")


def named(model: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The identity of a pretrained model's config, and the places that are no part of it.

    Raises:
        ValueError: neither a folder with a config.json nor a hub's model at a full commit.
    """
    path, revision = str(model["path"]), model.get("revision")
    folder = Path(path).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(
                f"model.path={path} is a folder, which has no revisions, and model.revision={revision} was given; add "
                "model.revision=null, or take the name that the model has on its hub"
            )
        told = {name: value for name, value in model.items() if name not in ("path", "revision")}
        return {**told, "content": content(folder)}, {"path": str(folder)}
    if revision is None or path.startswith(("/", ".", "~")):
        raise ValueError(
            f"model.path={path}: no such folder; give one with safetensors and a tokenizer, or the name of a model "
            "on a hub with model.revision=COMMIT"
        )
    if not COMMIT.fullmatch(str(revision)):
        raise ValueError(
            f"model.revision={revision}: expected the 40 hexadecimal digits of a commit, because a branch, a tag or a "
            f"short hash may be another model tomorrow; the hub shows the commit of {path} under its history"
        )
    return dict(model), {"path": path}


def is_known_not_to_chat(model: Mapping[str, Any]) -> bool:
    """Whether the model is a folder whose tokenizer has no chat template; of a hub's that shows when it is opened."""
    folder = Path(str(model["path"])).expanduser()
    if not folder.is_dir() or any(folder.glob("chat_template*")):
        return False
    settings = folder / "tokenizer_config.json"
    return not settings.is_file() or '"chat_template"' not in settings.read_text(encoding="utf-8")


def place(stage: Stage) -> tuple[str, str | None]:
    """Where a base stage's model lies, and its revision; refused where its files changed since planning."""
    model = stage.identity["model"]
    if "content" not in model:
        return stage.places["path"], model["revision"]
    found = content(Path(stage.places["path"]))
    if found != model["content"]:
        raise ValueError(
            f"{stage.key}: the model's files in {stage.places['path']} changed since the sweep was planned (content "
            f"{found}, planned with {model['content']}); give the sweep command again"
        )
    return stage.places["path"], None


def content(folder: Path) -> str:
    """Hexadecimal SHA-256 over names and contents of the files that decide what a model does.

    Raises:
        ValueError: there is no config.json or no safetensors among them.
    """
    files = sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()})
    names = {path.name for path in files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise ValueError(
            f"model.path={folder}: expected a model's folder with config.json and weights in safetensors, found "
            f"{', '.join(sorted(names)) or 'none of its files'}; give the folder that `model.save_pretrained` wrote"
        )
    digest = hashlib.sha256()
    for path in files:
        state = path.stat()
        held = _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino)
        digest.update(path.name.encode() + b"\0" + held.encode())
    return digest.hexdigest()


@cache
def _sha256(path: Path, n_bytes: int, mtime_ns: int, inode: int) -> str:
    """Of a file in this state: once a process, however many runs start from it."""
    return file_sha256(path)
