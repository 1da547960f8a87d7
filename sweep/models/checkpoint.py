"""Checkpoints of a training run: all or nothing on disk, and never a pickle that runs code.

checkpoint_dir/update-00000120/weights.safetensors   the trained parameters
                              /state.pt              optimizer, generators, progress; weights_only
                              /sha256.json           of both, compared before either is opened
A folder is written under a temporary name, flushed, renamed, and only then are older ones
removed, so a kill at any moment leaves the last whole checkpoint. Two copies of one stage may
write here at once (a node that was given up may still work): each leaves the other's half-written
folder alone, and both go on from whichever checkpoint is the newest.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sweep.disk import file_sha256, flush
from sweep.sharing import obey_umask, real_folder

ABANDONED_S = 3600  # a half-written checkpoint that nobody has touched for so long is a killed writer's


FILES, HASHES = ("weights.safetensors", "state.pt"), "sha256.json"


def write_checkpoint(
    checkpoint_dir: Path,
    update: int,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    is_written: Callable[[], None] = lambda: None,
) -> Path:
    """Publishes the state after `update` updates and removes what it replaces.

    Args:
        is_written: called between the two; where several processes keep a part each, waits for all of them.
    """
    real_folder(checkpoint_dir.parent, checkpoint_dir.name)
    final = checkpoint_dir / f"update-{update:08d}"
    if final.exists():
        return final
    temporary = checkpoint_dir / f"writing-{uuid.uuid4().hex[:8]}"
    try:
        _write(temporary, weights, state)
    except BaseException:  # a full disk: what is half written would keep it full
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    try:
        temporary.rename(final)
    except OSError:  # the other copy has just written the same one
        if not final.is_dir():
            raise
        shutil.rmtree(temporary)
    flush(checkpoint_dir)
    is_written()
    older = [folder for folder in checkpoint_dir.glob("update-*") if folder.name < final.name]
    for old in [*older, *(one for one in checkpoint_dir.glob("writing-*") if _is_abandoned(one, final))]:
        shutil.rmtree(old, ignore_errors=True)  # the other copy may be removing it too
    return final


def _write(folder: Path, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """A checkpoint's files, on the disk when this returns."""
    folder.mkdir()
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
    torch.save(dict(state), folder / "state.pt")
    hashes = {name: file_sha256(folder / name) for name in FILES}
    (folder / HASHES).write_text(json.dumps(hashes), encoding="utf-8")
    obey_umask(folder)
    for path in (*folder.iterdir(), folder):
        flush(path)


def _is_abandoned(folder: Path, written: Path) -> bool:
    """Whether nothing was put into a folder for long before `written` was: both times are the file system's."""
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        return written.stat().st_mtime - newest > ABANDONED_S
    except FileNotFoundError:  # renamed or removed meanwhile
        return False


def read_checkpoint(
    checkpoint_dir: Path, beside: Sequence[Path] = ()
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Weights and state of the newest checkpoint, None if there is none.

    Args:
        beside: folders of the other parts of the same run; a checkpoint counts that each of them has.
    Raises:
        ValueError: the checkpoint is damaged.
    """
    names = [{folder.name for folder in one.glob("update-*")} for one in (checkpoint_dir, *beside)]
    common = set.intersection(*names)
    if not common:
        return None
    newest = checkpoint_dir / max(common)
    try:
        _check_hashes(newest)
        weights = load_file(newest / "weights.safetensors")
        state = torch.load(newest / "state.pt", map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        if not newest.exists():  # another copy of the stage has replaced it by a newer one
            return read_checkpoint(checkpoint_dir, beside)
        raise ValueError(
            f"{newest}: expected a checkpoint of this trainer and could not read it ({type(error).__name__}); "
            "remove the folder to train from the start"
        ) from error
    return weights, state


def _check_hashes(folder: Path) -> None:
    """A bit that a disk lost would be trained on, and nothing after it would show; older checkpoints have no hashes."""
    if (folder / HASHES).exists():
        written = json.loads((folder / HASHES).read_text(encoding="utf-8"))
        if written != {name: file_sha256(folder / name) for name in FILES}:
            raise ValueError("a file is not what was written")


def restore_weights(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor], origin: Path) -> None:
    """Copies the weights into the parameters, which must have the same names and shapes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if shapes != {name: tuple(parameter.shape) for name, parameter in parameters.items()}:
        raise ValueError(
            f"{origin}: the checkpoint's parameters have other names or shapes than the model's; "
            "it belongs to another model, remove the folder to train from the start"
        )
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
