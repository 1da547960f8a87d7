"""Who is alive: locks that are held decide, whatever a host is called and whichever process ids there are."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep import builds, heartbeat, leases, sharing
from sweep.artifacts import LOOKS, CorruptArtifact, Store
from sweep.grids import grids
from sweep.launchers.execute import logged_to
from sweep.looks import looks_of

ROOT = Path(__file__).parents[1]
KEY = "sft-0123456789abcdef"
BUILDER = """if True:
    import sys
    from sweep.artifacts import Store
    store = Store(sys.argv[1])
    with store.builds.lease(sys.argv[2]):
        print(store.builds.start(sys.argv[2]), flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def builder(store: Store) -> Iterator[Callable[[], tuple[subprocess.Popen[str], Path]]]:
    """Starts another process that builds KEY: the process and its folder."""
    started = []

    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(store.root), KEY], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def without_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("host", ["login", "node.with.dots", ""])
def test_a_build_is_dead_when_its_lock_is_free_and_alive_while_it_is_held(
    store: Store, builder: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    process, folder = builder()
    monkeypatch.setattr(socket, "gethostname", lambda: host)  # two containers of one name, or of others
    monkeypatch.setattr(os, "getpid", lambda: process.pid)
    assert store.builds.sweep_dead() == [] and folder.is_dir()
    assert [who.pid for who in store.builds.running().values()] == [process.pid]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert store.builds.running() == {}
    assert store.builds.sweep_dead() == [folder]
    assert list((store.root / ".building").iterdir()) == []


def test_what_a_killed_builder_left_to_a_child_it_was_starting_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a child has its parent's locks from the fork until it runs its own program
    start = "store.builds.start(sys.argv[2])"
    forks = f"folder = {start}; import os; os.fork() or sys.stdin.read() or os._exit(0); print(folder"
    forking = BUILDER.replace(f"print({start}", forks)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", forking, str(store.root), KEY], cwd=ROOT, **pipes)
    assert process.stdin is not None and process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    process.kill()
    process.wait()
    monkeypatch.setattr(builds, "PATIENCE_S", 0.0)
    assert store.builds.sweep_dead([process.pid]) == [] and folder.is_dir()
    monkeypatch.setattr(builds, "PATIENCE_S", 60.0)
    assert store.builds.sweep_dead([process.pid + 1]) == [] and folder.is_dir()  # not of those that are waited for
    threading.Timer(0.2, process.stdin.close).start()
    assert store.builds.sweep_dead([process.pid]) == [folder] and not folder.exists()
    assert list((store.root / ".building").iterdir()) == []
    process.stdout.close()


def test_a_stopped_builder_is_alive(store: Store, builder: Callable[[], Any]) -> None:
    process, folder = builder()
    os.kill(process.pid, signal.SIGSTOP)
    assert store.builds.sweep_dead() == [] and folder.is_dir()
    assert list(store.builds.running()) == [KEY]


def test_a_lease_says_who_holds_it_and_its_file_goes_with_it(store: Store) -> None:
    path = store.root / ".building" / f"{KEY}.lease"
    with store.builds.lease(KEY):
        who = store.builds.running()[KEY]
        assert (who.host, who.pid) == (socket.gethostname(), os.getpid())
        assert str(who) == f"{who.user} on {who.host}, process {who.pid}, since {who.since}"
    assert not path.exists() and store.builds.running() == {}


def test_a_second_one_waits_for_the_first_and_then_has_the_lease(store: Store) -> None:
    order: list[str] = []

    def second() -> None:
        with store.builds.lease(KEY):
            order.append("second")

    with store.builds.lease(KEY):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]


def test_of_those_that_share_a_lease_the_last_removes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    first, second = (leases.take(path, is_shared=True) for _ in range(2))
    assert first is not None and second is not None
    first.give_back()
    assert path.exists() and leases.take(path, is_waiting=False) is None
    second.give_back()
    assert not path.exists()


def test_a_folder_without_a_lock_or_of_another_name_is_nobodys_to_remove(store: Store) -> None:
    place = store.root / ".building"
    (place / f"{KEY}.old.host.12.abcd").mkdir(parents=True)
    (place / "mine.lock").touch()
    (place / "mine").mkdir()
    assert store.builds.sweep_dead() == []
    assert sorted(p.name for p in place.iterdir()) == ["mine", "mine.lock", f"{KEY}.old.host.12.abcd"]


def test_a_lock_that_is_held_is_not_waited_for(store: Store) -> None:
    folder, removed = store.builds.start(KEY), []
    sweeper = threading.Thread(target=lambda: removed.append(Store(store.root).builds.sweep_dead()), daemon=True)
    sweeper.start()
    sweeper.join(timeout=60)
    assert removed == [[]] and folder.is_dir()


def test_a_lock_without_its_folder_goes_and_a_link_in_a_folders_place_stays(store: Store, tmp_path: Path) -> None:
    place = store.root / ".building"
    place.mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    (place / f"{KEY}.0a").symlink_to(tmp_path / "theirs")
    (place / f"{KEY}.0a.lock").touch()
    (place / f"{KEY}.0b.lock").touch()
    assert store.builds.sweep_dead() == []
    assert [path.name for path in place.iterdir()] == [f"{KEY}.0a"] and (tmp_path / "theirs").is_dir()


def test_a_folder_beside_a_free_lease_is_no_dead_build(store: Store) -> None:
    place = store.root / ".building"
    (place / KEY).mkdir(parents=True)
    (place / f"{KEY}.lease").touch()
    assert store.builds.sweep_dead() == [] and (place / KEY).is_dir()


def test_a_lease_of_what_is_no_key_is_no_builder(store: Store) -> None:
    (store.root / ".building").mkdir(parents=True)
    lease = leases.take(store.root / ".building" / "mine.lease")
    assert lease is not None and store.builds.running() == {}
    lease.give_back()


def test_an_abandoned_build_leaves_neither_folder_nor_lock_and_may_be_gone_already(store: Store) -> None:
    folder = store.builds.start(KEY)
    assert len(list(folder.parent.iterdir())) == 2
    store.builds.abandon(folder)
    assert list(folder.parent.iterdir()) == []
    store.builds.abandon(folder)


def test_without_file_locks_a_stage_is_built_all_the_same_and_nothing_is_taken_for_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fcntl, "flock", without_locks)
    store.check_writable()
    assert "has no file locks (flock): two sweeps there may build a stage twice" in capsys.readouterr().err
    with store.builds.lease(KEY):
        folder = store.builds.start(KEY)
        assert Store(store.root).builds.sweep_dead() == [] and folder.is_dir()
        assert store.builds.running() == {}
        store.builds.abandon(folder)
    assert not folder.exists()


def test_another_error_of_a_lock_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"):
        leases.take(tmp_path / "lease")


# file systems of object stores


def test_a_file_system_that_cannot_rename_a_folder_is_refused_in_one_sentence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(ValueError, match=r"cannot rename a folder \(Operation not supported\), as file systems on obj"):
        store.check_writable()
    assert [p.name for p in store.root.iterdir() if p.name.startswith(".probe")] == []


# links


@pytest.mark.parametrize("name", [".logs/{}.log", ".building/{}.lease"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_in_a_shared_store_is_not_followed_and_what_it_points_at_stays_as_it_is(
    store: Store, tmp_path: Path, name: str, link: Callable[..., None]
) -> None:
    target = tmp_path / "thesis.tex"
    target.write_text("three years")
    path = store.root / name.format(KEY)
    path.parent.mkdir(parents=True)
    link(target, path)
    told = "found a symbolic link" if link is os.symlink else "found a file with a second name"
    with pytest.raises(ValueError, match=told), logged_to(path) if ".log" in name else store.builds.lease(KEY):
        print("lost")
    assert target.read_text() == "three years"


@pytest.mark.parametrize("folder", [".building", ".logs", ".checkpoints"])
def test_a_folder_of_the_store_that_is_a_link_is_refused_before_any_work(
    store: Store, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    store.root.mkdir()
    (store.root / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=rf"{folder}: expected a folder, found a symbolic link"):
        store.check_writable()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_something_that_is_no_file_is_not_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((ValueError, OSError), match=r"found no file|No such device"):
        sharing.opened(tmp_path / "pipe", os.O_WRONLY)
    with pytest.raises(ValueError, match="found no file"):
        sharing.opened(tmp_path / "pipe", os.O_RDONLY)


@pytest.fixture
def is_waited_for() -> Iterator[None]:
    """Ends a test that waits for what never comes."""

    def late(*_: object) -> None:
        raise TimeoutError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("is_waited_for")
def test_a_pipe_in_a_files_place_is_told_and_not_waited_for(store: Store) -> None:
    places = [store.folder(KEY) / "manifest.json", store.root / LOOKS, store.root / ".grids" / f"{'0' * 16}.json"]
    places.append(heartbeat.path_of(store.root, KEY))
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
    with pytest.raises(CorruptArtifact, match=r"its manifest.json cannot be read \(OSError\)"):
        store.manifest(KEY)
    with pytest.raises(OSError, match="expected a regular file, found a pipe or device"):
        looks_of(store)
    assert "found a pipe" in grids(store)[1][f".grids/{'0' * 16}.json"]
    assert heartbeat.read(places[-1]) is None


def test_a_log_that_another_process_writes_is_added_to_and_a_finished_one_begins_anew(store: Store) -> None:
    path = store.log_path(KEY)
    with logged_to(path):
        os.write(1, b"the first\n")
        with logged_to(path):
            os.write(1, b"the second\n")
    assert path.read_text() == "the first\nthe second\n"
    with logged_to(path):
        os.write(1, b"anew\n")
    assert path.read_text() == "anew\n"
