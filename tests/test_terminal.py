"""What a person meets at a terminal: options that are described, the nearest right word, a bar while work goes on."""

from __future__ import annotations

import argparse
import fcntl
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from analysis import __main__ as analysis_main
from analysis.command_line import parser_of as analysis_parser
from analysis.gallery.registry import FIGURES
from analysis.laws.forms import FITTED_ALONE, FORMS
from analysis.tables.formats import FORMATS
from sweep import __main__ as sweep_main
from sweep.arms import ARMS
from sweep.commands.options import ABOUT, HYDRAS, NAMES, page_of
from sweep.commands.options import parser_of as sweep_parser
from sweep.exact import __main__ as exact_main
from sweep.fields import choice, whole
from sweep.points import VALID
from sweep.prepare import __main__ as prepare_main
from sweep.terminal.parser import Parser, of_type
from sweep.terminal.words import count, nearest

ROOT = Path(__file__).parents[1]

# every option is described


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every parser there is, by the command that it reads."""
    for verb in sweep_main.VERBS:
        yield f"sweep {verb}", sweep_parser([verb])
    whole_analysis = analysis_parser(analysis_main.__doc__)
    yield "analysis", whole_analysis
    (kinds,) = [one for one in whole_analysis._actions if isinstance(one, argparse._SubParsersAction)]
    yield from ((f"analysis {name}", one) for name, one in kinds.choices.items())
    for kind in prepare_main.KINDS:
        yield f"prepare {kind}", prepare_main.parser_of(kind)
    yield "exact", exact_main.parser()


def described(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [one for one in parser._actions if not isinstance(one, argparse._SubParsersAction)]


@pytest.mark.parametrize(("command", "parser"), [*parsers()])
def test_every_option_and_argument_says_what_it_means(command: str, parser: argparse.ArgumentParser) -> None:
    bare = [one.dest for one in described(parser) if not (one.help or "").strip()]
    assert bare == []
    assert len(described(parser)) > (2 if command != "analysis" else 0)
    parser.format_help()  # no text of it breaks argparse's own formatting


@pytest.mark.parametrize(("command", "parser"), [*parsers()])
def test_every_default_of_an_option_stands_in_its_help(command: str, parser: argparse.ArgumentParser) -> None:
    page = " ".join(parser.format_help().split())
    for one in described(parser):
        if one.option_strings and isinstance(one.default, int | float | str | Path) and one.default is not False:
            assert one.default == argparse.SUPPRESS or f"(default: {one.default})" in page, (one.dest, one.default)


def test_every_verb_is_told_and_its_page_shows_what_it_takes_alone() -> None:
    assert set(ABOUT) == {*sweep_main.VERBS, "help"} and set(NAMES) < set(ABOUT)
    page = " ".join(page_of("merge").split())
    assert ABOUT["merge"] in page and "TABLE TABLE...: folders that collect wrote, two or more" in page
    assert "--out PATH where to write" in page and "outputs/SWEEP_NAME/table" in page
    assert "--cfg" not in page and "--serve" not in page and "--experimental-rerun" not in page
    assert "--cfg" in page_of("run")


def test_hydras_own_options_are_all_described_here() -> None:
    from hydra._internal.utils import get_args_parser

    assert {one.dest for one in get_args_parser()._actions} == set(HYDRAS)


@pytest.mark.parametrize("name", ["preflight", "cluster/start", "cluster/stop"])
def test_the_cluster_tools_describe_their_options_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "slurm" / name).read_text(encoding="utf-8")
    added = re.findall(r"add_argument\((?:[^()]|\([^()]*\))*\)", text)
    assert added and [one for one in added if "help=" not in one] == []


# the nearest right word

CONF_GROUPS = ("experiment", "source", "method", "dataset", "prompt", "model", "evaluation", "variant", "tracking")


def vocabularies() -> dict[str, list[str]]:
    """Kind of word: every right one."""
    groups = {name: [path.stem for path in (ROOT / "conf" / name).glob("*.yaml")] for name in CONF_GROUPS}
    options = {
        f"options of {command}": [word for one in parser._actions for word in one.option_strings if len(word) > 2]
        for command, parser in parsers()
    }
    return {
        **groups,
        **options,
        "arm": [one.word for one in ARMS],
        "arm's name": [one.name for one in ARMS],
        "verb": list(sweep_main.VERBS),
        "command": list(analysis_main.RUNS),
        "kind to prepare": list(prepare_main.KINDS),
        "key": list(VALID),
        "law": [*FORMS, *FITTED_ALONE, "auto"],
        "figure": [one.name for one in FIGURES],
        "format": list(FORMATS),
    }


@pytest.mark.parametrize(("kind", "words"), vocabularies().items())
def test_a_word_with_two_letters_swapped_is_recognised_among_all_of_its_kind(kind: str, words: list[str]) -> None:
    assert words
    for word in words:
        for i in range(len(word) - 1):
            typed = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
            if typed not in words:
                assert nearest(typed, words) == f" (did you mean {word}?)", typed


@pytest.mark.parametrize(
    "kind", ["experiment", "method", "variant", "key", "law", "figure", "options of prepare teacher"]
)
def test_a_long_word_with_a_letter_too_few_too_many_or_wrong_is_recognised(kind: str) -> None:
    words = vocabularies()[kind]
    for word in (one for one in words if len(one) >= 8):
        for i, letter in itertools.product(range(3, len(word), 3), "q"):
            for typed in (word[:i] + word[i + 1 :], word[:i] + letter + word[i:], word[:i] + letter + word[i + 1 :]):
                if typed not in words:
                    found = nearest(typed, words).removeprefix(" (did you mean ").removesuffix("?)")
                    assert found == word or distance(found, typed) <= 1, (typed, found)


def distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions between two words, written out as a table."""
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        row, above = [i], row
        for j, other in enumerate(b, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (one != other)))
    return row[-1]


def test_a_number_agrees_with_its_noun() -> None:
    assert [count(n, "run") for n in (0, 1, 12)] == ["0 runs", "1 run", "12 runs"]
    assert [count(n, "stage is", "stages are") for n in (1, 2)] == ["1 stage is", "2 stages are"]


def test_capitals_and_joints_make_no_difference() -> None:
    arms = ["SFT", "RFT", "DPO", "per-step DPO"]
    assert nearest("dpo", arms) == " (did you mean DPO?)"
    assert nearest("per_step_dpo", arms) == " (did you mean per-step DPO?)"
    assert nearest("Per step DPO", arms) == " (did you mean per-step DPO?)"


def test_a_word_that_is_like_none_gets_no_advice() -> None:
    assert nearest("tiny", ["qwen", "tiny_llama_48", "tiny_llama"]) == " (did you mean tiny_llama?)"
    assert nearest("ti", ["tiny_llama"]) == nearest("zipf", ["zipf_offset", "zipf_exponent"]) == ""
    assert nearest("zebra", ["plan", "status"]) == "" and nearest("x", []) == "" and nearest("", ["plan"]) == ""


SWEEP, ANALYSIS, TABLE = sweep_main.main, analysis_main.main, "analysis/results/free_order_one_base"


@pytest.mark.parametrize(
    ("run", "line", "meant"),
    [
        (SWEEP, "stauts", "status"),
        (SWEEP, "help colletc", "collect"),
        (SWEEP, "plan --jsno", "--json"),
        (SWEEP, "plan --mutlirun", "--multirun"),
        (SWEEP, "run --no-progres -m", "--no-progress"),
        (SWEEP, "plan experiemnt=smoke", "experiment"),
        (SWEEP, "plan experiment=smoek", "smoke"),
        (SWEEP, "plan arm=dop", "dpo"),
        (SWEEP, "plan -m experiment=smoke arm=sft,dop", "dpo"),
        (SWEEP, "plan method=setp_dpo", "step_dpo"),
        (SWEEP, "plan source=sefl", "self"),
        (SWEEP, "plan dataset=gms8k", "gsm8k"),
        (SWEEP, "plan model=tiny_lalma", "tiny_llama"),
        (SWEEP, "plan variant=no_shrotcut", "no_shortcut"),
        (SWEEP, "plan hydra/launcher=sulrm", "slurm"),
        (SWEEP, "plan sft.schedlue=linear", "schedule"),
        (SWEEP, "plan sft.schedule=linaer", "linear"),
        (SWEEP, "plan method.optim.schedule=cosnie method=dpo", "cosine"),
        (SWEEP, "plan +dataset.n_trian=5", "n_train"),
        (ANALYSIS, "multiplyer x", "multiplier"),
        (ANALYSIS, "multiplier x --darws 200", "--draws"),
        (ANALYSIS, "multiplier x --y-is acuracy", "accuracy"),
        (ANALYSIS, "multiplier x --format trainer_state", "trainer-state"),
        (ANALYSIS, f"multiplier {TABLE} --law saturatnig", "saturating"),
        (ANALYSIS, f"multiplier {TABLE} --of dop", "DPO"),
        (ANALYSIS, f"multiplier {TABLE} --baseline STF", "SFT"),
        (ANALYSIS, f"multiplier {TABLE} --cost total_secnods", "total_seconds"),
        (ANALYSIS, f"multiplier {TABLE} --where sede=1", "seed"),
        (ANALYSIS, f"multiplier {TABLE} --where arm=STF", "SFT"),
        (ANALYSIS, f"multiplier {TABLE} --y gredey", "greedy"),
        (ANALYSIS, "multiplier TABLE.csv --x tokesn", "tokens"),
        (ANALYSIS, "multiplier TABLE.csv --x tokens --y lsos", "loss"),
        (ANALYSIS, "fit TABLE.csv --law chinchilla --n-tokens tokesn --n-params tokens", "tokens"),
        (ANALYSIS, "compare TABLE.csv TABLE.csv --problem prbolem", "problem"),
        (ANALYSIS, f"design {TABLE} --cost total_flosp", "total_flops"),
        (ANALYSIS, "figures --only theoerm", "theorem"),
        (ANALYSIS, "figures --table stduy=x", "study"),
        (prepare_main.main, "techer", "teacher"),
        (prepare_main.main, "gguf x --out y --dtpye float32", "--dtype"),
        (prepare_main.main, "gguf x --out y --dtype bflaot16", "bfloat16"),
        (exact_main.main, "--replciates 3", "--replicates"),
    ],
)
def test_a_wrong_word_of_every_kind_gets_the_right_one(
    run, line: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "analysis").symlink_to(ROOT / "analysis")
    (tmp_path / "TABLE.csv").write_text("arm,tokens,seed,problem,loss\nSFT,10,0,1,0.5\nSFT,20,0,2,0.4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sweep"])
    try:
        code = run(line.split())
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert f"(did you mean {meant}?)" in capsys.readouterr().err


def test_a_choice_and_a_number_are_refused_with_what_is_valid() -> None:
    parser = Parser(prog="x")
    parser.add_argument("--n", type=of_type(int, whole(1)), help="a number")
    parser.add_argument("--how", type=of_type(str, choice("fast", "slow")), help="a word")
    assert parser.parse_args(["--n", "3", "--how", "slow"]) == argparse.Namespace(n=3, how="slow")
    with pytest.raises(ValueError, match="--n: must be a whole number of at least 1; found '-1'; x --help says"):
        parser.parse_args(["--n", "-1"])
    with pytest.raises(ValueError, match=r"must be one of fast, slow; found 'solw' \(did you mean slow\?\)"):
        parser.parse_args(["--how", "solw"])
    with pytest.raises(ValueError, match="y is one word too many"):
        parser.parse_args(["y"])


def test_no_option_may_be_shortened() -> None:
    with pytest.raises(ValueError, match=r"unknown option --dra \(did you mean --draws\?\)"):
        analysis_parser(None).parse_args(["published", "--dra", "200"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("design x --width -1", "argument --width: must be a finite number above 1; found '-1'"),
        ("design x --tell 1", "argument --tell: must be a finite number above 1"),
        ("multiplier x --draws 0", "argument --draws: must be a whole number of at least 1; found '0'"),
        ("multiplier x --seed -1", "argument --seed: must be a whole number of at least 0"),
        ("multiplier x --level 2", "argument --level: must be a finite number of at least 0.5 and below 1"),
        ("multiplier x --at-size -1", "argument --at-size: must be a finite number above 0"),
        ("fit x --delta 0", "argument --delta: must be a finite number above 0"),
        ("map x --out y --size -4", "argument --size: must be a finite number above 0"),
    ],
)
def test_a_number_that_cannot_be_is_refused_before_any_table_is_read(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analysis_main.main(line.split()) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


# a bar while long work goes on, at a terminal alone

WORKS = """
import sys, time
from sweep.terminal import progress
progress.SHOWN_AFTER_S = 0
for _ in progress.counted(range(40), "long work"):
    time.sleep(0.01)
print("done")
"""


def at_a_terminal(line: Sequence[str], cwd: Path, **more: str) -> str:
    """What a command writes to a terminal of 80 columns that it has for itself."""
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "PROGRESS", "NO_COLOR")}
    env |= {"TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT), **more}
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # it has no size of itself
    said = b""
    with subprocess.Popen(line, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            while part := os.read(mine, 4096):
                said += part
        except OSError:  # the other end is closed: the command has ended
            pass
    os.close(mine)
    assert process.returncode == 0, said.decode()
    return said.decode()


def test_long_work_has_a_bar_at_a_terminal_and_clears_it(tmp_path: Path) -> None:
    said = at_a_terminal([sys.executable, "-c", WORKS], tmp_path)
    assert "long work: " in said and "/40 [" in said and "it/s" in said
    assert said.endswith("\rdone\r\n") or re.search(r"\r *\rdone\r\n$", said), said[-200:]


@pytest.mark.parametrize("off", [{"CI": "true"}, {"TERM": "dumb"}, {"TERM": ""}, {"PROGRESS": "off"}])
def test_no_bar_where_no_person_looks(off: dict[str, str], tmp_path: Path) -> None:
    assert at_a_terminal([sys.executable, "-c", WORKS], tmp_path, **off) == "done\r\n"


def test_no_bar_in_a_pipe_or_a_file(tmp_path: Path) -> None:
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    env.pop("CI", None)
    done = subprocess.run([sys.executable, "-c", WORKS], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_every_parser_can_turn_the_bar_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for command, parser in parsers():
        if command != "analysis":  # its commands have it
            assert "--no-progress" in parser._option_string_actions, command
    monkeypatch.setenv("PROGRESS", "")
    analysis_parser(None).parse_args(["published", "--no-progress"])
    assert os.environ["PROGRESS"] == "off"


SHOWS = """
import sys
from sweep.terminal import progress
progress.SHOWN_AFTER_S = 0
sys.argv = sys.argv[1:]
import runpy
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("analysis multiplier TABLE --law saturating --draws 600", ["multipliers of the arms", "fits to 500 draws"]),
        ("analysis design ONE_BASE --law power --draws 100 --of RFT", ["designs of the arms"]),
        ("analysis validate TABLE --of SFT --draws 100", ["held-out sizes by law"]),
        ("analysis figures --only theorem --out figures", ["figures"]),
        ("sweep plan -m experiment=smoke", ["composing the grid", "reading the store"]),
        ("sweep.exact --replicates 2 --most-pairs 64 --out table", ["rows of the table"]),
    ],
)  # fmt: skip
def test_the_long_commands_show_how_far_they_are(line: str, told: list[str], tmp_path: Path) -> None:
    line = line.replace("ONE_BASE", str(ROOT / "analysis/results/one_base"))
    words = line.replace("TABLE", str(ROOT / TABLE)).split()
    said = at_a_terminal([sys.executable, "-c", SHOWS, *words], tmp_path)
    assert [one for one in told if f"{one}: " not in said] == []


def test_a_command_that_is_told_so_shows_no_bar_at_a_terminal(tmp_path: Path) -> None:
    words = ["sweep", "plan", "-m", "experiment=smoke", "--no-progress"]
    assert "%|" not in at_a_terminal([sys.executable, "-c", SHOWS, *words], tmp_path)
