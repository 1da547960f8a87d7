"""Keys, atomic publication and verification of artifacts."""

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tiny_sweep import Sweep, build_all

from sweep.artifacts import CorruptArtifact, Cost, Manifest, Stage, Store, write_atomically
from sweep.bench import Bench, Built
from sweep.build import BUILDERS
from sweep.config import Exec, TrackingConfig
from sweep.launchers.execute import _build

ROOT = Path(__file__).parents[1]
PARENT = Stage("dsyn", 1, {"n_train": 4})


def stage(**changes: Any) -> Stage:
    whole = {"kind": "sft", "version": 1, "identity": {"lr": 0.1, "seed": 0}, "parents": {"dsyn": PARENT}}
    return Stage(**{**whole, **changes})


def published(store: Store, of: Stage = PARENT, text: str = "12345") -> Manifest:
    folder = store.start(of.key)
    (folder / "data.txt").write_text(text)
    return store.publish(of, folder, {"n": 1}, Cost(n_updates=2), {"host": "here"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# keys


def test_the_order_of_fields_and_where_files_lie_do_not_change_a_key() -> None:
    assert stage().key == stage(identity={"seed": 0, "lr": 0.1}).key == stage(places={"train_path": "/x"}).key


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "train"},
        {"version": 2},
        {"identity": {"lr": 0.2, "seed": 0}},
        {"identity": {"lr": 0.1}},
        {"identity": {"lr": 0.1, "seed": 0, "new": None}},
        {"parents": {}},
        {"parents": {"base": PARENT}},
        {"parents": {"dsyn": Stage("dsyn", 1, {"n_train": 5})}},
        {"parents": {"dsyn": Stage("dsyn", 2, {"n_train": 4})}},
    ],
)
def test_a_key_changes_with_kind_version_identity_and_parents(changes: dict[str, Any]) -> None:
    assert stage(**changes).key != stage().key


def test_ancestors_come_once_each_and_before_those_that_need_them() -> None:
    left, right = stage(identity={"side": 0}), stage(identity={"side": 1})
    end = Stage("train", 1, {}, {"left": left, "right": right})
    assert list(end.ancestors()) == [PARENT, left, right]


# publication


def test_a_published_artifact_opens_with_its_facts_and_leaves_nothing_behind(store: Store) -> None:
    published(store)
    artifact = store.open(PARENT.key)
    assert (artifact.path / "data.txt").read_text() == "12345"
    assert artifact.manifest.facts == {"n": 1}
    assert artifact.manifest.cost == Cost(n_updates=2)
    assert store.built() == [PARENT.key]
    assert list((store.root / ".building").iterdir()) == []


def test_what_is_not_built_has_no_manifest_and_does_not_open(store: Store) -> None:
    assert store.manifest("sft-0") is None
    with pytest.raises(FileNotFoundError, match="sft-0: this artifact is not built yet"):
        store.open("sft-0")


def test_the_second_of_two_builders_keeps_the_first_ones_artifact(store: Store) -> None:
    first = published(store)
    second = published(store, text="other")
    assert second == first
    assert (store.open(PARENT.key).path / "data.txt").read_text() == "12345"
    assert list((store.root / ".building").iterdir()) == []


def test_two_builders_at_the_same_moment_publish_one_artifact(store: Store) -> None:
    barrier, manifests = threading.Barrier(8), []

    def race(number: int) -> None:
        folder = store.start(PARENT.key)
        (folder / "data.txt").write_text(str(number))
        barrier.wait()
        manifests.append(store.publish(PARENT, folder, {"number": number}, Cost(), {}))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = store.open(PARENT.key)
    assert [m.facts["number"] for m in manifests] == [winner.manifest.facts["number"]] * 8
    assert (winner.path / "data.txt").read_text() == str(winner.manifest.facts["number"])


def test_two_builders_of_one_stage_on_one_machine_do_its_work_once(
    sweep: Sweep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], BUILDERS["dsyn"]

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setitem(BUILDERS, "dsyn", counted)
    key = next(k for k, s in sweep.plan.stages.items() if s.kind == "dsyn")
    threads = [threading.Thread(target=build_all, args=(sweep.plan, store, [key])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.open(key).manifest.facts["n_problems"] == sweep.store.open(key).manifest.facts["n_problems"]
    assert len(calls) == 1


@pytest.mark.parametrize("_", range(2))
def test_two_processes_without_a_common_lock_leave_one_whole_artifact(sweep: Sweep, tmp_path: Path, _: int) -> None:
    store, stage = Store(tmp_path), next(s for s in sweep.plan.stages.values() if s.kind == "sft")
    for parent in stage.parents.values():
        (tmp_path / parent.key).symlink_to(sweep.store.folder(parent.key))
    (tmp_path / "stage.pickle").write_bytes(pickle.dumps(stage))
    code = """if True:
        import errno, fcntl, pickle, sys, time
        from pathlib import Path
        from sweep.artifacts import Store
        from sweep.config import Exec, TrackingConfig
        from sweep.launchers.execute import build

        def flock(*_):  # as on a file system that has no such lock
            raise OSError(errno.ENOLCK, "No locks available")

        fcntl.flock = flock
        root, stage = Path(sys.argv[1]), pickle.loads(Path(sys.argv[1], "stage.pickle").read_bytes())
        import sweep.models
        Path(root, f"ready-{sys.argv[2]}").touch()
        while len(list(root.glob("ready-*"))) < 2:
            time.sleep(0.001)
        print(build(stage, Store(root), Exec(store=str(root)), TrackingConfig(name="jsonl")).provenance["started"])
    """
    command, where = [sys.executable, "-c", code, str(tmp_path)], {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([*command, n], stdout=subprocess.PIPE, text=True, env=where) for n in "12"]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]  # both hold the manifest of the one that was published
    assert store.open(stage.key).manifest.files.keys() >= {"model.safetensors", "metrics.jsonl"}
    assert [p for p in (tmp_path / ".building").iterdir() if p.is_dir()] == []
    assert not store.checkpoint_dir(stage.key).exists()


def test_a_builder_that_another_machine_overtook_takes_the_others_artifact(
    sweep: Sweep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, first = BUILDERS["dsyn"], []
    key = next(k for k, s in sweep.plan.stages.items() if s.kind == "dsyn")

    def overtaken(of: Stage, bench: Bench) -> Built:
        if not first:  # the other machine, which sees no lease of ours, does all of it while we build
            first.append(None)
            exec = Exec(store=str(store.root))
            first[0] = _build(of, store, exec, TrackingConfig(name="jsonl"), None, lambda unit, n_done, n: None)
        return real(of, bench)

    monkeypatch.setitem(BUILDERS, "dsyn", overtaken)
    assert build_all(sweep.plan, store, [key]) == {key: first[0]}
    assert [p for p in (store.root / ".building").iterdir() if p.is_dir()] == []


def test_a_tracker_folder_is_kept_but_is_no_product(store: Store) -> None:
    folder = store.start(PARENT.key)
    (folder / "wandb").mkdir()
    (folder / "wandb" / "run.log").write_text("x")
    (folder / "data.txt").write_text("12345")
    assert list(store.publish(PARENT, folder, {}, Cost(), {}).files) == ["data.txt"]


def test_a_manifest_is_whole_or_absent_and_no_temporary_file_stays(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "{}")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_publication_ends_a_stages_checkpoint(store: Store) -> None:
    store.checkpoint_dir(PARENT.key).mkdir(parents=True)
    published(store)
    assert not store.checkpoint_dir(PARENT.key).exists()


def test_build_folders_of_dead_processes_are_removed_and_of_living_ones_kept(store: Store) -> None:
    alive = store.start("sft-0")
    dead = alive.with_name(alive.name.replace(f".{os.getpid()}.", ".999999999."))
    dead.mkdir()
    elsewhere = dead.with_name(dead.name.replace(".999999999.", "-other.999999999."))
    elsewhere.mkdir()
    assert store.sweep_dead_builds() == [dead]
    assert alive.exists() and elsewhere.exists() and not dead.exists()


# verification


def test_a_truncated_file_is_named_with_its_sizes(store: Store) -> None:
    published(store)
    (store.folder(PARENT.key) / "data.txt").write_text("123")
    told = r"data.txt should have 5 bytes and is 3 bytes; it is not used.*exec.rebuild_corrupted=true"
    with pytest.raises(CorruptArtifact, match=told):
        store.manifest(PARENT.key)


def test_a_missing_file_is_named(store: Store) -> None:
    published(store)
    (store.folder(PARENT.key) / "data.txt").unlink()
    with pytest.raises(CorruptArtifact, match=r"data.txt should have 5 bytes and is missing"):
        store.open(PARENT.key)


def test_a_flipped_byte_of_the_same_size_is_found_by_the_hash(store: Store) -> None:
    published(store)
    (store.folder(PARENT.key) / "data.txt").write_text("12x45")
    with pytest.raises(CorruptArtifact, match=r"data.txt does not have the sha256 it was published with"):
        store.open(PARENT.key)


def test_a_byte_flipped_after_a_first_look_is_found_by_the_same_process(store: Store) -> None:
    published(store)
    store.open(PARENT.key)
    (store.folder(PARENT.key) / "data.txt").write_text("12x45")
    with pytest.raises(CorruptArtifact, match="sha256"):
        store.open(PARENT.key)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1}', "\x00\x00", None])
def test_a_manifest_that_cannot_be_read_is_a_corrupted_artifact(store: Store, text: str | None) -> None:
    published(store)
    path = store.folder(PARENT.key) / "manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CorruptArtifact, match=r"its manifest.json cannot be read"):
        store.manifest(PARENT.key)


def test_a_manifest_that_is_no_text_is_a_corrupted_artifact(store: Store) -> None:
    published(store)
    (store.folder(PARENT.key) / "manifest.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(CorruptArtifact, match=r"its manifest.json cannot be read \(UnicodeDecodeError\)"):
        store.manifest(PARENT.key)


def test_a_manifest_whose_files_are_no_table_is_a_corrupted_artifact(store: Store) -> None:
    published(store)
    path = store.folder(PARENT.key) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": {"data.txt": 5}}))
    with pytest.raises(CorruptArtifact, match=r"its manifest.json cannot be read"):
        store.manifest(PARENT.key)


def test_an_artifact_under_another_ones_name_is_refused(store: Store) -> None:
    published(store)
    os.rename(store.folder(PARENT.key), store.folder("dsyn-0"))
    with pytest.raises(CorruptArtifact, match=rf"its manifest is that of {PARENT.key}"):
        store.manifest("dsyn-0")


def test_a_corrupted_artifact_set_aside_can_be_built_again(store: Store) -> None:
    published(store)
    (store.folder(PARENT.key) / "data.txt").write_text("123")
    aside = store.set_aside(PARENT.key)
    assert (aside / "data.txt").read_text() == "123"
    assert store.manifest(PARENT.key) is None
    published(store)
    assert (store.open(PARENT.key).path / "data.txt").read_text() == "12345"


def test_a_store_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/store must be a folder this user can write to, found: Not a directory"):
        Store(tmp_path / "file" / "store").check_writable()
