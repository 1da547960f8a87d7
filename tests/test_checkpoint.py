"""A run that is stopped or killed ends in the same bits, and a checkpoint is never opened on trust."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_policy import pairs, rows, tiny_policy, trained, trained_policy, weights

from sweep.data.records import Pair, Row
from sweep.models import Interrupted
from sweep.models.checkpoint import read_checkpoint, write_checkpoint


@pytest.mark.parametrize("data", [rows(20), pairs(20, is_final=True)], ids=["rows", "pairs"])
def test_an_interrupted_run_resumes_to_the_same_bits(data: list[Row] | list[Pair], tmp_path: Path) -> None:
    straight, resumed = trained_policy(), trained_policy()
    cost = trained(straight, data)
    answers = iter([False] * 6 + [True])
    with pytest.raises(Interrupted, match="after update 7 of 12"):
        trained(resumed, data, checkpoint_dir=tmp_path, should_stop=lambda: next(answers))
    fresh, logged = trained_policy(), []
    resumed_cost = trained(fresh, data, checkpoint_dir=tmp_path, log=lambda update, metrics: logged.append(update))
    assert logged == [8, 9, 10, 11, 12]
    assert torch.equal(weights(fresh), weights(straight))
    assert (resumed_cost.n_updates, resumed_cost.n_trained_tokens) == (cost.n_updates, cost.n_trained_tokens)


def test_a_killed_run_resumes_from_its_last_timed_checkpoint(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def log(update: int, metrics: dict[str, float]) -> None:
        if update == 9:
            raise Killed  # after checkpoint 8, before checkpoint 9

    straight, resumed = trained_policy(), trained_policy()
    trained(straight, rows(20))
    with pytest.raises(Killed):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path, checkpoint_every_s=0.0, log=log)
    assert [path.name for path in tmp_path.iterdir()] == ["update-00000008"]
    (tmp_path / "writing-abc").mkdir()  # what a kill in the middle of a checkpoint leaves
    trained(resumed, rows(20), checkpoint_dir=tmp_path)
    assert torch.equal(weights(resumed), weights(straight))


def test_two_writers_in_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    model = dict(trained_policy().model.named_parameters())
    (tmp_path / "writing-other").mkdir()  # another copy of the stage is in the middle of a checkpoint
    (tmp_path / "writing-killed").mkdir()
    os.utime(tmp_path / "writing-killed", (0, 0))
    write_checkpoint(tmp_path, 7, model, {"n": 7})
    write_checkpoint(tmp_path, 5, model, {"n": 5})  # the slower copy's
    assert {path.name for path in tmp_path.iterdir()} == {"update-00000005", "update-00000007", "writing-other"}
    found = read_checkpoint(tmp_path)
    assert found is not None and found[1] == {"n": 7}
    write_checkpoint(tmp_path, 7, model, {"n": 7})  # and both may reach the same update
    write_checkpoint(tmp_path, 8, model, {"n": 8})
    assert {path.name for path in tmp_path.iterdir()} == {"update-00000008", "writing-other"}


def test_a_checkpoint_that_cannot_be_written_to_its_end_leaves_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {"w": torch.zeros(2)}, {})
    with pytest.raises(AttributeError, match="pickle local object"):
        write_checkpoint(tmp_path, 2, {"w": torch.zeros(2)}, {"no pickle": lambda: None})  # behind the weights
    assert [path.name for path in tmp_path.iterdir()] == ["update-00000001"]


def test_a_checkpoint_of_other_rows_or_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path, should_stop=lambda: True)
    for data, seed in ((rows(20, seed=9), 0), (rows(20), 1)):
        with pytest.raises(ValueError, match="made with other rows, settings or seed"):
            trained(trained_policy(), data, seed=seed, checkpoint_dir=tmp_path)


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
def test_a_truncated_checkpoint_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path, should_stop=lambda: True)
    file = tmp_path / "update-00000001" / name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="update-00000001: expected a checkpoint of this trainer"):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path)


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
def test_a_checkpoint_with_one_bit_flipped_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path, should_stop=lambda: True)
    file = tmp_path / "update-00000001" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # in the middle of the numbers, which any bits are
    file.write_bytes(content)
    with pytest.raises(ValueError, match="update-00000001: expected a checkpoint of this trainer"):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path, should_stop=lambda: True)
    (tmp_path / "update-00000001" / "sha256.json").unlink()
    torch.save({"identity": partial(print, "code")}, tmp_path / "update-00000001" / "state.pt")
    with pytest.raises(ValueError, match="could not read it"):
        trained(trained_policy(), rows(20), checkpoint_dir=tmp_path)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(tiny_policy(max_length=48), rows(20), checkpoint_dir=tmp_path, should_stop=lambda: True)
    wider = tiny_policy()
    wider.model.model.norm.weight = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="other names or shapes than the model's"):
        trained(wider, rows(20), checkpoint_dir=tmp_path)
