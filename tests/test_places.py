"""A folder is tried before the work: what is refused, that nothing stays behind, and that two may try at once."""

import os
from pathlib import Path

import pytest

from sweep.places import check_writable, trial


def test_a_trial_makes_nothing_that_another_sweep_could_find_and_lose(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "runs"
    with trial(folder, "--out"):
        check_writable(folder, "--out")  # another sweep, which begins at the same time
        folder.mkdir(parents=True)
    assert folder.is_dir() and sorted(tmp_path.rglob("*")) == [tmp_path / "outputs", folder]


def test_what_is_missing_of_a_folder_is_tried_under_its_own_names_and_goes_again(tmp_path: Path) -> None:
    with trial(tmp_path / "a" / ".." / "b" / "c", "--out") as inside:
        assert (inside / "file").is_file() and inside.name == "c" and inside.is_relative_to(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"--out=.*, found: File name too long"):
        check_writable(tmp_path / "a" / ("x" * 300), "--out")
    assert not list(tmp_path.iterdir())


def test_a_file_a_dangling_link_and_a_file_on_the_way_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "file/a/b", "link", "link/a"):
        with pytest.raises(ValueError, match=f"/{name} must be a folder this user can write to, found: "):
            check_writable(tmp_path / name, "--out")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"] and (tmp_path / "file").read_text() == "kept"
