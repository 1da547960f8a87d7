"""How the code and its words are kept: short functions, names that say more than their module's, plain English."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for top in ("sweep", "analysis") for path in (ROOT / top).rglob("*.py"))
LONGEST = 40
MEANING = "its docstring says what callers must know; the code below it is short"
ONE_BY_ONE = "one refusal after another, each with its own message"
LONGER_FOR_A_REASON = {  # file:function -> why its parts are not functions of their own
    "analysis/laws/chinchilla.py:fit_chinchilla": "what is known of a fit, a field a line",
    "analysis/laws/fit.py:fit_result": "what is known of a fit, a field a line",
    "analysis/worth/multiplier.py:reading": "what is known of a multiplier, a field a line",
    "sweep/models/policy.py:new_policy": MEANING,
    "sweep/models/sampler.py:_decode": "one decoding loop and its cache",
    "sweep/models/sampler.py:sample": MEANING,
    "sweep/models/trainer.py:train": MEANING,
}
NOT_ENGLISH = {  # what is said here and nowhere else, and what a reader understands
    r"(is|are|was|were)[ _]not[ _]told(?![a-z])": "cannot be distinguished from",
    r"(?<![a-z])told[ _](from|apart)(?![a-z])": "distinguished",
    r"(?<![a-z])open[ _]by[ _]the[ _]rule(?![a-z])": "undecided",
    r"(?<![a-z])stands? (twice|once)(?![a-z])": "appears twice",
    r"\{(arm|gap\.arm|one\.arm)\} less \{": "minus",
}


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def test_no_function_is_longer_than_it_has_a_reason_to_be() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{one.name}": (one.end_lineno or 0) - one.lineno + 1
        for path in SOURCES
        for one in functions(path)
    }
    longer = {name: n for name, n in lengths.items() if n > LONGEST}
    assert {name: n for name, n in longer.items() if name not in LONGER_FOR_A_REASON} == {}
    assert set(LONGER_FOR_A_REASON) <= set(longer), "a reason is kept for what is short"


def test_no_module_has_one_function_that_repeats_its_name() -> None:
    for path in SOURCES:
        top = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        public = [name for name in top if not name.startswith("_")]
        assert public != [path.stem], f"{path.relative_to(ROOT)} has one function, and it repeats the module's name"


SPEAKS_ASCII = ("equality.py", "equality_worker.py")  # JSON with escapes, from one process of ours to another


def _is_of_the_locale(call: ast.Call) -> bool:
    """Whether a call reads or writes text in whatever encoding the machine's locale names."""
    told = {keyword.arg for keyword in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("open", "fdopen"):
        modes = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        is_file = isinstance(call.func, ast.Name) or name == "fdopen" or bool(modes) or not call.args  # no store's
        is_text = is_file and not any("b" in mode for mode in modes)
    else:
        is_text = name in ("read_text", "write_text") or (name in ("run", "Popen") and "text" in told)
    return is_text and "encoding" not in told


def test_text_is_read_and_written_in_a_named_encoding() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path.name not in SPEAKS_ASCII
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _is_of_the_locale(node)
    ]
    assert found == []


@pytest.mark.parametrize("dialect", NOT_ENGLISH)
def test_messages_comments_and_pages_are_plain_english(dialect: str) -> None:
    tops = ("analysis", "conf", "docs", "slurm", "sweep", "tests")
    read = [path for top in tops for path in (ROOT / top).rglob("*") if path.suffix in (".py", ".md", ".yaml")]
    read = [ROOT / "README.md", *(path for path in read if path != Path(__file__).resolve())]
    texts = {path: path.read_text(encoding="utf-8") for path in read}
    found = [str(path.relative_to(ROOT)) for path, text in texts.items() if re.search(dialect, text)]
    assert found == [], f"{dialect} stands in {found}; say {NOT_ENGLISH[dialect]}"
