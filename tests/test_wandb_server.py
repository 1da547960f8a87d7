"""W&B's server: asked once, never waited for without a bound, and told each update once. A server of ours answers."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_wandb import KEY, Cloud, Run, inspected, served
from tiny_sweep import Sweep, planned

from sweep.artifacts import Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.local import run as run_here
from sweep.tracking import offline, server
from sweep.tracking.offline import recorded
from sweep.tracking.sync import sync
from sweep.wandb_file import NotWhole

WANDB = TrackingConfig(name="wandb")
KEY_OF_RUN = "sft-44136fa355b3678a"  # as the script below names its stage, so that `sync` finds it in a store

# logs the updates FIRST..LAST into a store's curves; a third word ends it with kill -9, its stage not being over
# and the variable W_AND_B_DIES_AT ends W&B's own process before an update
TRACK = """
import os, signal, subprocess, sys, time
from pathlib import Path
from sweep.artifacts import Stage
from sweep.config import TrackingConfig
from sweep.tracking import Tracker
folder, key, mode, first, last = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
stage = Stage("sft", 1, {})
stage.__dict__["key"] = key
folder.mkdir(parents=True, exist_ok=True)
tracker = Tracker(folder, stage, TrackingConfig(name="wandb", mode=mode or None), "tests")
with tracker:
    for update in range(first, last + 1):
        if os.environ.get("W_AND_B_DIES_AT") == str(update):
            subprocess.run(["pkill", "-KILL", "-P", str(os.getpid())], check=True)
        tracker.log(update, {"train/loss": 1.0 / update})
    if len(sys.argv) > 6:
        time.sleep(float(sys.argv[6]))
        os.kill(os.getpid(), signal.SIGKILL)
artifact = Path(sys.argv[1]).parents[2] / key
artifact.mkdir()
tracker.copy_to(artifact)
"""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with served() as found:
        yield found


@pytest.fixture
def with_cloud(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The server as this process' W&B sees it."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(server, "base_url", lambda: cloud.url)
    return cloud


Filed = Callable[[str], None]


@pytest.fixture
def filed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filed]:
    """Writes W&B's settings file of the working folder; W&B reads its files and variables anew."""
    import wandb

    (tmp_path / "wandb").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb.teardown()
    yield lambda text: [(tmp_path / "wandb" / "settings").write_text(f"[default]\n{text}\n"), None][1]
    wandb.teardown()


def environment(cloud: Cloud, **more: str) -> dict[str, str]:
    """That of a process of its own: nothing of W&B's settings here, and short waits where they are in vain."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return {**mine, **cloud.environment(), "WANDB_INIT_TIMEOUT": "3" if cloud.fails else "10", **more}


def tracked(cloud: Cloud, store: Path, mode: str, first: int, last: int, *more: str, **variables: str) -> str:
    """What the script says on stderr; a kill it asked for is no failure."""
    curves = store / ".checkpoints" / KEY_OF_RUN / "curves"
    line = [sys.executable, "-c", TRACK, curves, KEY_OF_RUN, mode, str(first), str(last), *more]
    done = subprocess.run(line, env=environment(cloud, **variables), capture_output=True, text=True, timeout=600)
    assert done.returncode == (-signal.SIGKILL if more else 0), done.stderr
    return done.stderr


def killed_online(cloud: Cloud, store: Path) -> None:
    """12 updates logged, of which a killed W&B had sent 7; the summary goes ahead of the curve."""
    tracked(cloud, store, "offline", 1, 12, "0")
    history = {n: {"_step": n, "update": n + 1, "train/loss": 1 / (n + 1)} for n in range(7)}
    cloud.runs[KEY_OF_RUN] = Run(KEY_OF_RUN, history=history, summary={"update": 9, "_step": 8})


def updates_in(store: Path) -> list[int]:
    (path,) = (store / KEY_OF_RUN).glob("wandb/*run-*/*.wandb")
    return [row["history"]["item"]["update"] for row in inspected(path) if row["type"] == "history"]


def synced(cloud: Cloud, store: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "sweep", "sync", f"exec.store={store}"]
    return subprocess.run(line, env=environment(cloud, **variables), capture_output=True, text=True, timeout=600)


# ---------------------------------------------------------------- is it asked, does it answer


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("500", "does not answer .*: status 500"),
        ("drop", "does not answer .*ConnectionError"),
        ("hang", "does not answer"),
        ("401", "refuses the key .*status 401"),
        ("403", "refuses the key .*status 403"),
    ],
)
def test_a_server_that_fails_is_named_within_the_wait_and_the_sweep_is_offline(
    how: str, said: str, with_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cloud.fails["graphql"] = how
    if how == "hang":
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "0.5")
    config, lines = server.settled(WANDB)
    assert config.mode == "offline"
    (line,) = lines
    assert re.search(said, line)
    assert "`python -m sweep sync` sends them" in line
    with pytest.raises(ValueError, match=f"online was asked for .* but W&B {said}"):
        server.settled(TrackingConfig(name="wandb", mode="online"))


def test_a_server_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, with_cloud: Cloud) -> None:
    monkeypatch.setattr(server, "_asked", lambda seconds: time.sleep(30))
    began = time.monotonic()
    assert "waited 0.2 s" in (server.asked(0.2) or "")
    assert time.monotonic() - began < 25


def test_a_server_that_answers_is_asked_once_and_nothing_is_said(with_cloud: Cloud) -> None:
    assert server.settled(WANDB) == (
        TrackingConfig(name="wandb", project="rl-on-incorrect", mode=server.PREFERRED),
        [],
    )
    assert with_cloud.asked == [("Viewer", {})]


@pytest.mark.parametrize(
    ("variables", "config", "expected", "said"),
    [
        ({"WANDB_MODE": "offline"}, {}, ("wandb", "offline"), ""),
        ({"WANDB_MODE": "dryrun"}, {}, ("wandb", "offline"), ""),
        ({"WANDB_MODE": "disabled"}, {}, ("jsonl", None), "W&B is disabled"),
        ({"WANDB_DISABLED": "true"}, {}, ("jsonl", None), "W&B is disabled"),
        ({"WANDB_MODE": "online"}, {"mode": "offline"}, ("wandb", "offline"), "offline goes before WANDB_MODE=online"),
        ({"WANDB_DISABLED": "1"}, {"mode": "offline"}, ("wandb", "offline"), "goes before WANDB_DISABLED=1"),
    ],
)
def test_wandbs_own_variables_hold_and_what_goes_before_them_is_said(
    variables: dict[str, str], config: dict[str, str], expected: tuple[str, str | None], said: str, with_cloud: Cloud
) -> None:
    settled, lines = server.settled(TrackingConfig(name="wandb", **config), variables)
    assert (settled.name, settled.mode) == expected
    assert said in " ".join(lines)
    assert bool(said) == bool(lines)
    assert with_cloud.asked == []


def test_project_and_entity_are_those_of_the_variables_unless_the_configuration_names_others() -> None:
    variables = {"WANDB_MODE": "offline", "WANDB_PROJECT": "theirs", "WANDB_ENTITY": "us"}
    config, lines = server.settled(WANDB, variables)
    assert (config.project, config.entity, lines) == ("theirs", "us", [])
    config, lines = server.settled(TrackingConfig(name="wandb", project="ours"), variables)
    assert (config.project, config.entity) == ("ours", "us")
    assert lines == ["tracking.project=ours goes before WANDB_PROJECT=theirs"]
    assert server.settled(WANDB, {"WANDB_MODE": "offline"})[0].project == "rl-on-incorrect"


def test_a_mode_that_wandb_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match=r"WANDB_MODE must be one of online, run, .*; found 'sometimes'"):
        server.settled(WANDB, {"WANDB_MODE": "sometimes"})


@pytest.mark.parametrize("project", ["a/b", "50%", "x" * 129])
def test_a_project_that_wandb_would_refuse_is_refused_before_any_work(project: str) -> None:
    told = "tracking.project or WANDB_PROJECT must be a name that W&B takes, at most 128 characters and none of / "
    for config, variables in (({"project": project}, {}), ({}, {"WANDB_PROJECT": project})):
        with pytest.raises(ValueError, match=told):
            server.settled(TrackingConfig(name="wandb", mode="offline", **config), variables)


@pytest.mark.parametrize("given", ["abc", "0", "-1", "nan"])
def test_a_wait_that_is_no_time_is_refused_by_name(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", given)
    with pytest.raises(ValueError, match=f"WANDB_INIT_TIMEOUT must be a number of seconds above 0, found '{given}'"):
        server.wait_s()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"WANDB_MODE": "offline", "WANDB_DISABLED": "perhaps"},
            "WANDB_DISABLED must be true or false, found 'perhaps'",
        ),
        ({"WANDB_MODE": "offline", "WANDB_ENTITY": "us/ours"}, "WANDB_ENTITY must be a name that W&B takes"),
        ({"WANDB_MODE": "offline", "WANDB_PROJECT": " "}, "no blank at either end; found ' '"),
    ],
)
def test_a_variable_that_cannot_be_obeyed_is_refused_before_any_work(variables: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        server.settled(WANDB, variables)


def test_a_variable_that_a_sweep_decides_or_that_is_misspelt_is_named() -> None:
    variables = {
        "WANDB_MODE": "offline",
        "WANDB_RUN_ID": "a",
        "WANDB_DIR": "b",
        "WANDB_PROJCT": "c",
        "WANDB_QUIET": "1",
    }
    assert server.settled(WANDB, variables)[1] == [
        "WANDB_RUN_ID, WANDB_DIR: not obeyed, a sweep decides that for each of its runs",
        "WANDB_PROJCT is no variable of W&B's: not obeyed (did you mean WANDB_PROJECT?)",
    ]


@pytest.mark.parametrize(
    ("mode", "variables", "expected"),
    [
        ("offline", {}, ("wandb", "offline", "filed")),
        ("disabled", {}, ("jsonl", None, "filed")),
        ("online", {"WANDB_MODE": "offline", "WANDB_PROJECT": "theirs"}, ("wandb", "offline", "theirs")),
    ],
)
def test_what_wandb_offline_and_wandb_init_wrote_holds_and_variables_go_before_it(
    mode: str, variables: dict[str, str], expected: tuple[str, str | None, str], with_cloud: Cloud, filed: Filed
) -> None:
    filed(f"mode = {mode}\nproject = filed")
    settled, _ = server.settled(WANDB, variables)
    assert (settled.name, settled.mode, settled.project) == expected
    assert with_cloud.asked == []
    told = server.settled(TrackingConfig(name="wandb", mode="offline", project="ours"), variables)[1]
    assert any("tracking.project=ours goes before" in line for line in told)


def test_a_mode_of_wandbs_file_that_it_does_not_know_is_refused(filed: Filed) -> None:
    filed("mode = never")
    with pytest.raises(
        ValueError, match=r"mode in W&B's settings file \(.*\) must be one of online, .*; found 'never'"
    ):
        server.settled(WANDB, {})


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WANDB_TAGS": "a,,b"}, r"W&B refuses its own settings: run_tags=\['a', '', 'b'\] .*is empty"),
        ({"WANDB_API_KEY": " k"}, "W&B refuses its own settings: API key cannot start or end with whitespace"),
    ],
)
def test_what_wandb_would_refuse_of_each_run_is_refused_once_offline_too(
    variables: dict[str, str], told: str, filed: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=told):
        server.settled(TrackingConfig(name="wandb", mode="offline"))


def test_a_user_without_a_home_is_told_what_wandb_lacks(filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", "~")  # as of a user that no list of users has
    with pytest.raises(ValueError, match=r"W&B cannot be set up \(Could not determine home .*: set HOME, or add track"):
        server.settled(TrackingConfig(name="wandb", mode="offline"))


def test_a_key_that_cannot_be_read_is_no_missing_key(
    filed: Filed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    (tmp_path / "netrc").symlink_to("netrc")  # read by nobody, root included
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    settled, (line,) = server.settled(WANDB, {})
    assert settled.mode == "offline"
    assert line.startswith(f"W&B's key cannot be read ({tmp_path / 'netrc'}: Too many levels of symbolic links): runs ")


def test_an_address_that_is_none_is_refused_in_a_sentence(cloud: Cloud) -> None:
    line = [sys.executable, "-c", "from sweep.tracking import server; server.base_url()"]
    variables = environment(cloud, WANDB_BASE_URL="nowhere")
    done = subprocess.run(line, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert "ValueError: W&B refuses its own settings: base_url='nowhere' (Input should be" in done.stderr


def test_without_a_key_a_sweep_says_once_where_curves_are_and_what_sends_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    def said(**config: str) -> str:
        with server.for_a_sweep(TrackingConfig(**{"name": "wandb", **config}), tmp_path) as settled:
            server.in_this_process(settled)  # as each stage does
        return capsys.readouterr().err

    assert re.fullmatch("note: no W&B key: .*`python -m sweep sync` sends them.*tracking=jsonl.*\n", said())
    assert said(mode="offline") == said(name="jsonl") == ""


def test_online_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ValueError, match=r"online was asked for .* but no key is configured"):
        server.settled(WANDB, {"WANDB_MODE": "online"})


@pytest.mark.parametrize(
    ("config", "site", "expected"),
    [
        ({}, "offline", ("wandb", "offline")),
        ({}, "online", ("wandb", server.PREFERRED)),
        ({}, "disabled", ("jsonl", None)),
        ({"mode": "online"}, "offline", ("wandb", "online")),
    ],
)
def test_on_a_cluster_the_site_file_decides_what_nobody_else_does(
    config: dict[str, str], site: str, expected: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    settled, _ = server.for_nodes(TrackingConfig(name="wandb", **config), site)
    assert (settled.name, settled.mode) == expected


# ---------------------------------------------------------------- a sweep


def a_sweep(sweep: Sweep, root: Path) -> tuple[list[str], Store]:
    """Run two evaluations whose parents are built, in a store of their own."""
    plan, store = planned("arm=sft", "n_problems=8,16"), Store(root / "store")
    store.root.mkdir()
    for key, stage in plan.stages.items():
        if stage.kind != "evaluate":
            (store.root / key).symlink_to(sweep.store.folder(key))
    assert run_here(plan, Exec(store=str(store.root), n_workers=1), WANDB) == 0
    return [run.evaluate.key for run in plan.runs], store


@pytest.mark.slow
@pytest.mark.parametrize(("part", "how"), [("graphql", "hang"), ("UpsertBucket", "hang"), ("stream", "500")])
def test_a_server_that_fails_costs_a_sweep_one_notice_and_one_wait(
    part: str,
    how: str,
    with_cloud: Cloud,
    sweep: Sweep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", with_cloud.url)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
    with_cloud.fails[part] = how
    keys, store = a_sweep(sweep, tmp_path)
    said = capfd.readouterr()
    assert (said.out + said.err).count("`python -m sweep sync`") == 1
    assert with_cloud.count("Viewer") == 1 and with_cloud.count("UpsertBucket") <= 3
    assert all(store.manifest(key) for key in keys)
    with_cloud.fails.clear()
    done = synced(with_cloud, store.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {run.summary.get("test_error") is not None for run in with_cloud.runs.values()} == {True}
    assert {*keys} <= with_cloud.runs.keys()
    assert not any("otel" in name for name in with_cloud.names())


# ---------------------------------------------------------------- each update once


def test_a_curve_that_a_kill_cut_off_is_whole_offline_with_each_update_once(cloud: Cloud, tmp_path: Path) -> None:
    tracked(cloud, tmp_path, "offline", 1, 12, "0")
    tracked(cloud, tmp_path, "offline", 9, 20)  # from a checkpoint behind update 8
    assert updates_in(tmp_path) == list(range(1, 21))


def test_a_curve_that_a_kill_cut_off_goes_on_online_with_each_update_once(cloud: Cloud, tmp_path: Path) -> None:
    killed_online(cloud, tmp_path)
    tracked(cloud, tmp_path, "online", 9, 20)
    assert [row["update"] for row in cloud.runs[KEY_OF_RUN].rows()] == list(range(1, 21))


def test_a_curve_that_was_online_and_goes_on_offline_is_sent_from_where_the_server_is(
    cloud: Cloud, tmp_path: Path
) -> None:
    killed_online(cloud, tmp_path)
    tracked(cloud, tmp_path, "offline", 9, 20)
    assert updates_in(tmp_path) == list(range(1, 21))
    assert synced(cloud, tmp_path).returncode == 0
    assert [row["update"] for row in cloud.runs[KEY_OF_RUN].rows()] == list(range(1, 21))


@pytest.mark.parametrize(
    ("part", "how"), [("stream", "500"), ("stream", "404"), ("stream", "hang"), ("upload", "hang")]
)
def test_what_does_not_reach_the_server_is_given_up_in_time_found_by_sync_and_sent_once(
    part: str, how: str, cloud: Cloud, tmp_path: Path
) -> None:
    cloud.fails[part] = how
    said = tracked(cloud, tmp_path, "", 1, 12)
    assert f"W&B did not take all of {KEY_OF_RUN}" in said
    cloud.fails.clear()
    done = synced(cloud, tmp_path)
    assert "1 run sent, 0 sent before" in done.stdout and done.returncode == 0, done.stdout + done.stderr
    assert [row["update"] for row in cloud.runs[KEY_OF_RUN].rows()] == list(range(1, 13))
    again = synced(cloud, tmp_path)
    assert "0 runs sent, 1 sent before" in again.stdout and again.returncode == 0
    assert len(cloud.runs[KEY_OF_RUN].rows()) == 12


def test_a_server_that_goes_away_fails_a_stage_that_demands_it(cloud: Cloud, tmp_path: Path) -> None:
    cloud.fails["UpsertBucket"] = "500"
    with pytest.raises(AssertionError, match="Unavailable: W&B does not answer"):
        tracked(cloud, tmp_path, "online", 1, 2)


def test_when_wandbs_own_process_dies_the_run_is_kept_whole_on_this_machine_and_sent_once(
    cloud: Cloud, tmp_path: Path
) -> None:
    said = tracked(cloud, tmp_path, "", 1, 500, W_AND_B_DIES_AT="7")
    assert said.count("`python -m sweep sync` sends them") == 1 and "warning: wandb broke (" in said
    assert updates_in(tmp_path) == list(range(1, 501))
    assert synced(cloud, tmp_path).returncode == 0
    assert [row["update"] for row in cloud.runs[KEY_OF_RUN].rows()] == list(range(1, 501))


def test_a_key_that_is_refused_is_said_to_be(cloud: Cloud, tmp_path: Path) -> None:
    cloud.fails["graphql"] = "401"
    assert "W&B refuses the key" in tracked(cloud, tmp_path, "", 1, 2)
    assert updates_in(tmp_path) == [1, 2]


def test_tags_and_notes_of_wandbs_variables_are_kept_beside_ours(cloud: Cloud, tmp_path: Path) -> None:
    tracked(cloud, tmp_path, "online", 1, 2, WANDB_TAGS="mine,yours", WANDB_RUN_GROUP="theirs", WANDB_NOTES="a note")
    said = cloud.runs[KEY_OF_RUN].said
    assert (said["tags"], said["groupName"], said["notes"]) == (["sft", "mine", "yours"], "theirs", "a note")


def test_what_a_sweep_decides_no_variable_of_wandbs_changes(cloud: Cloud, tmp_path: Path) -> None:
    strange = {
        "WANDB_RUN_ID": "a/b",
        "WANDB_RESUME_FROM": "abc?_step=3",
        "WANDB_CONSOLE": "none",
        "WANDB_NAME": "other",
    }
    tracked(cloud, tmp_path, "offline", 1, 2, **strange)
    (path,) = (tmp_path / KEY_OF_RUN).glob("wandb/*run-*/*.wandb")
    run = recorded(path)
    assert (run.described.key, run.described.name) == (KEY_OF_RUN, KEY_OF_RUN)
    assert [(n_before, point.update) for n_before, point in run.points] == [(0, 1), (1, 2)]


# ---------------------------------------------------------------- sync


def test_sync_sends_a_run_with_the_notes_tags_and_group_that_it_was_recorded_with(cloud: Cloud, tmp_path: Path) -> None:
    then = {"WANDB_TAGS": "mine", "WANDB_RUN_GROUP": "theirs", "WANDB_NOTES": "a note"}
    tracked(cloud, tmp_path, "offline", 1, 2, **then)
    now = {"WANDB_TAGS": "later", "WANDB_RUN_GROUP": "others", "WANDB_NOTES": "another", "WANDB_PROJECT": "elsewhere"}
    done = synced(cloud, tmp_path, **now)
    said = cloud.runs[KEY_OF_RUN].said
    assert (said["tags"], said["groupName"], said["notes"]) == (["sft", "mine"], "theirs", "a note"), done.stderr
    assert "WANDB_PROJECT, WANDB_RUN_GROUP, WANDB_TAGS, WANDB_NOTES: not obeyed, a run is sent as it was" in done.stdout


def test_sync_sends_what_is_whole_names_what_is_not_and_says_so_in_its_exit_code(cloud: Cloud, tmp_path: Path) -> None:
    tracked(cloud, tmp_path, "offline", 1, 5)
    broken = tmp_path / "train-0123456789abcdef/wandb/offline-run-20260101_000000-train-0123456789abcdef"
    broken.mkdir(parents=True)
    path = broken / "run-train-0123456789abcdef.wandb"
    path.write_bytes(b":W&B\xe1\xbe\x00")  # as a kill leaves it
    done = synced(cloud, tmp_path)
    assert done.returncode == 1
    assert f"not whole: {path}: it holds no run" in done.stdout
    assert "1 run sent, 0 sent before, 0 not sent, 1 file not whole (0 of them replaced by others)" in done.stdout
    assert list(cloud.runs) == [KEY_OF_RUN]


def test_a_broken_file_of_a_stage_that_has_a_whole_one_is_named_and_loses_nothing(cloud: Cloud, tmp_path: Path) -> None:
    tracked(cloud, tmp_path, "offline", 1, 5)
    broken = tmp_path / KEY_OF_RUN / f"wandb/offline-run-99990101_000000-{KEY_OF_RUN}"
    broken.mkdir(parents=True)
    (broken / f"run-{KEY_OF_RUN}.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    done = synced(cloud, tmp_path)
    assert done.returncode == 0 and "another run of the stage is" in done.stdout
    assert len(cloud.runs[KEY_OF_RUN].rows()) == 5


def test_sync_sends_no_file_from_elsewhere_and_no_run_that_is_not_the_stages(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked(cloud, tmp_path, "offline", 1, 2)
    (path,) = (tmp_path / KEY_OF_RUN).glob("wandb/*run-*/*.wandb")
    (path.parent / "files").mkdir(exist_ok=True)
    (path.parent / "files" / "link").symlink_to("/etc/passwd")
    for name in ("/etc/passwd", "../../../../secret", "link"):
        with pytest.raises(NotWhole, match=re.escape(f"its file {name} does not lie in the run's own folder")):
            offline._file(path.parent / "files", name)
    other = tmp_path / "sft-0123456789abcdef"
    (tmp_path / KEY_OF_RUN).rename(other)
    shutil.copytree(other / "wandb", tmp_path / "not_a_stage" / "wandb")
    lines: list[str] = []
    done = sync(Store(tmp_path), None, lines.append)
    assert (done.sent, len(done.not_whole)) == ([], 1)
    assert f"its run is {KEY_OF_RUN}, not the stage whose folder it lies in" in lines[0]


def test_a_run_that_is_sent_and_cannot_be_marked_is_sent_all_the_same(cloud: Cloud, tmp_path: Path) -> None:
    tracked(cloud, tmp_path, "offline", 1, 2)
    (path,) = (tmp_path / KEY_OF_RUN).glob("wandb/*run-*/*.wandb")
    mark = path.with_name(path.name + ".synced")
    mark.symlink_to(tmp_path / "nothing")
    done = synced(cloud, tmp_path)
    assert f": sent, which cannot be noted beside it ({mark}: expected a regular file" in done.stdout
    assert (done.returncode, len(cloud.runs[KEY_OF_RUN].history)) == (0, 2)
    assert not (tmp_path / "nothing").exists()


def test_sync_leaves_the_rest_when_the_server_goes_away(cloud: Cloud, tmp_path: Path) -> None:
    tracked(cloud, tmp_path, "offline", 1, 5)
    cloud.fails["UpsertBucket"] = "500"
    done = synced(cloud, tmp_path)
    assert done.returncode == 1 and "NOT SENT: W&B does not answer" in done.stdout
    assert "0 runs sent, 0 sent before, 1 not sent" in done.stdout


def test_sync_without_a_server_a_store_or_alone_is_refused(
    cloud: Cloud, with_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked(cloud, tmp_path, "offline", 1, 2)
    with_cloud.fails["graphql"] = "401"
    with pytest.raises(ValueError, match="1 run is to be sent, but W&B refuses the key"):
        sync(Store(tmp_path), None, print)
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ValueError, match="but no key is configured"):
        sync(Store(tmp_path), None, print)
    with pytest.raises(ValueError, match="nothing: no such store"):
        sync(Store(tmp_path / "nothing"), None, print)
    assert sync(Store(tmp_path), ["train-0123456789abcdef"], print).is_all  # of another grid: nothing to send
    with (tmp_path / ".logs/sync.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"another `python -m sweep sync` of .* is at work; wait for its end"):
            sync(Store(tmp_path), None, print)
