"""Every reader of what comes from outside, tried with what nobody would write: it reads, or it refuses in words.

A target is a strategy for inputs and what must hold for each of them. What was ever found stays as `found` and is
tried first. Here each target is tried quickly and always alike; `python tests/fuzz.py --minutes 60` takes its time.
"""

import json
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_slurm_settings import stands_on_one_line

from sweep.artifacts import MANIFEST, CorruptArtifact, Cost, Manifest, Stage, Store, read_jsonl
from sweep.data.gsm8k import final_answer, normalised_number, parsed_problems, steps_of
from sweep.data.jsonl import objects
from sweep.data.records import Credit, Trace

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


@dataclass(frozen=True)
class Target:
    name: str
    inputs: st.SearchStrategy[Any]
    holds: Callable[[Any], None]  # raises where it does not
    found: tuple[Any, ...] = ()


def tried(target: Target, n_examples: int, *, is_alike: bool) -> None:
    """Tries a target on n_examples inputs, the same ones each time or new ones."""

    def holds(value: Any) -> None:
        target.holds(value)

    test = given(target.inputs)(holds)
    for value in target.found:
        test = example(value)(test)
    settings(
        max_examples=n_examples, deadline=None, database=None, derandomize=is_alike,
        suppress_health_check=list(HealthCheck),
    )(test)()  # fmt: skip


# ---------------------------------------------------------------- inputs

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
NAMES = st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
PIECES = st.sampled_from([
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u", b"\\ud800", b"NaN", b"-Infinity", b"1e999", b"-0",
    b"9" * 2000, b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff", b"\r", b"\n", b"\x00", b"null", b"[" * 3000,
    b'{"a":' * 3000, b"#### ", "٧".encode(), "７".encode(), "−".encode(),
])  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of a sound file, with a few pieces cut out, put in or doubled."""
    content = draw(whole)
    for _ in range(draw(st.integers(0, 3))):
        a, b = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        piece = draw(st.one_of(PIECES, st.binary(max_size=4), st.just(content[a:b])))
        content = content[:a] + piece + content[draw(st.sampled_from([a, b])) :]
    return content


def lines_of(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return st.lists(rows, max_size=4).map(lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode())


NUMBERS = st.text("0123456789,.$%+-− ٣７²½eE#\n\t ", max_size=12) | st.decimals(allow_nan=False).map(str)
SOLUTIONS = st.tuples(st.text(max_size=20), NUMBERS | st.integers().map(str)).map("#### ".join)


# ---------------------------------------------------------------- what must hold


def json_lines_hold(content: bytes) -> None:
    try:
        rows = list(objects(content, "some.jsonl"))
    except ValueError as error:
        assert re.match(r"some\.jsonl, line \d+", str(error))
        str(error).encode()  # it can be printed
        return
    for number, row in rows:
        assert 1 <= number <= content.count(b"\n") + 1
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()


def problems_hold(content: bytes) -> None:
    try:
        parsed = parsed_problems(content, "some.jsonl")
    except ValueError as error:
        assert re.match(r"some\.jsonl, line \d+", str(error))
        str(error).encode()
        return
    assert len({p.problem_id for p, _ in parsed}) == len(parsed)
    for problem, solution in parsed:
        assert normalised_number(problem.answer) == problem.answer == final_answer(solution)


def number_holds(text: str) -> None:
    """One spelling, in ASCII, of a number that Python's own decimals read as the same one."""
    number = normalised_number(text)
    if number is None:
        return
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", number) and number != "-0"
    assert normalised_number(number) == normalised_number(f" ${number}. ") == number
    bare = re.sub(r"[,٬，$＄﹩%％\s]|\.+$", "", text.strip()).replace("−", "-").replace("－", "-").replace("﹣", "-")
    bare = re.sub(r"[.．٫]+$", "", bare).replace("＋", "+").replace("．", ".").replace("٫", ".")
    with suppress(ArithmeticError):
        assert Decimal(number) == Decimal(bare)


def answer_holds(text: str) -> None:
    answer = final_answer(text)
    assert answer is None or ("#### " in text and normalised_number(answer) == answer)


def steps_hold(text: str) -> None:
    for step in ("line", "sentence"):
        steps = steps_of(text, step)
        assert "".join(steps) == text and all(steps)
        if final_answer(text) is not None and "\n" not in text.split("#### ", 1)[1]:
            assert "#### " in steps[-1]


def records_hold(content: bytes) -> None:
    path = FOLDER / "records.jsonl"
    path.write_bytes(content)
    for record in (Trace, Credit):
        try:
            read = read_jsonl(path, record)
        except ValueError as error:
            assert str(error).startswith(f"{path}, line ")
            continue
        assert all(isinstance(row.problem_id, str) and isinstance(row.is_correct, bool) for row in read)


STORE, STAGE = Store(FOLDER / "store"), Stage("dsyn", 1, {"n_train": 4, "lr": 0.1}, {"base": Stage("base", 1, {})})


def sound_manifest() -> dict[str, Any]:
    if STORE.manifest(STAGE.key) is None:
        folder = STORE.start(STAGE.key)
        (folder / "data.txt").write_text("12345")
        STORE.publish(STAGE, folder, {"n": 1, "entropy": 0.5}, Cost(n_updates=2), {"host": "here"})
    return asdict(STORE.manifest(STAGE.key))


MANIFEST_OF = json.dumps(sound_manifest())


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """A manifest with one of its values, at any depth, replaced; or its bytes damaged."""
    raw = json.loads(MANIFEST_OF)
    inner, key = raw, draw(st.sampled_from(sorted(raw)))
    while isinstance(inner[key], dict) and inner[key] and draw(st.booleans()):
        inner, key = inner[key], draw(st.sampled_from(sorted(inner[key])))
    if draw(st.booleans()):
        inner[key] = draw(VALUES)
    elif draw(st.booleans()):
        inner[draw(st.text(max_size=300))] = inner.pop(key)
    return draw(damaged(st.just(json.dumps(raw).encode())))


def manifest_holds(content: bytes) -> None:
    (STORE.folder(STAGE.key) / MANIFEST).write_bytes(content)
    try:
        manifest = STORE.manifest(STAGE.key)
    except CorruptArtifact as error:
        str(error).encode("utf-8", "surrogateescape")
        return
    assert isinstance(manifest, Manifest) and manifest.key == STAGE.key


TRACES = st.builds(Trace, st.text(max_size=5), st.text(max_size=9), st.booleans(), st.booleans()).map(asdict)

TARGETS = [
    Target(
        "json lines", damaged(lines_of(st.dictionaries(NAMES, VALUES, max_size=3))), json_lines_hold,
        found=(
            b'{"question": "\\ud83d"}', b'{"a": 1, "a": 2}', b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1e999}', b"3",
            b'{"a": NaN}', b"\xef\xbb\xbf{}", b'{"a": "\xed\xa0\xbd"}', b"[" * 100_000, b'{"a":' * 100_000,
            b'{"\\udfff": 1}',
        ),
    ),
    Target(
        "problems", damaged(lines_of(st.fixed_dictionaries({"question": st.text(max_size=9), "answer": SOLUTIONS}))),
        problems_hold,
        found=(
            '{"question": "q", "answer": "#### ٧٢"}'.encode(), '{"question": "q", "answer": "#### 7²"}'.encode(),
            b'{"question": "q", "answer": "#### 1\\n#### 2"}', b'{"question": "q", "answer": ["#### 1"]}',
        ),
    ),
    Target("numbers", NUMBERS | st.text(max_size=12), number_holds, found=("٧٢", "７，００．５", "−0", "5...")),
    Target("answers", SOLUTIONS | st.text(max_size=40), answer_holds, found=("#### " * 3 + "7", "####７")),
    Target("steps", st.text("ab1.!? \n\t\r#", max_size=40) | SOLUTIONS, steps_hold, found=("\n", " \n \n", "a.\n b")),
    Target(
        "SLURM settings", st.text(max_size=12) | st.text("ab '\"\\#$`=%\n\r\t\0\x85\u2028-", max_size=12),
        stands_on_one_line, found=("\\", "a\x85b", "a\u2028b"),
    ),
    Target("records", damaged(lines_of(TRACES)), records_hold, found=(b'{"problem_id": 1}', b"{}", b"")),
    Target(
        "manifests", manifests() | st.binary(max_size=40), manifest_holds,
        found=(
            b"[" * 100_000, b"null", b"{}",
            *(json.dumps({**json.loads(MANIFEST_OF), "files": {n: {"n_bytes": 1, "sha256": ""}}}).encode()
              for n in ("9" * 300, "../x", "/etc/passwd", "\0")),
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_what_comes_from_outside_is_read_or_refused_in_words(target: Target) -> None:
    tried(target, 100, is_alike=True)
