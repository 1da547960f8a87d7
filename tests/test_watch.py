"""Watching a sweep: what it says of every run, that nothing a stage printed is obeyed, and that nothing is changed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import dumped, looked_at, needs_chromium
from tiny_sweep import planned, tiny

from sweep import leases
from sweep.__main__ import main
from sweep.artifacts import Cost, Stage, Store
from sweep.commands.watch import View
from sweep.heartbeat import Heartbeat, path_of, write
from sweep.manifest import Manifest
from sweep.plan import Plan
from sweep.view import log_end, page
from sweep.view.cells import DONE, FAILED, LOST, RUNNING, WAITING
from sweep.view.curves import Curve, Curves, thinned
from sweep.view.picture import Picture, Sitter
from sweep.view.remaining import in_words, remaining, span
from sweep.view.screen import Terminal, changes, cut, screen, width_of
from sweep.view.serve import Server
from sweep.view.settings import settings_of

ROOT = Path(__file__).parents[1]
GRID = ("arm=sft,rft,dpo,step_dpo", "n_problems=8,16", "seed=0,1")
PLAN = planned(*GRID)
HOSTILE = "</script><img src=x onerror=alert(1)>\x1b]0;owned\x07\u202egnp.exe\r\n"


def publish(store: Store, stage: Stage, seconds: float = 2.0) -> Manifest:
    """An artifact as the stage would leave it, its work aside, with a curve where it trains."""
    folder, facts = store.builds.start(stage.key), {"n_rows": 1}
    if stage.kind == "evaluate":
        facts = {"n_test": 40, "n_correct": 30}
    elif stage.kind in ("base", "sft", "train"):
        (folder / "metrics.jsonl").write_text("".join(row(n, loss=4.0 / n) for n in range(1, 21)))
    return store.publish(stage, folder, facts, Cost(seconds=seconds), {})


def row(update: int, **metrics: float) -> str:
    return (
        json.dumps({"update": update, "time": 100.0 + update, **{f"train/{k}": v for k, v in metrics.items()}}) + "\n"
    )


def of_run(arm: str, n_problems: int, seed: int, plan: Plan = PLAN) -> Stage:
    """The evaluation of a run."""
    words = {f"arm={arm}", f"n_problems={n_problems}", f"seed={seed}"}
    return next(run.evaluate for run in plan.runs if words <= set(run.leaf.overrides))


def policy(arm: str, n_problems: int, seed: int) -> Stage:
    return of_run(arm, n_problems, seed).parents["policy"]


def upstream(kind: str, of: Stage) -> Stage:
    return next(stage for stage in of.ancestors() if stage.kind == kind)


def beat(store: Store, stage: Stage, outcome: str = "", error: str = "", since: float = 60.0) -> None:
    now = time.time()
    told = Heartbeat(stage.key, "node7", "ada", 42, "", now - since, "update 3 of 40", now, now, outcome, error, "1")
    write(path_of(store.root, stage.key), told)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Every size=8 run done but one that failed itself; at size=16 advantages of seed=0 failed, and seed=1 is under
    way: its SFT policy is built, per-step DPO's is being built, DPO's was stopped."""
    out = Store(tmp_path / "store")
    failed, lost = policy("dpo", 8, 0), upstream("advantages", of_run("step_dpo", 16, 0))
    busy, stopped = policy("step_dpo", 16, 1), policy("dpo", 16, 1)
    for key, stage in PLAN.stages.items():
        below = [s.key for s in (failed, lost, busy, stopped)]
        is_late = stage.identity.get("n_problems") == 16 and stage.kind == "train"
        is_late |= stage.kind == "evaluate" and stage.parents["policy"].identity.get("n_problems") == 16
        if key not in below and not is_late and not any(p.key in below for p in stage.ancestors()):
            publish(out, stage)
    (out.root / ".logs").mkdir()
    beat(out, failed, "failed", f"ValueError: loss is nan {HOSTILE}")
    out.log_path(failed.key).write_text("a line\n" * 500 + HOSTILE + "ValueError: loss is nan\n", newline="")
    beat(out, lost, "failed", "OutOfMemoryError")
    beat(out, stopped, "stopped", "the sweep was interrupted")
    beat(out, busy)
    held = leases.take(out.root / ".building" / f"{busy.key}.lease")
    assert held is not None
    yield out
    held.give_back()


def words_for(store: Store) -> tuple[str, ...]:
    return (*tiny(*GRID), f"exec.store={store.root}")


def taken(store: Store) -> Picture:
    return Sitter(PLAN, store, "tiny").picture()


def state_of(picture: Picture, arm: str, n_problems: int, seed: int) -> str:
    key = of_run(arm, n_problems, seed).key
    place = [spot.chain[-1] for spot in picture.map.spots].index(key)
    return picture.runs[place][0]


# what is said of stages and runs


def test_a_run_is_where_its_own_stages_are_and_lost_by_those_of_others(store: Store) -> None:
    one = taken(store)
    assert [state_of(one, arm, 8, 0) for arm in ("sft", "rft", "dpo", "step_dpo")] == [DONE, DONE, FAILED, DONE]
    assert [state_of(one, arm, 16, 0) for arm in ("sft", "rft", "dpo", "step_dpo")] == [WAITING, WAITING, WAITING, LOST]
    assert [state_of(one, arm, 16, 1) for arm in ("sft", "rft", "dpo", "step_dpo")] == [WAITING] * 3 + [RUNNING]
    assert (one.map.sizes, one.map.rests) == ((8, 16), ("seed=0", "seed=1"))
    assert one.map.arms == ("SFT", "RFT", "DPO", "per-step DPO")


def test_the_picture_and_status_agree_on_every_stage(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    one = taken(store)
    capsys.readouterr()
    assert main(["status", "-m", *words_for(store), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    of = {state: {key for key, where in one.stages.items() if where.state == state} for state in one.n_stages}
    assert one.n_runs[DONE] == status["complete"] == 7
    assert len(of[DONE]) == status["built"]
    assert of[FAILED] == {*status["failed"], *status["killed"]} and len(of[FAILED]) == 2
    assert of[RUNNING] == set(status["running"])
    assert {*status["stopped"]} <= of[WAITING]
    assert len(of[WAITING] | of[RUNNING] | of[FAILED] | of[LOST]) == status["to_build"]


def test_what_runs_where_and_since_when(store: Store) -> None:
    (one,) = taken(store).running
    assert (one.host, one.user, one.place, one.progress) == ("node7", "ada", "process 42, card 1", "update 3 of 40")
    assert 55 < time.time() - one.since < 120 and one.label == "train self step_dpo n_problems=16 seed=1"


def test_a_base_that_all_share_is_everybodys_wait_and_nobodys_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    base = upstream("base", of_run("sft", 8, 0))
    beat(store, base)
    held = leases.take(store.root / ".building" / f"{base.key}.lease")
    assert held is not None
    one = taken(store)
    held.give_back()
    assert one.n_runs[WAITING] == 16 and one.n_stages[RUNNING] == 1


def test_a_corrupted_artifact_fails_its_runs(store: Store) -> None:
    key = of_run("sft", 8, 1).key
    (store.folder(key) / "manifest.json").write_text("{")
    one = taken(store)
    assert state_of(one, "sft", 8, 1) == FAILED
    assert any(failure.key == key and "corrupted artifact" in failure.why for failure in one.failures)


def test_the_difference_of_two_runs_is_what_differs_and_nothing_else() -> None:
    settings = settings_of([run.leaf.exp for run in PLAN.runs])
    places = {tuple(sorted(w for w in run.leaf.overrides)): n for n, run in enumerate(PLAN.runs)}
    by = [next(n for words, n in places.items() if set(w) <= set(words)) for w in (
        ("arm=dpo", "n_problems=8", "seed=0"), ("arm=dpo", "n_problems=16", "seed=1"))]  # fmt: skip
    assert settings.difference(*by) == [("n_problems", "8", "16"), ("seed", "0", "1")]
    assert settings.difference(by[0], by[0]) == []
    assert "dataset.n_train" not in settings.names  # the same in all


def test_the_difference_of_two_runs_is_told_in_the_terminal(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = "arm=dpo n_problems=8 seed=0", "arm=dpo n_problems=16 seed=1"
    assert watched(*words_for(store), "--between", one, other) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"setting     {one}  {other}",
        f"n_problems  8{' ' * 26}  16",
        f"seed        0{' ' * 26}  1",
    ]
    assert watched(*words_for(store), "--between", one, one) == 0
    assert capsys.readouterr().out == "nothing differs\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("arm=dpo n_problems=8", "arm=sft"),
            "--between 'arm=dpo n_problems=8': .* found 2 such runs; the first run is",
        ),
        (("arm=dop seed=0", "arm=sft"), r"found no such runs: none has arm=dop \(did you mean arm=dpo\?\)"),
        (("arm=sft", "arm=rft", "--once"), "--between prints what differs and ends: give it alone"),
    ],
)
def test_runs_that_are_not_two_of_the_grid_are_refused(
    words: tuple[str, ...], said: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watched(*words_for(store), "--between", *words) == 2
    assert re.search(said, capsys.readouterr().err)


# how long the rest takes


def seconds_of(kinds: dict[tuple[str, int | None], Sequence[float]]) -> dict[str, float]:
    """What some stages of the plan took, by kind and size."""
    out: dict[str, float] = {}
    for (kind, size), took in kinds.items():
        alike = [key for key, s in PLAN.stages.items() if s.kind == kind and s.identity.get("n_problems") == size]
        out |= dict(zip(alike, took, strict=False))
    return out


def trained(n_problems: int) -> list[str]:
    return [k for k, s in PLAN.stages.items() if s.kind == "train" and s.identity["n_problems"] == n_problems]


def test_the_rest_is_an_interval_that_can_be_worked_by_hand() -> None:
    known = seconds_of({("train", 8): (10.0, 14.0)})
    left = [key for key in trained(8) if key not in known]
    assert len(left) == 4
    one = remaining(PLAN, left, {}, known, 2)
    # 4 stages of mean 12 and spread 8 ** 0.5; t(1) = 12.71, and their sum's spread is that of 4 + 16 / 2
    half = 12.71 * 8**0.5 * (4 + 16 / 2) ** 0.5
    assert one.work_s == (0.0, pytest.approx(48 + half))
    assert one.wall_s == (10.0, pytest.approx((48 + half) / 2 + 14.0))
    assert "on 2 builders" in in_words(one)


def test_what_no_two_like_it_have_ended_is_unknown_and_never_a_number() -> None:
    known = seconds_of({("train", 8): (10.0,), ("sft", 8): (3.0, 5.0)})
    left = [key for key in (*trained(8), *trained(16)) if key not in known]
    assert remaining(PLAN, left, {}, known, 1).wall_s is None
    assert in_words(remaining(PLAN, left, {}, known, 1)).startswith("unknown: ")
    sft = [key for key, s in PLAN.stages.items() if s.kind == "sft" and s.identity["n_problems"] == 8]
    part = in_words(remaining(PLAN, [*left, sft[0]], {}, known, 1))
    assert part == f"more than 3 s on 1 builder; of {len(left)} of {len(left) + 1} stages no two like them have ended"
    assert in_words(remaining(PLAN, [], {}, known, 0)) == "nothing left to build"


def test_nobody_who_builds_and_one_that_takes_too_long_are_said() -> None:
    known = seconds_of({("train", 8): (10.0, 10.0)})
    left = [key for key in trained(8) if key not in known]
    assert in_words(remaining(PLAN, left, {}, known, 0)) == "unknown: nobody builds it now; 40 s of work"
    assert in_words(remaining(PLAN, left[:2], {left[0]: 4.0}, known, 1)) == "16 to 26 s on 1 builder"
    late = in_words(remaining(PLAN, left[:2], {left[0]: 99.0}, known, 1))
    assert late == "more than 10 s on 1 builder; 1 being built for longer than any like it took"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (4, 9, "4 to 9 s"),
        (60, 150, "1 to 2.5 min"),
        (3600, 36000, "1 to 10 h"),
        (5, 5, "5 s"),
        (0, 500000, "0 to 5.8 days"),
    ],
)
def test_a_length_of_time_is_said_in_one_unit(low: float, high: float, said: str) -> None:
    assert span(low, high) == said


# logs and curves


def test_the_end_of_a_log_is_bounded_and_its_controls_are_shown(store: Store) -> None:
    end = log_end.log_end(store.log_path(policy("dpo", 8, 0).key))
    assert len(end.lines) == log_end.MOST_LINES and not end.is_whole
    assert end.lines[-2] == "</script><img src=x onerror=alert(1)>\\x1b]0;owned\\x07\\u202egnp.exe"
    assert end.lines[-1] == "ValueError: loss is nan"


def test_a_line_of_a_log_is_cut_and_a_progress_bar_shown_as_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 5000 + b"\n 1%\r 50%\r100%\r\n\xff\xfe\n")
    end = log_end.log_end(path)
    assert end.lines[0] == "x" * 400 + "... (4,600 more characters)" and end.is_whole
    assert end.lines[1:] == ("100%", "\ufffd\ufffd")


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of another user")
    (tmp_path / "a.log").symlink_to(tmp_path / "secret")
    (line,) = log_end.log_end(tmp_path / "a.log").lines
    assert "cannot be read" in line and "symbolic link" in line and "another user" not in line


def test_a_spike_stays_where_a_curve_is_thinned() -> None:
    loss: list[float | None] = [1.0] * 1000
    loss[617] = 9.0
    curve = Curve(range(1, 1001), [0.0] * 1000, {"loss": loss}, 1000)
    few = thinned(curve, 50)
    assert len(few.updates) == 50 and (few.updates[0], few.updates[-1]) == (1, 1000)
    assert 9.0 in few.metrics["loss"] and list(few.updates) == sorted(set(few.updates))
    assert thinned(few, 50) is few


def test_a_curve_under_way_is_read_as_far_as_it_is_and_a_later_line_holds(store: Store) -> None:
    stage, curves = policy("step_dpo", 16, 1), Curves(store)
    assert curves.of(stage.key, False) is None
    path = store.checkpoint_dir(stage.key) / "curves/metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(row(1, loss=3.0) + row(2, loss=2.0) + row(2, loss=1.5) + row(3, loss=float("nan")) + '{"upd')
    found = curves.of(stage.key, False)
    assert found is not None and (found.updates, found.metrics) == ([1, 2, 3], {"loss": [3.0, 1.5, None]})
    assert curves.of(stage.key, False) is found  # the file has not changed


def test_an_artifacts_curve_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, curves = policy("sft", 8, 0), Curves(store)
    found = curves.of(stage.key, True)
    assert found is not None and found.n_updates == 20
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} is read again"))
    assert curves.of(stage.key, True) is found


# the page


def written(store: Store, picture: Picture | None = None) -> str:
    return page.Page(PLAN, store, "python -m sweep watch").text(picture or taken(store))


def data_of(text: str) -> dict[str, Any]:
    """What the page was told."""
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    found: dict[str, Any] = json.loads(block)
    return found


def test_no_text_of_a_log_ends_the_block_that_it_stands_in(store: Store) -> None:
    text = written(store)
    assert text.count("<script") == text.count("</script>") == 2 and "onerror=alert(1)>" not in text
    block = text.partition('id="data">')[2].partition("</script>")[0]
    assert "u003cimg" in block and not set("<>&") & set(block)
    failure = next(one for one in data_of(text)["failures"] if one["logs"])
    assert "</script><img src=x onerror=alert(1)>\\x1b]0;owned\\x07\\u202egnp.exe" in failure["logs"][0]["text"]
    assert "</script>" in failure["why"] and not {"\x1b", "\u202e"} & set(failure["why"])


def test_a_page_names_no_other_host_and_lets_its_own_script_alone_run(store: Store) -> None:
    text = written(store)
    assert not re.search(r"""(src|href|url\(|@import)\s*=?\s*["']?(https?:)?//""", text)
    policy_ = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy_ and "default-src 'none'" in policy_[1] and "unsafe" not in policy_[1]


def test_the_page_has_the_curves_of_what_ended_and_of_what_runs(store: Store) -> None:
    busy = policy("step_dpo", 16, 1)
    path = store.checkpoint_dir(busy.key) / "curves/metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(row(1, loss=3.0))
    data = data_of(written(store))
    curves = {data["keys"][int(at)]: curve for at, curve in data["curves"].items()}
    assert curves[busy.key]["y"] == {"loss": [3.0]}
    assert curves[policy("sft", 8, 0).key]["y"]["loss"][:2] == [4.0, 2.0]


def test_the_page_of_another_is_not_replaced_and_our_own_is(store: Store, tmp_path: Path) -> None:
    for folder in ("theirs", "linked", "ours"):
        (tmp_path / folder).mkdir()
    (tmp_path / "theirs/index.html").write_text("my home page")
    (tmp_path / "linked/index.html").symlink_to(tmp_path / "ours/index.html")
    page.write(tmp_path / "ours", written(store))
    page.check_folder(tmp_path / "ours", store)
    for folder in ("theirs", "linked"):
        with pytest.raises(ValueError, match=r"index\.html there was not written by watch: it is not replaced"):
            page.check_folder(tmp_path / folder, store)
    assert (tmp_path / "theirs/index.html").read_text() == "my home page"
    assert [p.name for p in (tmp_path / "ours").iterdir()] == ["index.html"]


def test_no_page_is_put_into_the_store(store: Store) -> None:
    with pytest.raises(ValueError, match=r"lies in the store .* where watch writes nothing"):
        page.check_folder(store.root / "watch", store)


CLICKS = """
  const click = (id, more) => document.getElementById(id).dispatchEvent(
    new MouseEvent("click", { bubbles: true, ...more }));
  const states = [...document.querySelectorAll("#map button.run")].map((e) => e.className.split(" ")[1]);
  click("run-FAILED");
  const detail = document.getElementById("detail").textContent;
  const log = document.querySelector("#detail pre.log");
  const isAtItsEnd = log.scrollTop > 0 && log.scrollTop + log.clientHeight >= log.scrollHeight - 2;
  const images = document.images.length;
  click("run-OTHER", { shiftKey: true });
  const rows = [...document.querySelectorAll("#difference tbody tr")];
  const differ = rows.map((e) => [...e.cells].map((c) => c.textContent));
  click("run-FAILED"); click("run-OTHER");
  const paths = () => [...document.querySelectorAll("#curves .plot path")].map((e) => e.getAttribute("d"));
  const one = paths();
  const add = document.getElementById("add");
  add.value = document.querySelector("#stages option").value; add.dispatchEvent(new Event("change"));
  const two = paths();
  document.getElementById("log").click();
  return { states, detail, isAtItsEnd, images, differ, one: one.length, two: two.length, drawn: one[0].length,
           logged: paths()[0] !== two[0], title: document.title, hash: location.hash };
"""


@needs_chromium
@pytest.mark.parametrize("width", [1400, 700])
def test_a_browser_shows_runs_logs_differences_and_curves_and_asks_nobody(
    store: Store, tmp_path: Path, width: int
) -> None:
    one = taken(store)
    ends = [spot.chain[-1] for spot in one.map.spots]
    failed, other = ends.index(of_run("dpo", 8, 0).key), ends.index(of_run("sft", 8, 1).key)
    script = CLICKS.replace("FAILED", str(failed)).replace("OTHER", str(other))
    found = looked_at(written(store, one), script, tmp_path, width)
    in_order = [
        state_of(one, arm, n, seed) for arm in ("sft", "rft", "dpo", "step_dpo") for n in (8, 16) for seed in (0, 1)
    ]
    assert found["states"] == in_order
    assert "ValueError: loss is nan" in found["detail"] and "<img src=x onerror=alert(1)>" in found["detail"]
    assert found["isAtItsEnd"] and found["images"] == 0
    assert ["source.name", "self", "teacher"] in found["differ"] and ["seed", "0", "1"] in found["differ"]
    assert "n_problems" not in [name for name, *_ in found["differ"]]
    assert (found["one"], found["two"]) == (1, 2) and found["drawn"] > 100 and found["logged"]
    assert f"a={ends[other]}" in found["hash"]


# on loopback


def asked(address: str, host: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_page_is_served_on_loopback_alone_and_at_its_address_alone() -> None:
    with Server() as server:
        server.text = "the page"
        assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/[\w-]{{20,}}/", server.address)
        assert asked(server.address) == (200, "the page")
        assert asked(f"{server.address}?again") == (404, "") and asked(server.address[:-5]) == (404, "")
        assert asked(server.address, host=f"elsewhere.example:{server.port}") == (404, "")
        bound = {
            line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if f":{server.port:04X} " in line
        }
        assert "00000000" not in {at.split(":")[0] for at in bound}
        with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.port), timeout=2):
            pass


class Newer(str):
    """A page that is another one from the second time on that it is asked for."""

    n_asked = 0

    def encode(self, *_: str) -> bytes:
        Newer.n_asked += 1
        return str(self if Newer.n_asked == 1 else self.replace('"name":"tiny"', '"name":"tiny, later"')).encode()


@needs_chromium
def test_a_served_page_follows_the_sweep(store: Store, tmp_path: Path) -> None:
    with Server() as server:
        server.text = Newer(written(store))
        assert "<h1>tiny, later</h1>" in dumped(server.address, tmp_path, milliseconds=12_000)


def test_a_port_that_is_taken_is_refused() -> None:
    with Server() as server, pytest.raises(ValueError, match=rf"--port {server.port} of 127.0.0.1 cannot be served on"):
        Server(server.port)


# in the terminal


@pytest.mark.parametrize("width", [20, 40, 61, 80, 200])
def test_the_screen_fits_a_terminal_and_obeys_nothing_that_was_logged(store: Store, width: int) -> None:
    lines = screen(taken(store), Terminal(width, 30))
    assert len(lines) <= 30 and all(width_of(line) <= width for line in lines)
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set("".join(lines))
    assert len(screen(taken(store), Terminal(width, 5))) == 5


def test_the_screen_shows_the_map_what_runs_and_how_a_log_ended(store: Store) -> None:
    text = "\n".join(screen(taken(store), Terminal(100, 60, has_signs=False)))
    assert "tiny  # 7 done  > 1 running  . 6 waiting  x 1 failed  / 1 lost" in text
    assert re.search(r"^DPO +x# +\.\.$", text, re.M) and re.search(r"^per-step DPO +## +/>$", text, re.M)
    assert "running train self step_dpo n_problems=16 seed=1: node7 process 42, card 1, 60 s, update 3 of 40" in text
    assert "  | ValueError: loss is nan" in text and text.isascii()


def test_the_screen_shows_the_losses_so_far_of_what_runs(store: Store) -> None:
    one, busy, curves = taken(store), policy("step_dpo", 16, 1), Curves(store)
    assert curves.losses([busy.key]) == {}
    path = store.checkpoint_dir(busy.key) / "curves/metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(row(1, loss=8.0) + row(2, loss=1.0) + row(3, loss=float("nan")) + row(4, loss=2.0))
    losses = curves.losses([busy.key])
    assert losses == {busy.key: [8.0, 1.0, 2.0]}
    shown = screen(one, Terminal(100, 60), losses)
    at = next(n for n, line in enumerate(shown) if line.startswith("running"))
    assert shown[at + 1] == "  loss 8 \u2588\u2581\u2582 2"  # 8, 1 and 2 on eight bars from 1 to 8
    assert "  loss 8 to 2" in screen(one, Terminal(100, 60, has_signs=False), losses)
    assert "  loss 5 \u2581 5" in screen(one, Terminal(100, 60), {busy.key: [5.0]})
    (path.parent / "metrics.jsonl").write_text("".join(row(n, loss=1.0 / n) for n in range(1, 999)))
    assert len(curves.losses([busy.key])[busy.key]) == 32


def test_colours_are_where_they_are_wanted_alone(store: Store) -> None:
    one = taken(store)
    plain = screen(one, Terminal(100, 60))
    coloured = screen(one, Terminal(100, 60, has_colour=True))
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == plain and coloured != plain


def test_a_map_too_wide_for_signs_counts(store: Store) -> None:
    one = taken(store)
    many = replace(one.map, rests=tuple(f"seed={n}" for n in range(40)))
    text = "\n".join(screen(replace(one, map=many), Terminal(60, 60)))
    assert re.search(r"^DPO +1/2\u2717 +0/2$", text, re.M)
    text = "\n".join(screen(replace(one, map=many), Terminal(25, 60)))
    assert "all sizes" in text and re.search(r"^DPO +1/4\u2717$", text, re.M)


def test_a_change_is_a_line_and_no_change_is_none(store: Store) -> None:
    sitter = Sitter(PLAN, store, "tiny")
    before = sitter.picture()
    (first,) = changes(None, before)
    assert "7 of 16 runs done, 6 waiting, 1 running, 1 failed, 1 lost; " in first
    assert changes(before, sitter.picture()) == []
    publish(store, of_run("sft", 16, 0), 3.0)
    lines = changes(before, sitter.picture())
    assert lines[0][9:] == "done evaluate sft n_problems=16 seed=0 3 s"
    assert "8 of 16 runs done" in lines[1] and len(lines) == 2


def test_a_wide_character_has_two_columns() -> None:
    assert width_of("模型") == 4 and cut("模型模型", 5) == "模..." and cut("abc", 3) == "abc" and cut("abcd", 2) == ".."


def test_a_terminal_is_drawn_again_in_place_and_without_colour_where_none_is_wanted(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    one, view = taken(store), View(Curves(store), is_once=False)
    view.show(one)
    first = capsys.readouterr().out
    assert "\x1b" not in first and "7 done" in first
    view.show(one)
    n = first.count("\n")
    assert capsys.readouterr().out == f"\x1b[{n}F\x1b[J{first}"
    monkeypatch.setenv("COLUMNS", "43")  # what is there was broken anew
    view.show(one)
    assert capsys.readouterr().out.startswith("\x1b[H\x1b[2J")
    monkeypatch.setenv("TERM", "dumb")
    View(Curves(store), is_once=False).show(one)
    assert capsys.readouterr().out.count("\n") == 1


# the command


def watched(*words: str) -> int:
    return main(["watch", "-m", *words])


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_size) for p in sorted(folder.rglob("*"))}


def test_a_look_writes_a_page_says_where_and_changes_nothing_in_the_store(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(store.root)
    assert watched(*words_for(store), "--once", "--out", str(tmp_path / "page")) == 0
    said = capsys.readouterr().out
    assert f"page: {tmp_path / 'page/index.html'}" in said and "7 done" in said and "\x1b" not in said
    assert data_of((tmp_path / "page/index.html").read_text())["arms"] == ["SFT", "RFT", "DPO", "per-step DPO"]
    assert tree(store.root) == before
    assert watched(*words_for(store), "--once", "--terminal") == 0
    assert tree(store.root) == before and "page: " not in capsys.readouterr().out


def test_options_that_contradict_each_other_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert watched("--terminal", "--serve") == 2
    assert "--terminal makes no page" in capsys.readouterr().err
    assert watched("--port", "8000") == 2
    assert "--port 8000 is where --serve serves: give both" in capsys.readouterr().err


def test_watching_goes_on_until_all_is_built(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.commands.watch.EVERY_S", 0.05)
    ended = threading.Thread(
        target=lambda: [publish(store, s) for k, s in PLAN.stages.items() if not store.folder(k).exists()]
    )
    ended.start()
    assert watched(*words_for(store), "--out", str(tmp_path / "page")) == 0
    ended.join()
    last = capsys.readouterr().out.splitlines()[-1]
    assert "16 of 16 runs done" in last and last.endswith("all is built")
    assert data_of((tmp_path / "page/index.html").read_text())["is_over"] is True


def test_it_is_served_until_ctrl_c_and_leaves_its_page(store: Store, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "sweep", "watch", "-m", *words_for(store), "--serve", "--out", str(tmp_path / "page")]
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731  # pytest may ignore it
    with subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore
    ) as one:
        assert one.stdout is not None and one.stderr is not None
        address = one.stdout.readline().strip().rpartition(" ")[2]
        status, text = asked(address)
        assert status == 200 and text == (tmp_path / "page/index.html").read_text()
        os.kill(one.pid, signal.SIGINT)
        assert one.wait(60) == 0 and one.stderr.read() == ""
