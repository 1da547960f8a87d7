"""A teacher behind an endpoint that misbehaves: tries, limits, budget, what is kept, and which problems are refused."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from natural import opened, written

pytest.importorskip("openai", reason="needs the extra teacher")

from sweep.prepare.__main__ import main
from sweep.prepare.alike import Alike
from sweep.prepare.endpoint import Budget, BudgetSpent, Endpoint, NoAnswer, Refused, endpoint_of

SECRET = "sk-do-not-tell-anyone"


def chat(text: Any, **more: Any) -> bytes:
    usage = {"usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    return json.dumps({"choices": [{"message": {"content": text}}], **usage, **more}).encode()


class Server(ThreadingHTTPServer):
    """Answers each request by the next of `script`, then by `speaks`, which is given the user's message."""

    daemon_threads = True
    script: list[Callable[[Handler], None]]
    speaks: Callable[[str], str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that has heard enough hangs up


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == f"Bearer {SECRET}"
        with LOCK:
            ASKED.append(body)
            act = self.server.script.pop(0) if self.server.script else None
        if act is not None:
            return act(self)
        self.say(200, chat(self.server.speaks(body["messages"][0]["content"])))

    def say(self, status: int, content: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


LOCK, ASKED = threading.Lock(), list[Any]()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    ASKED.clear()
    made = Server(("127.0.0.1", 0), Handler)
    made.script, made.speaks = [], lambda text: "fine"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.shutdown()
    made.server_close()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1"


def to(server: Server, cache: Path, budget: Budget | None = None, timeout_s: float = 10.0, **more: Any) -> Endpoint:
    waits: list[float] = []
    made = endpoint_of(address(server), "m", cache, budget or Budget(), timeout_s, wait=waits.append, **more)
    made.waits = waits  # type: ignore[attr-defined]
    return made


def ask(endpoint: Endpoint, text: str = "hello", sample: int = 0) -> str:
    return endpoint.ask(text, sample, max_tokens=50, temperature=0.5)


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.say(code, b'{"error": {"message": "no"}}', **headers)


def hangs(handler: Handler) -> None:
    time.sleep(1.5)
    handler.close_connection = True


def trickles(handler: Handler) -> None:
    handler.say(200, b"{", length=1000)
    for _ in range(20):
        time.sleep(0.1)
        handler.wfile.write(b" ")
        handler.wfile.flush()


def cut(handler: Handler) -> None:
    handler.say(200, chat("x")[:20], length=1000)
    handler.close_connection = True
    handler.connection.close()


def huge(handler: Handler) -> None:
    handler.say(200, b" " * 100_000)


def says(content: bytes) -> Callable[[Handler], None]:
    return lambda handler: handler.say(200, content)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(429), "status 429"),
        (status(500), "status 500"),
        (status(503), "status 503"),
        (hangs, "no response in time"),
        (trickles, "no response in time"),
        (cut, "a connection that broke"),
        (huge, "too long a response"),
        (says(chat("x")[:-9]), "a response of another form"),
        (says(b"<html>busy</html>"), "a response of another form"),
        (says(b"[]"), "a response of another form"),
        (says(b'{"choices": []}'), "a response of another form"),
        (says(b'{"choices": [{"message": null}]}'), "a response of another form"),
        (says(b""), "a response of another form"),
        (says(chat(" ")), "an empty response"),
        (says(chat(["x"])), "an empty response"),
    ],
)
def test_a_fault_is_counted_and_tried_again(fault: Any, kind: str, server: Server, tmp_path: Path) -> None:
    server.script = [fault]
    endpoint = to(server, tmp_path, timeout_s=1.0, most_bytes=10_000)
    assert ask(endpoint) == "fine"
    assert endpoint.counts == {kind: 1} and len(ASKED) == 2
    lost = (0, 0) if kind.startswith("status") else (17, 50)  # what was reserved for an answer that may have been made
    assert (endpoint.budget.n_requests, endpoint.budget.n_in, endpoint.budget.n_out) == (2, 10 + lost[0], 5 + lost[1])


def test_a_server_that_is_not_there_costs_nothing(server: Server, tmp_path: Path) -> None:
    with socket.socket() as bound:  # and nothing listens there
        bound.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        endpoint = endpoint_of(nowhere, "m", tmp_path, Budget(), 10.0, wait=lambda seconds: None, n_tries=2)
        with pytest.raises(NoAnswer, match="2 tries failed, the last with a connection that broke"):
            ask(endpoint)
    assert (endpoint.budget.n_requests, endpoint.budget.n_in, endpoint.budget.n_out) == (2, 0, 0)


def test_waits_double_and_a_server_may_ask_for_longer_ones(server: Server, tmp_path: Path) -> None:
    server.script = [status(500), status(500), status(429, Retry_After="7"), status(429, Retry_After="soon")]
    endpoint = to(server, tmp_path)
    assert ask(endpoint) == "fine"
    assert endpoint.waits == [1.0, 2.0, 7.0, 8.0]  # type: ignore[attr-defined]


def test_tries_end_and_a_refusal_for_good_is_not_repeated(server: Server, tmp_path: Path) -> None:
    server.script = [status(500)] * 3
    with pytest.raises(NoAnswer, match="3 tries failed, the last with status 500"):
        ask(to(server, tmp_path, n_tries=3))
    told = f'{{"error": {{"message": "Incorrect API key provided: {SECRET}"}}}}'.encode()
    server.script = [lambda handler: handler.say(401, told)]
    with pytest.raises(Refused, match=r"refuses model m with status 401: .*\(key\)") as error:
        ask(to(server, tmp_path))
    assert SECRET not in str(error.value) and not list(tmp_path.iterdir())


def test_a_response_that_was_cut_off_is_paid_kept_and_no_answer(server: Server, tmp_path: Path) -> None:
    cut_off = [{"message": {"content": "Ann has 3 app"}, "finish_reason": "length"}]
    server.script = [says(chat("", choices=cut_off))]
    endpoint = to(server, tmp_path)
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(NoAnswer, match="cut off at its longest: 'Ann has 3 app'"):
            ask(endpoint)
    assert len(ASKED) == 1 and endpoint.budget.n_out == 10
    assert endpoint.counts == {"responses cut off at --max-tokens": 2, "responses kept from before": 1}
    server.script = [says(chat("", choices=[{"message": {"content": "whole"}, "finish_reason": "stop"}]))]
    assert ask(endpoint, "other") == "whole"


def test_what_was_said_is_kept_and_nothing_is_asked_twice(server: Server, tmp_path: Path) -> None:
    first = to(server, tmp_path)
    assert [ask(first), ask(first, sample=1), ask(first, "other")] == ["fine"] * 3
    server.speaks = lambda text: "changed"
    again = to(server, tmp_path)
    assert [ask(again), ask(again, sample=1), ask(again, "other"), ask(again, "new")] == ["fine"] * 3 + ["changed"]
    assert len(ASKED) == 4 and again.counts["responses kept from before"] == 3
    assert again.budget.n_in == 40  # what was paid before counts
    for path in tmp_path.iterdir():
        assert SECRET not in path.read_text()
        path.write_text(path.read_text()[:30])
    third = to(server, tmp_path)
    assert ask(third) == "changed" and third.counts["kept responses that cannot be read"] == 1


def test_usage_that_a_server_leaves_out_is_taken_for_what_was_reserved(server: Server, tmp_path: Path) -> None:
    server.script = [
        says(chat("x", usage={"prompt_tokens": -1, "completion_tokens": "many"})),
        says(chat("y", usage=None)),
    ]
    endpoint = to(server, tmp_path)
    ask(endpoint, "a" * 30)
    assert (endpoint.budget.n_in, endpoint.budget.n_out) == (26, 50)
    ask(endpoint, "b" * 30)
    assert endpoint.budget.n_out == 100


@pytest.mark.parametrize(
    ("limits", "n_asked", "told"),
    [
        ({"requests": 2}, 2, "requests: 2 of 2 spent"),
        ({"tokens": 120}, 4, "tokens: 60 of 120 spent, and the next request may take 67"),
        ({"money": 0.001, "price_in": 10.0, "price_out": 10.0}, 3, r"money: 0.00045 of 0.001 spent"),
    ],
)
def test_a_budget_stops_before_it_is_passed(
    limits: dict[str, Any], n_asked: int, told: str, server: Server, tmp_path: Path
) -> None:
    endpoint = to(server, tmp_path, Budget(**limits))
    with pytest.raises(BudgetSpent, match=told):
        for n in range(100):
            ask(endpoint, "hello", n)
    assert len(ASKED) == n_asked == len(list(tmp_path.iterdir()))


def test_an_endpoint_needs_a_key_and_an_address_without_one(server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    for wrong in ("ftp://x", "http://me:pw@host/v1", "http://host/v1?key=x"):
        with pytest.raises(ValueError, match=r"expected http.* without a password or key in it") as error:
            endpoint_of(wrong, "m", tmp_path, Budget(), 1.0)
        assert "pw" not in str(error.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="no key: set OPENAI_API_KEY in the environment"):
        endpoint_of("http://host/v1", "m", tmp_path, Budget(), 1.0)
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(ValueError, match=r"install the extra: pip install '.\[teacher\]'"):
        endpoint_of("http://host/v1", "m", tmp_path, Budget(), 1.0)


# ---------------------------------------------------------------- problems

PLACES = (
    "harbour", "museum", "orchard", "bakery", "library", "stadium", "garden", "railway", "castle", "market", "forest",
    "theatre",
)  # fmt: skip


def story(n: int) -> str:
    place, other = PLACES[n % 12], PLACES[(n // 12 + 5 * n) % 12]
    return f"The {place} near {other} number {n} sold {n + 2} tickets on {place} day, then {n} {other} ones. How many?"


class Model:
    """Writes stories, now and then one that must be refused, and solves them, now and then in disagreement."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, text: str) -> str:
        with LOCK:
            if "Write one new problem" in text:
                self.n += 1
                return {3: "Ada of the test has 12 pens and buys 13 more pens today. How many pens?",
                        5: story(0)}.get(self.n, story(self.n))  # fmt: skip
            n = sum(map(ord, text)) % 97
            return f"Add.\n#### {n}" if "number 6 " not in text else f"Add.\n#### {len(ASKED)}"


TEST = [{"question": "Ada of the test has 2 pens and buys 3 more pens today. How many pens?", "answer": "#### 5"}]
SEEDS = [
    {"question": f"{place} has {i} doors. How many has it?", "answer": f"#### {i}"} for i, place in enumerate(PLACES)
]


def command(server: Server, folder: Path, *more: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    seeds, test = written(folder / "seeds.jsonl", SEEDS), written(folder / "test.jsonl", TEST)
    return [
        "teacher", "--endpoint", address(server), "--model", "m", "--seeds", seeds, "--test", test, "--out",
        str(folder / "out"), "--n", "6", "--solution", "answer", "--parallel", "1", *more,
    ]  # fmt: skip


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "facts.json").read_text())
    return found


def test_new_problems_are_kept_where_solutions_agree_and_they_are_like_no_other(
    server: Server, tmp_path: Path, capsys: Any
) -> None:
    server.speaks, server.script = Model(), [status(429)]
    assert main(command(server, tmp_path)) == 0
    told = facts(tmp_path)
    assert (told["n_kept"], told["n_asked"], told["stopped"]) == (6, 8, "enough is kept")
    assert told["refused"] == {"like a test problem": 1, "no answer that enough solutions agree on": 1}
    assert told["counts"]["status 429"] == 1 and told["model"] == "m"
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert {row["agreed"] for row in rows} == {4} and story(0) in [row["question"] for row in rows]
    (tmp_path / "data").mkdir()
    data = opened("gsm8k", tmp_path / "data", rows, TEST)
    assert data.n_problems("train") == 6 and data.left_out == {}
    out, err = capsys.readouterr()
    everything = out + err + "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert SECRET not in everything


def test_a_spent_budget_keeps_what_is_done_and_a_larger_one_goes_on_without_asking_again(
    server: Server, tmp_path: Path
) -> None:
    server.speaks = Model()
    assert main(command(server, tmp_path, "--budget-requests", "12")) == 0
    first = facts(tmp_path)
    assert first["stopped"].startswith("the budget is spent: what is done is kept") and first["n_requests"] == 12
    before = (tmp_path / "out" / "train.jsonl").read_text()
    assert 0 < first["n_kept"] < 6 and len(ASKED) == 12
    assert main(command(server, tmp_path, "--budget-requests", "500")) == 0
    after = (tmp_path / "out" / "train.jsonl").read_text()
    assert after.startswith(before) and facts(tmp_path)["n_kept"] == 6
    n_asked = len(ASKED)
    assert main(command(server, tmp_path)) == 0 and len(ASKED) == n_asked == facts(tmp_path)["n_requests"]


def test_an_endpoint_that_always_fails_is_not_asked_for_ever(server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("sweep.prepare.teacher.MOST_FAILURES", 2)
    monkeypatch.setattr("sweep.prepare.endpoint.LONGEST_WAIT_S", 0.0)
    server.script = [status(500)] * 100
    assert main(command(server, tmp_path)) == 0
    told = facts(tmp_path)
    assert told["stopped"].startswith("2 problems in a row had no whole answer") and told["n_kept"] == 0
    assert told["refused"] == {"no answer from the endpoint": 2}


def test_a_model_that_repeats_itself_is_stopped_at_the_most_allowed(server: Server, tmp_path: Path) -> None:
    server.speaks = lambda text: story(1) if "Write one" in text else "#### 2"
    assert main(command(server, tmp_path, "--most-asked", "4")) == 0
    told = facts(tmp_path)
    assert told["stopped"] == "4 problems were asked for, the most allowed"
    assert told["refused"] == {"like a seed or a problem kept before": 3} and told["n_kept"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--n", "0"), "--n 0: expected 1 or more"),
        (("--seed", "-1"), "--seed -1: expected 0 or more"),
        (("--n-agree", "5"), "--n-agree 5 of --n-solutions 4: expected as many or fewer"),
        (("--most-shared", "0"), "--most-shared 0.0: expected a number above 0 and at most 1"),
        (("--budget-money", "1"), "--budget-money needs --price-in and --price-out"),
        (("--n-seeds", "13"), "--n-seeds 13: the seeds' file has 12 problems"),
        (("--question", "nope"), "expected rows with a text in the column nope"),
        (("--seeds", "none.jsonl"), "none.jsonl can't be read"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_asked(
    words: tuple[str, ...], told: str, server: Server, tmp_path: Path, capsys: Any
) -> None:
    assert main(command(server, tmp_path, *words)) == 2
    assert told in capsys.readouterr().err and not ASKED


def test_the_seeds_own_folder_is_no_place_for_what_is_written_after_them(
    server: Server, tmp_path: Path, capsys: Any
) -> None:
    own = written(tmp_path / "train.jsonl", SEEDS)
    before = Path(own).read_bytes()
    told = [
        (tmp_path, "train.jsonl there was not written by this command"),
        (tmp_path, f"--out {tmp_path}: {own} is read as a file of problems"),
    ]
    for out, why in told:
        assert main(command(server, tmp_path / "given", "--seeds", own, "--out", str(out))) == 2
        assert why in capsys.readouterr().err and not ASKED
        assert Path(own).read_bytes() == before
        (tmp_path / "facts.json").write_text('{"settings": {}}')  # the second time the folder is ours


def test_likeness_is_a_share_of_runs_of_words() -> None:
    known = Alike(0.5, are_numbers_one=False)
    known.add("Ann has 3 red pens and 4 blue ones.")  # 10 words and marks: 6 runs of 5
    assert known.shared("Ann has 3 red pens and 4 blue ones.") == 1
    assert known.shared("Ann has 3 red pens and 5 green ones.") == 2 / 6  # ann..pens, has..and
    assert not known.is_like_one("Ann has 7 red pens and 8 blue ones.")
    masked = Alike(0.5, are_numbers_one=True)
    masked.add("Ann has 3 red pens and 4 blue ones.")
    assert masked.is_like_one("ann has 17 red pens and 8 blue ones.")
    assert masked.shared("short") == 0
