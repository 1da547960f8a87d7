"""Signs of life: what the file of a stage under construction says, before, during and after."""

import getpass
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sweep import heartbeat
from sweep.heartbeat import Heartbeat, Moment, Pulse, end, now, path_of, read, write

KEY = "train-0123456789abcdef"
OLD = Heartbeat(KEY, "h1", "ann", 7, "", started=1000.0, progress="update 3 of 40", progressed=1060.0, time=1090.0)
BEAT = replace(OLD, boot="b1", started_ticks=10.0, progressed_ticks=70.0, ticks=100.0)  # the same seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return path_of(tmp_path, KEY)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_says_who_builds_since_when_and_how_far_and_is_gone_when_built(path: Path) -> None:
    began = time.time()
    with Pulse(path, KEY, "12_3") as pulse:
        first = read(path)
        assert first is not None and began <= first.started == first.progressed <= first.time
        assert (first.key, first.host, first.user) == (KEY, socket.gethostname(), getpass.getuser())
        assert (first.pid, first.job, first.progress, first.outcome) == (os.getpid(), "12_3", "", "")
        pulse.at("update", 1200, 4000)
        pulse._write()
        second = read(path)
        assert second is not None and second.progress == "update 1,200 of 4,000"
        assert second.progressed > first.progressed and second.started == first.started
    assert not path.exists()
    assert list(path.parent.iterdir()) == []


def test_it_beats_by_itself_while_the_stage_is_silent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    with Pulse(path, KEY):
        first = read(path)
        assert first is not None
        wait_until(lambda: (beat := read(path)) is not None and beat.time > first.time)
        later = read(path)
        assert later is not None and later.progressed == first.progressed


@pytest.mark.parametrize(("error", "outcome"), [(ValueError("a\n b"), "failed"), (KeyboardInterrupt("a b"), "stopped")])
def test_a_build_that_ends_otherwise_says_how(path: Path, error: BaseException, outcome: str) -> None:
    with pytest.raises(type(error)), Pulse(path, KEY):
        raise error
    beat = read(path)
    assert beat is not None and (beat.outcome, beat.error) == (outcome, f"{type(error).__name__}: a b")


def test_a_build_that_stops_at_a_checkpoint_has_not_failed(path: Path) -> None:
    from sweep.models import Interrupted

    with pytest.raises(Interrupted), Pulse(path, KEY):
        raise Interrupted(3, 40)
    beat = read(path)
    assert beat is not None and (beat.outcome, beat.error) == (
        "stopped", "Interrupted: training stopped on request after update 3 of 40",
    )  # fmt: skip


def test_a_folder_that_cannot_be_written_costs_the_sign_of_life_alone(tmp_path: Path) -> None:
    (tmp_path / ".building").write_text("no folder")
    with Pulse(path_of(tmp_path, KEY), KEY) as pulse:
        pulse.at("update", 1, 2)
        pulse._write()
    assert read(path_of(tmp_path, KEY)) is None


def test_a_link_in_its_place_is_replaced_and_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    path.parent.mkdir()
    path.symlink_to(tmp_path / "precious")
    write(path, BEAT)
    assert (tmp_path / "precious").read_text() == "x" and not path.is_symlink()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps(asdict(BEAT) | {"pid": "7"}),
        json.dumps(asdict(BEAT) | {"more": 1}),
        json.dumps({"key": KEY}),
        "\ud800",
    ],
)
def test_a_file_that_holds_something_else_is_no_heartbeat(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert read(path) is None


def test_it_says_on_which_card_and_one_that_an_older_version_wrote_says_none(path: Path) -> None:
    with Pulse(path, KEY, card="0,1"):
        found = read(path)
    assert found is not None and found.card == "0,1"
    assert replace(BEAT, card="1").by_whom() == "ann on h1, process 7, card 1"
    later = ("card", "boot", "started_ticks", "progressed_ticks", "ticks")
    path.write_text(json.dumps({name: value for name, value in asdict(OLD).items() if name not in later}))
    assert read(path) == OLD


def test_what_was_written_is_read(path: Path) -> None:
    write(path, BEAT)
    assert read(path) == BEAT


def test_the_end_of_a_process_that_was_killed_is_written_for_it_and_for_no_other(path: Path) -> None:
    mine = replace(BEAT, host=socket.gethostname())
    write(path, mine)
    end(path, 8, "failed", "why")  # another process goes on with the stage
    assert read(path) == mine
    end(path, 7, "failed", "why")
    assert read(path) == replace(mine, outcome="failed", error="why")
    end(path, 7, "stopped", "later")  # it has said its own last word
    assert read(path) == replace(mine, outcome="failed", error="why")


def test_silence_is_said_from_five_minutes_on() -> None:
    def at(seconds: float) -> Moment:  # since its last beat
        return Moment(1090 + seconds, 100 + seconds, "b1")

    for beat in (BEAT, OLD):
        assert beat.silence(at(-30 + 299)) == ""
        assert beat.silence(at(-30 + 300)) == "no progress for 5 min"
        assert beat.silence(at(300)) == "no sign of life for 5 min"
        assert (beat.unseen_s(at(5)), beat.quiet_s(at(5)), beat.lasted_s(at(5))) == (5, 35, 95)
    alive = replace(BEAT, time=1060 + 7200.0, ticks=70 + 7200.0)
    assert alive.silence(Moment(1060 + 7200, 70 + 7200, "b1")) == "no progress for 2 h"


@pytest.mark.parametrize("set_by", [-86400, -3600, 3600, 86400])
def test_a_clock_that_is_set_changes_no_silence_on_its_machine(set_by: float) -> None:
    assert BEAT.silence(Moment(1090 + set_by + 5, 105.0, "b1")) == ""
    assert BEAT.silence(Moment(1090 + set_by + 300, 400.0, "b1")) == "no sign of life for 5 min"
    elsewhere = replace(BEAT, time=BEAT.time + set_by)  # set there, between its progress and its last beat
    assert elsewhere.silence(Moment(elsewhere.time + 269, 5.0, "b2")) == ""
    assert elsewhere.silence(Moment(elsewhere.time + 270, 5.0, "b2")) == "no progress for 5 min"


def test_a_machine_whose_clock_is_ahead_is_said_to_tell_nothing() -> None:
    assert BEAT.silence(Moment(BEAT.time - 299, 5.0, "b2")) == ""
    ahead = "the clock of h1 is 60 min ahead of this machine's, so its signs of life tell nothing"
    assert BEAT.silence(Moment(BEAT.time - 3600, 5.0, "b2")) == ahead


def test_processes_of_one_machine_count_the_same_ticks(path: Path) -> None:
    with Pulse(path, KEY):
        tell = "from sweep import heartbeat; at = heartbeat.now(); print(at.ticks, at.boot, sep=chr(10))"
        told = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout
        ticks, boot = told.splitlines()
        beat = read(path)
        assert beat is not None and beat.boot == boot == now().boot
        assert 0 < float(ticks) - beat.ticks < 600 and 0 < beat.unseen_s(now()) < 600


def test_the_builder_is_a_process_here_and_a_job_under_slurm() -> None:
    assert BEAT.by_whom() == "ann on h1, process 7"
    assert replace(BEAT, job="12_3").by_whom() == "ann on h1, job 12_3"
