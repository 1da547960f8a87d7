"""Keys, atomic publication and verification of artifacts."""

import json
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from tiny_sweep import Sweep, build_all

from sweep.artifacts import CorruptArtifact, Cost, Manifest, Stage, Store
from sweep.bench import Bench, Built
from sweep.build import BUILDERS
from sweep.config import Exec, TrackingConfig
from sweep.disk import write_atomically
from sweep.launchers.execute import _build

ROOT = Path(__file__).parents[1]
PARENT = Stage("dsyn", 1, {"n_train": 4})
NOT_BUILT = "sft-0123456789abcdef"


def stage(**changes: Any) -> Stage:
    whole = {"kind": "sft", "version": 1, "identity": {"lr": 0.1, "seed": 0}, "parents": {"dsyn": PARENT}}
    return Stage(**{**whole, **changes})


def published(store: Store, of: Stage = PARENT, text: str = "12345") -> Manifest:
    folder = store.builds.start(of.key)
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


def test_costs_add_up_and_work_that_a_stage_does_not_do_costs_nothing() -> None:
    both = Cost(1, 2, 3, 4.0, 5.0) + Cost(n_updates=10, flops=40.0)
    assert both == Cost(11, 2, 3, 44.0, 5.0)
    assert Cost() == Cost(0, 0, 0, 0.0, 0.0)


def test_what_a_stage_is_and_what_its_artifact_holds_are_not_changed_afterwards(store: Store) -> None:
    manifest = published(store)
    for record, name in (
        (PARENT, "version"), (manifest, "key"), (manifest.cost, "seconds"), (store.open(PARENT.key), "path"),
    ):  # fmt: skip
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(record, name, None)


def test_logs_and_checkpoints_lie_beside_the_artifacts_under_their_key(store: Store) -> None:
    assert store.log_path(NOT_BUILT) == store.root / ".logs" / f"{NOT_BUILT}.log"
    assert store.checkpoint_dir(NOT_BUILT) == store.root / ".checkpoints" / NOT_BUILT


def test_a_setting_that_is_no_number_makes_no_key() -> None:
    with pytest.raises(ValueError, match=r"Out of range float values are not JSON compliant"):
        stage(identity={"lr": float("nan")}).key  # noqa: B018


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
    assert store.manifest(NOT_BUILT) is None
    with pytest.raises(FileNotFoundError, match=f"{NOT_BUILT}: this artifact is not built yet"):
        store.open(NOT_BUILT)


def test_the_second_of_two_builders_keeps_the_first_ones_artifact(store: Store) -> None:
    first = published(store)
    second = published(store, text="other")
    assert second == first
    assert (store.open(PARENT.key).path / "data.txt").read_text() == "12345"
    assert list((store.root / ".building").iterdir()) == []


def test_two_builders_at_the_same_moment_publish_one_artifact(store: Store) -> None:
    barrier, manifests = threading.Barrier(8), []

    def race(number: int) -> None:
        folder = store.builds.start(PARENT.key)
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
    real = BUILDERS["dsyn"]
    first: list[Manifest | None] = []
    key = next(k for k, s in sweep.plan.stages.items() if s.kind == "dsyn")

    def overtaken(of: Stage, bench: Bench) -> Built:
        if not first:  # the other machine, which sees no lease of ours, does all of it while we build
            first.append(None)
            exec = Exec(store=str(store.root))
            first[0] = _build(of, store, exec, TrackingConfig(name="jsonl"), None, lambda unit, n_done, n: None, {})
        return real(of, bench)

    monkeypatch.setitem(BUILDERS, "dsyn", overtaken)
    assert build_all(sweep.plan, store, [key]) == {key: first[0]}
    assert [p for p in (store.root / ".building").iterdir() if p.is_dir()] == []


def test_a_tracker_folder_is_kept_but_is_no_product(store: Store) -> None:
    folder = store.builds.start(PARENT.key)
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


# what an artifact is


def edited(store: Store, **changes: Any) -> None:
    """Change fields of the artifact's manifest by hand."""
    path = store.folder(PARENT.key) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("group", "changed"),
    [
        ("facts", {"n": 2}),
        ("cost", {"n_updates": 3, "n_trained_tokens": 0, "n_sampled_tokens": 0, "flops": 0.0, "seconds": 0.0}),
        ("provenance", {"host": "there"}),
        ("files", {}),
    ],
)
def test_a_manifest_that_was_edited_is_refused_by_name_with_what_was_changed(
    store: Store, group: str, changed: dict[str, Any]
) -> None:
    published(store)
    edited(store, **{group: changed})
    with pytest.raises(CorruptArtifact, match=rf"{PARENT.key}: .*{group} changed since it was published"):
        store.manifest(PARENT.key)


def test_an_identity_that_was_edited_no_longer_has_its_key(store: Store) -> None:
    published(store)
    edited(store, identity={"n_train": 5})
    with pytest.raises(CorruptArtifact, match=rf"kind, version, identity and parents make it dsyn-.*'{PARENT.key}'"):
        store.manifest(PARENT.key)


def test_a_manifest_of_before_there_were_hashes_is_read_and_a_half_removed_record_is_not(store: Store) -> None:
    whole = published(store)
    edited(store, record={})
    assert store.manifest(PARENT.key) == replace(whole, record={})
    edited(store, record={name: text for name, text in whole.record.items() if name != "facts"})
    with pytest.raises(CorruptArtifact, match=r"facts changed since it was published"):
        store.manifest(PARENT.key)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused_when_read(store: Store, text: str) -> None:
    published(store)
    path = store.folder(PARENT.key) / "manifest.json"
    path.write_text(path.read_text().replace('"n": 1', f'"n": {text}'))
    with pytest.raises(CorruptArtifact, match=rf"the number {text} is not finite"):
        store.manifest(PARENT.key)


def test_a_number_that_is_not_finite_is_never_published(store: Store) -> None:
    folder = store.builds.start(PARENT.key)
    with pytest.raises(ValueError, match=rf"{PARENT.key}: facts.of.1 is nan: every number .* must be finite"):
        store.publish(PARENT, folder, {"of": [0.5, float("nan")]}, Cost(), {})
    with pytest.raises(ValueError, match=r"cost.flops is inf: every number .* must be finite"):
        store.publish(PARENT, folder, {}, Cost(flops=float("inf")), {})
    assert store.built() == []


@pytest.mark.parametrize(
    "key",
    [
        "../../x", "sft-0", "SFT-0123456789abcdef", "sft-0123456789ABCDEF", "sft-0123456789abcdef/..", ".building",
        "sft-0123456789abcdef\n", "../sft-0123456789abcdef", "", "sft-\u0660123456789abcdef",
    ],
)  # fmt: skip
def test_no_path_is_made_of_what_is_no_key(store: Store, key: str) -> None:
    for path in (
        store.folder,
        store.log_path,
        store.checkpoint_dir,
        store.builds.start,
        store.manifest,
        store.set_aside,
    ):
        with pytest.raises(ValueError, match=r"is not a key: expected a stage's kind, a dash and 16 hexadecimal"):
            path(key)
    assert not store.root.exists()


def test_a_stage_of_an_impossible_kind_has_no_key() -> None:
    with pytest.raises(ValueError, match=r"is not a key"):
        Stage("../../x", 1, {}).key  # noqa: B018


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parents": {"dsyn": "../../x"}}, r"'../../x', a parent, is not a key"),
        ({"files": {"../x": {"n_bytes": 1, "sha256": "0" * 64}}}, r"'../x', a file, has a wrong name"),
        ({"files": {"/x": {"n_bytes": 1, "sha256": "0" * 64}}}, r"'/x', a file, has a wrong name"),
        ({"files": {"x": {"n_bytes": 1, "sha256": "0"}}}, r"'x', a file, has a wrong name, size or hash"),
        ({"version": "1"}, r"version of another type"),
        ({"facts": []}, r"facts of another type"),
    ],
)
def test_a_manifest_with_a_field_of_another_kind_is_refused(store: Store, changes: dict[str, Any], told: str) -> None:
    published(store)
    edited(store, **changes)
    with pytest.raises(CorruptArtifact, match=told):
        store.manifest(PARENT.key)


@pytest.mark.parametrize("root", ["", "  "])
def test_a_store_without_a_name_is_refused(root: str) -> None:
    with pytest.raises(ValueError, match=r"exec.store= is empty: expected a folder"):
        Store(root)


def test_a_store_in_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match=r"exec.store=~nobody-at-all/x: .*give the folder without ~"):
        Store("~nobody-at-all/x")


def test_what_is_not_named_like_an_artifact_is_not_listed_as_built(store: Store) -> None:
    published(store)
    for name in ("report", "sft", "sft-0123", ".grids"):
        (store.root / name).mkdir()
    assert store.built() == [PARENT.key]


def test_one_file_is_read_and_compared_with_its_hash_and_no_other_is_looked_into(store: Store) -> None:
    folder = store.builds.start(PARENT.key)
    (folder / "rows.txt").write_text("rows")
    (folder / "weights.bin").write_bytes(b"weights")
    store.publish(PARENT, folder, {}, Cost(), {})
    (store.folder(PARENT.key) / "weights.bin").write_bytes(b"wEights")
    assert store.read(PARENT.key, "rows.txt") == b"rows"
    with pytest.raises(CorruptArtifact, match=r"weights.bin does not have the sha256"):
        store.read(PARENT.key, "weights.bin")
    with pytest.raises(CorruptArtifact, match=r"its manifest lists no other.txt"):
        store.read(PARENT.key, "other.txt")
    with pytest.raises(FileNotFoundError, match=r"not built yet"):
        store.read(NOT_BUILT, "rows.txt")


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
    os.rename(store.folder(PARENT.key), store.folder(NOT_BUILT))
    with pytest.raises(CorruptArtifact, match=rf"its manifest is that of {PARENT.key}"):
        store.manifest(NOT_BUILT)


def test_a_corrupted_artifact_set_aside_can_be_built_again(store: Store) -> None:
    published(store)
    (store.folder(PARENT.key) / "data.txt").write_text("123")
    aside = store.set_aside(PARENT.key)
    assert (aside / "data.txt").read_text() == "123"
    assert store.manifest(PARENT.key) is None
    published(store)
    assert (store.open(PARENT.key).path / "data.txt").read_text() == "12345"


def test_a_store_whose_path_is_no_utf8_is_refused_before_any_work(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"n\xff")
    with pytest.raises(ValueError, match=r"lies in a folder whose name is not UTF-8, .* exec.store=FOLDER"):
        Store(odd / "store").check_writable()
    assert not odd.exists()
    Store(tmp_path / "größe 數").check_writable()


def test_a_store_that_is_not_there_yet_has_nothing_built_and_one_that_locks_and_is_shared_by_nobody_is_no_news(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Store(tmp_path / "store").built() == []
    Store(tmp_path / "store").check_writable()
    assert capsys.readouterr().err == ""


def test_a_store_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for below in ("store", "a/store"):  # else each artifact of a plan would be looked for there and called corrupted
        with pytest.raises(ValueError, match=rf"file/{below} lies in .*/file, which is a file, expected a folder"):
            Store(tmp_path / "file" / below)
