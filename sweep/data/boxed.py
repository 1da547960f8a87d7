r"""Solutions that end in `\boxed{answer}`: where the box is, and what it holds in one spelling.

Answers are LaTeX, compared as text here; `sweep.data.equality` compares what the text means.
"""

from __future__ import annotations

import re

# boxes, braces, and what is escaped: \{ opens nothing
_TOKEN = re.compile(r"(?P<box>\\boxed)(?P<opens>\{)?|\\.|[{}]", re.DOTALL)
# what changes how an answer is set and not what it says; \left. draws nothing, and \\ ends a row of a matrix
_SETTING = re.compile(
    r"(\\\\)|\\(?:left|right)\.|\\(?:left|right|[bB]igg?[lr]?|displaystyle)(?![A-Za-z])|\\[!,;: ]|(?<!\\)\$|~"
)
_FRACTION = re.compile(r"(\\\\)|\\[dt]frac(?![A-Za-z])")
_PERCENT = re.compile(r"\s*\\?%")
_MIXED = re.compile(r"(?<![\w.}])(\d+) +(\d+)/(\d+)(?![\w.])")  # math-verify reads 1 1/2 as (1 + 1)/2
_NEEDLESS_BLANK = re.compile(r"(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])")


def last_box(text: str) -> tuple[int, str] | None:
    r"""Where the last box that closes begins, and what it holds; None where there is none.

    `\boxed 9` without braces holds what stands before the next `$`, as the graders of MATH take it
    (hendrycks/math, `last_boxed_only_string`).
    """
    found: tuple[int, str] | None = None
    opened: list[tuple[int | None, int]] = []  # of each brace: where its box begins, None if it is no box's; its inside
    for token in _TOKEN.finditer(text):
        if token["opens"] or token[0] == "{":
            opened.append((token.start() if token["box"] else None, token.end()))
        elif token["box"]:
            inside = _unbraced(text, token.end())
            found = found if inside is None else (token.start(), inside)
        elif token[0] == "}" and opened:
            start, first = opened.pop()
            if start is not None and (found is None or start > found[0]):
                found = start, text[first : token.start()]
    return found


def _unbraced(text: str, after: int) -> str | None:
    end = text.find("$", after)
    inside = text[after:end] if end >= 0 and text.startswith(" ", after) else ""
    return inside if inside.strip() and "\n" not in inside else None


def normalised(answer: str) -> str:
    r"""One spelling for answers that differ in spacing, `\dfrac`, `\left`, dollar signs or a last full stop.

    Percent signs are taken away, as by the graders of MATH (hendrycks/math, `math_equivalence.py`): 50\% is 50.
    """
    bare = _SETTING.sub(lambda found: found[1] or " ", answer)
    bare = _PERCENT.sub("", _FRACTION.sub(lambda found: found[1] or r"\frac", bare))
    bare = _MIXED.sub(r"\1\\frac{\2}{\3}", bare)
    bare = _NEEDLESS_BLANK.sub("", bare.strip().removesuffix(".").strip())
    return re.sub(r"\s+", " ", bare)
