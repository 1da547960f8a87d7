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

import pyarrow as pa
import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_slurm_settings import stands_on_one_line

from analysis.tables.formats import log_at
from analysis.tables.read import table_at
from analysis.tables.where import filters_of, kept
from sweep.__main__ import VERBS
from sweep.artifacts import MANIFEST, CorruptArtifact, Cost, Manifest, Stage, Store
from sweep.commands.words import Files, composer, line_of
from sweep.compose import leaves
from sweep.data.answers import Answers
from sweep.data.jsonl import objects
from sweep.data.numbers import normalised_number
from sweep.data.problem_rows import Columns, read_row
from sweep.data.records import Credit, Trace
from sweep.data.segments import cutter, up_to_the_answer
from sweep.disk import read_jsonl
from sweep.launchers.plugins import register
from sweep.points import accepted, grid

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


@dataclass(frozen=True)
class Target:
    name: str
    inputs: st.SearchStrategy[Any]
    holds: Callable[[Any], None]  # raises where it does not
    found: tuple[Any, ...] = ()
    n_quick: int = 100  # inputs tried where the whole suite runs


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


ANSWERS, COLUMNS = Answers("#### ", "number"), Columns("gsm8k", "question", "answer", None, None)


def problems_hold(content: bytes) -> None:
    try:
        rows = [(f"some.jsonl, line {number}", row) for number, row in objects(content, "some.jsonl")]
        read = [read_row(row, COLUMNS, ANSWERS) for row in rows]
    except ValueError as error:
        assert re.match(r"some\.jsonl, line \d+", str(error))
        str(error).encode()
        return
    for problem, solution in (one for one in read if not isinstance(one, str)):
        assert normalised_number(problem.answer) == problem.answer == ANSWERS.final(solution)


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
    answer = ANSWERS.final(text)
    assert answer is None or ("#### " in text and normalised_number(answer) == answer)


def steps_hold(text: str) -> None:
    for step, pattern in (("line", None), ("sentence", None), ("pattern", r"[.!?]|\n+")):
        steps, start = cutter(step, pattern)(text), ANSWERS.start(text)
        if start is not None:
            steps = up_to_the_answer(steps, start)
            assert ANSWERS.mark in text[start:] and len("".join(steps[:-1])) <= start
        assert "".join(steps) == text and all(steps)


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
        folder = STORE.builds.start(STAGE.key)
        (folder / "data.txt").write_text("12345")
        STORE.publish(STAGE, folder, {"n": 1, "entropy": 0.5}, Cost(n_updates=2), {"host": "here"})
    manifest = STORE.manifest(STAGE.key)
    assert manifest is not None
    return asdict(manifest)


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


KEYS = st.sampled_from([
    "seed", "n_problems", "arm", "source", "method", "dataset", "model", "variant", "tracking", "experiment", "sft.lr",
    "method.beta", "method.optim.batch_size", "dataset.curriculum", "source.include_teacher", "exec.store", "exec.n",
    "sampling", "hydra.sweep.dir", "hydra/launcher", "hydra.sweeper.params", "model@x", "exec",
])  # fmt: skip
SETTINGS = st.sampled_from([
    "1", "-1", "0.5", "null", "true", "1,2", "a,,b", "range(0,3)", "range(3,0)", "range(0,1,0)", "interval(0,1)",
    "choice(1,2)", "glob(*)", "sort(2,1)", "int(x)", "str(1)", "tag(a,1)", "[1,2]", "{a: 1}", "{1: {}}", "'x", "\"x\"",
    "${seed}", "${no}", "${oc.env:NO}", "${", "\\${a}", "???", "1e999", "nan", "9" * 5000, "dpo", "slurm", "",
])  # fmt: skip
# ASSIGNED: what has a key and a value; WORDS: that damaged, as the shell hands bytes over, or any text
VALUES_GIVEN = SETTINGS | st.text(max_size=9)
ASSIGNED = st.tuples(st.sampled_from(["", "~", "+", "++"]), KEYS, st.just("="), VALUES_GIVEN).map("".join)
VERB_OR_ASSIGNED = (ASSIGNED | st.sampled_from(sorted(VERBS))).map(str.encode)
WORDS = st.one_of(
    damaged(VERB_OR_ASSIGNED).map(lambda content: content.decode("utf-8", "surrogateescape")),
    st.text(max_size=20), st.text("-=~+,[]{}()$@/.:'\"\\ a1", max_size=12),
).map(lambda word: word.replace("\0", ""))  # fmt: skip
register()
with composer(Files()) as HYDRA:
    LOADER = HYDRA.config_loader


def word_holds(word: str) -> None:
    """A word of a command line is taken, or refused with a sentence; Hydra's --version ends the process well."""
    try:
        line = line_of([word], (*VERBS, "help"))
        taken = accepted(LOADER, line.overrides)
    except (ValueError, HydraException) as error:
        assert type(error) is not UnicodeError and str(error).strip()
    except SystemExit as end:
        assert not end.code
    else:
        assert len(taken) == len(line.overrides)


def setting_holds(word: str) -> None:
    """KEY=VALUE is composed, or refused with a sentence; of a large grid the first points."""
    try:
        words = accepted(LOADER, [word])
        with composer(Files()) as hydra:
            master = hydra.compose_config("config", words, RunMode.MULTIRUN, with_log_configuration=False)
        points = grid(LOADER, master)
        assert leaves(LOADER, master, points[:2]) or not points
    except (ValueError, HydraException) as error:
        assert str(error).strip()


COLUMN_NAMES = ("arm", "n_problems", "seed", "val", "lr", "big", "day", "at", "none", "coded")
ROWS = pa.table({
    "arm": ["SFT", None], "n_problems": [64, 128], "seed": pa.array([0, None], pa.int8()), "val": [True, None],
    "lr": [0.1, float("nan")], "big": [2**63 - 1, 2**53 + 1], "day": pa.array([0, 1], pa.date32()),
    "at": pa.array([0, 1], pa.timestamp("s")), "none": pa.nulls(2), "coded": pa.array(["a", "b"]).dictionary_encode(),
})  # fmt: skip
WANTED = st.one_of(
    st.tuples(st.sampled_from(COLUMN_NAMES), st.just("="), NUMBERS | st.text(max_size=9) | SETTINGS).map("".join),
    st.text(max_size=12),
)


def where_holds(words: list[str]) -> None:
    try:
        rows = kept(ROWS, filters_of(words), "some.csv")
    except pa.ArrowInvalid as error:  # the test below says what it should be
        assert "not in range" in str(error)
        return
    except ValueError as error:
        assert type(error) is ValueError and re.match(r"some\.csv: |--where ", str(error))
        return
    assert len(rows)


CELLS = st.sampled_from(["", "SFT", "DPO", "64", "128", "0", "1", "-1", "0.5", "nan", "inf", "true", "x", "1e999", '"'])
HEADERS = st.permutations([
    "arm", "n_problems", "seed", "replicate", "n_correct", "n_test", "error", "is_correct", "problem_id", "seconds",
])  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A file of runs or of outcomes, its columns and cells in any state."""
    names = sorted({"arm", "n_problems", *draw(HEADERS)[: draw(st.integers(1, 7))]})
    rows = draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=5))
    return draw(damaged(st.just("".join(",".join(row) + "\n" for row in [names, *rows]).encode())))


def table_holds(content: bytes) -> None:
    path = FOLDER / "table.csv"
    path.write_bytes(content)
    try:
        table = table_at(path)
    except ValueError as error:
        assert type(error) is ValueError and str(error).startswith(f"{path}")
        return
    assert len(table.runs) and table.runs["error"].between(0, 1).all()
    assert (table.runs["size"] >= 0).all()  # 0 is the base model, without synthetic data


LOGS = {
    path.name: path.read_bytes()
    for path in (Path(__file__).parent / "fixtures/logs").iterdir()
    if path.is_file() and path.suffix != ".md"
}
DAMAGED_LOGS = st.sampled_from(sorted(LOGS)).flatmap(
    lambda name: st.tuples(st.just(name), damaged(st.just(LOGS[name])))
)


def log_holds(named: tuple[str, bytes]) -> None:
    """A damaged log is read as what it still says, or refused by its name."""
    path = FOLDER / named[0]
    path.write_bytes(named[1])
    try:
        found = log_at(path)
    except ValueError as error:
        assert type(error) is ValueError and str(error).startswith(f"{path}")
        str(error).encode()
        return
    assert found is not None and len(found[1].rows) and set(found[1].scores) <= set(found[1].rows)


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
    Target("words of a command line", WORDS, word_holds, found=("=", "~", "--=", "@", "a" * 3000, "a=" + "[" * 3000)),
    Target(
        "settings",
        ASSIGNED.filter(lambda word: "=[" not in word),
        setting_holds,
        found=("~seed=null", "~exec", "seed={a: 1}", "~experiment=1,2", "~arm=choice(a,b)"),
        n_quick=15,
    ),
    Target("rows wanted", st.lists(WANTED, max_size=2), where_holds),
    Target("logs", DAMAGED_LOGS, log_holds, n_quick=60, found=(("inspect.eval", b"PAR1PK\x03\x04"),)),
    Target("tables", tables(), table_holds, found=(b"arm,is_correct,n_problems\nSFT,0,0\n",)),
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_what_comes_from_outside_is_read_or_refused_in_words(target: Target) -> None:
    tried(target, target.n_quick, is_alike=True)


@pytest.mark.parametrize("word", ["hydra.sweeper.params=1", "hydra.sweeper.also=[1]", "hydra.sweeper.also=x"])
def test_axes_that_are_none_are_refused(word: str) -> None:
    with composer(Files()) as hydra:
        master = hydra.compose_config("config", [word], RunMode.MULTIRUN, with_log_configuration=False)
        with pytest.raises(ValueError, match=r"axes (was|were) expected"):
            grid(LOADER, master)


@pytest.mark.parametrize("word", ["arm=[1,2]", "tracking=[null]", "hydra/launcher=[[a]]"])
def test_a_list_of_what_are_no_names_as_a_config_groups_value_is_refused(word: str) -> None:
    setting_holds(word)


def test_a_header_that_is_no_text_is_refused_with_the_files_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\x80arm,n_problems\n")
    with pytest.raises(ValueError, match=r"t.csv: not readable as a table"):
        table_at(tmp_path / "t.csv")


def test_the_refusal_of_a_manifest_can_be_printed_whatever_key_it_claims() -> None:
    manifest_holds(json.dumps({**json.loads(MANIFEST_OF), "key": f"\ud800{STAGE.key}"}).encode())


def test_a_row_is_wanted_by_a_large_whole_number() -> None:
    assert len(kept(ROWS, {"big": str(2**53 + 1)}, "some.csv")) == 1


def test_a_count_that_is_text_is_refused() -> None:
    (FOLDER / "counts.csv").write_text("arm,n_problems,n_correct,n_test\nSFT,64,SFT,8\n")
    with pytest.raises(ValueError, match="n_correct"):
        table_at(FOLDER / "counts.csv")
