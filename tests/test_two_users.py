"""Two users of one group and one store: modes by the umask, what the second may do, and refusals in one paragraph."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_sweep import Sweep, build_all

from sweep import sharing
from sweep.artifacts import Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.execute import build
from sweep.models import Interrupted

ROOT = Path(__file__).parents[1]
ANNA, BEN, GROUP = 54321, 54322, 54320


@pytest.fixture
def mask() -> Iterator[Callable[[int], None]]:
    """Sets this process's umask for one test."""
    before = os.umask(0o022)
    yield lambda value: [os.umask(value), None][1]
    os.umask(before)


def wrong_modes(root: Path, umask: int) -> dict[str, str]:
    """What lies below root and has another mode than plain creation gives it."""
    out = {}
    for path in (root, *root.rglob("*")):
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) != wanted:
            out[str(path.relative_to(root))] = oct(stat.S_IMODE(path.stat().st_mode))
    return out


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_every_file_and_folder_of_a_store_obeys_the_umask(
    sweep: Sweep, tmp_path: Path, mask: Callable[[int], None], umask: int
) -> None:
    mask(umask)
    store, stage = Store(tmp_path / "store"), next(s for s in sweep.plan.stages.values() if s.kind == "sft")
    store.check_writable()
    for parent in stage.parents.values():
        (store.root / parent.key).symlink_to(sweep.store.folder(parent.key))
    exec = Exec(store=str(store.root), checkpoint_every_s=0.0)
    with pytest.raises(Interrupted):
        build(stage, store, exec, TrackingConfig(name="jsonl"), lambda: True)
    assert list(store.checkpoint_dir(stage.key).rglob("*.safetensors"))
    assert wrong_modes(store.root, umask) == {}
    build_all(sweep.plan, store, [stage.key])
    assert (store.folder(stage.key) / "model.safetensors").is_file()
    assert wrong_modes(store.root, umask) == {}


def test_a_wider_mode_and_a_set_group_id_stay(tmp_path: Path, mask: Callable[[int], None]) -> None:
    mask(0o022)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    sharing.obey_umask(tmp_path / "shared")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o2775


@pytest.mark.parametrize(
    ("mode", "umask", "told"),
    [
        (0o2775, 0o002, ""),
        (0o2775, 0o022, "with umask 022 nobody else of it can resume or clean up what is built here: give `umask 002`"),
        (0o2770, 0o077, "with umask 077 nobody else of it can read what is built here: give `umask 002`"),
        (0o755, 0o077, ""),  # nobody was meant to share it
    ],
)
def test_what_a_umask_keeps_from_the_group_of_a_shared_store_is_told_before_any_work(
    tmp_path: Path, mask: Callable[[int], None], capsys: pytest.CaptureFixture[str], mode: int, umask: int, told: str
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(mode)
    mask(umask)
    Store(tmp_path / "store").check_writable()
    err = capsys.readouterr().err
    assert told in err and bool(err) == bool(told)


def test_what_may_be_run_belongs_to_this_user_or_to_root_and_is_no_link(tmp_path: Path) -> None:
    mine, link = tmp_path / "mine", tmp_path / "link"
    mine.touch()
    link.symlink_to(mine)
    assert sharing.owned_by_us(mine) and not sharing.owned_by_us(link)
    if os.geteuid() == 0:
        os.chown(mine, BEN, -1)
        assert not sharing.owned_by_us(mine)


# two real users


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def as_user() -> Run:
    """Runs Python as another user of the group, where this process may become one and that one sees the project."""
    seen = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    where = {**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": seen}
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"

    def run(user: int, umask: int, *words: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
        become = ["setpriv", "--reuid", str(user), "--regid", str(GROUP), "--clear-groups"]
        line = [*become, "sh", "-c", f'umask {umask:03o}; exec "$@"', "sh", python or found[0], *words]
        return subprocess.run(line, cwd="/", env=where, text=True, capture_output=True, timeout=300, check=False)

    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("this user may not become another")
    # this Python may lie in a home that nobody else may enter; the system's of the same version will do
    pythons = [sys.executable, *filter(None, [shutil.which(own, path="/usr/local/bin:/usr/bin")])]
    found = [path for path in pythons if not run(BEN, 0o022, "-c", "import sweep.__main__", python=path).returncode]
    if not found:
        pytest.skip("another user cannot read this checkout or a Python for it")
    return run


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of the group, as an administrator sets one up."""
    folder = Path(tempfile.mkdtemp(prefix="two-users-"))
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def annas(sweep: Sweep, shared: Path, umask: int) -> Store:
    """The shared sweep as Anna would have built it with this umask."""
    shutil.copytree(sweep.store.root, shared / "store")
    store = Store(shared / "store")
    store.check_writable()
    for path in (store.root, *store.root.rglob("*")):
        os.chown(path, ANNA, GROUP)
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
    return store


def words(sweep: Sweep, store: Store) -> list[str]:
    return [*sweep.words[:-1], f"exec.store={store.root}"]


def one_paragraph(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sweep: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.slow
def test_with_umask_002_the_second_user_reuses_builds_and_collects(sweep: Sweep, shared: Path, as_user: Run) -> None:
    store, end = annas(sweep, shared, 0o002), sweep.plan.runs[-1].evaluate
    shutil.rmtree(store.folder(end.key))
    grid = ["-m", "sweep", "-m", *words(sweep, store), f"hydra.sweep.dir={shared}/runs"]
    done = as_user(BEN, 0o002, *grid)
    assert done.returncode == 0, done.stderr
    assert "34 built or not needed, 1 to build" in done.stdout
    assert store.folder(end.key).stat().st_uid == BEN
    done = as_user(BEN, 0o002, "-m", "sweep", "collect", "-m", *words(sweep, store), "--out", f"{shared}/table")
    assert done.returncode == 0 and "12 runs and the base model x 40 problems" in done.stdout, done.stderr
    assert wrong_modes(store.root, 0o002) == {}


def test_a_checkpoint_of_the_first_user_is_resumed_and_replaced_by_the_second(shared: Path, as_user: Run) -> None:
    code = f"""if True:
        import sys, torch
        from pathlib import Path
        from sweep.models.checkpoint import read_checkpoint, write_checkpoint
        place, found = Path("{shared}/store"), read_checkpoint(Path("{shared}/store"))
        n = 0 if found is None else found[1]["n"]
        write_checkpoint(place, n + 1, {{"w": torch.zeros(2)}}, {{"n": n + 1}})
        print(n)
    """
    said = [as_user(user, 0o002, "-c", code) for user in (ANNA, BEN, ANNA)]
    assert [done.stdout for done in said] == ["0\n", "1\n", "2\n"], said
    assert [p.name for p in (shared / "store").iterdir()] == ["update-00000003"]


def test_with_umask_022_the_second_user_is_told_in_one_paragraph_and_can_still_read(
    sweep: Sweep, shared: Path, as_user: Run
) -> None:
    store = annas(sweep, shared, 0o022)
    grid = ["-m", "sweep", "-m", *words(sweep, store), f"hydra.sweep.dir={shared}/runs"]
    shutil.rmtree(store.folder(sweep.plan.runs[-1].evaluate.key))
    (shared / "runs").mkdir()
    os.chown(shared / "runs", BEN, GROUP)
    told = one_paragraph(as_user(BEN, 0o022, *grid))
    assert f"exec.store={store.root} must be a folder this user can write to, found: Permission denied" in told
    assert f"{store.root} belongs to user {ANNA}:group {GROUP} with mode 0755, and this is user {BEN}" in told
    assert f"chmod -R g+rwX {store.root}` and should work with umask 002" in told


def test_a_finished_sweep_in_a_store_that_one_may_only_read_is_built_already(
    sweep: Sweep, shared: Path, as_user: Run
) -> None:
    store = annas(sweep, shared, 0o022)
    (shared / "runs").mkdir()
    os.chown(shared / "runs", BEN, GROUP)
    grid = ["-m", "sweep", "-m", *words(sweep, store), f"hydra.sweep.dir={shared}/runs"]
    done = as_user(BEN, 0o022, *grid)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"all 12 runs are built already (35 artifacts in {store.root})\n"
    told = one_paragraph(as_user(BEN, 0o022, *grid, "exec.rebuild_corrupted=true"))  # reads all of it, to move some
    assert "must be a folder this user can write to" in told
    (store.folder(sweep.plan.runs[0].evaluate.key) / "outcomes.parquet").write_bytes(b"")
    told = one_paragraph(as_user(BEN, 0o022, *grid))
    assert "must be a folder this user can write to" in told


def test_a_store_that_only_its_owner_may_read_is_told_in_one_paragraph(
    sweep: Sweep, shared: Path, as_user: Run
) -> None:
    store = annas(sweep, shared, 0o022)
    outcomes = store.folder(sweep.plan.runs[0].evaluate.key) / "outcomes.parquet"
    outcomes.chmod(0o600)
    line = ["-m", "sweep", "collect", "-m", *words(sweep, store), "--out", f"{shared}/table"]
    told = one_paragraph(as_user(BEN, 0o002, *line))
    assert f"{outcomes}: permission denied: {outcomes} belongs to user {ANNA}:group {GROUP} with mode 0600" in told
    (outcomes.parent / "manifest.json").chmod(0o600)
    told = one_paragraph(as_user(BEN, 0o002, *line))
    assert "manifest.json" in told and "corrupted" not in told


def test_a_lease_of_another_user_is_seen_and_not_taken(shared: Path, as_user: Run) -> None:
    store = Store(shared / "store")
    store.check_writable()
    for path in (store.root, *store.root.rglob("*")):
        os.chown(path, ANNA, GROUP)
        path.chmod(0o775)
    key = "sft-0123456789abcdef"
    with store.builds.lease(key):
        code = f"from sweep.artifacts import Store; print(Store('{store.root}').builds.running()['{key}'].pid)"
        assert as_user(BEN, 0o002, "-c", code).stdout == f"{os.getpid()}\n"


def test_what_another_user_made_in_a_sticky_folder_is_opened_without_making_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").touch()
    plain = os.open

    def protected(path: Path, flags: int, mode: int = 0o777) -> int:
        """As with fs.protected_regular, which most distributions set."""
        if flags & os.O_CREAT and path.exists():
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, flags, mode)

    monkeypatch.setattr(os, "open", protected)
    for name in ("lock", "new"):
        os.close(sharing.opened(tmp_path / name, os.O_RDWR | os.O_CREAT))
    with pytest.raises(FileNotFoundError):
        sharing.opened(tmp_path / "none", os.O_RDWR)


def test_a_refusal_without_a_path_still_says_what_to_do() -> None:
    assert "ask the owner of the store for access" in sharing.denied(PermissionError("no"))
