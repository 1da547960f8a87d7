"""verl: metrics of its file logger, PROJECT/EXPERIMENT.jsonl, and the validation answers in the folder
trainer.validation_data_dir, STEP.jsonl.

A problem is named by a hash of its prompt, the only name that a dumped answer has; prompts that stand several times
are several answers to one problem.
Source: FileLogger in verl/utils/tracking.py and _dump_generations in verl/trainer/ppo/ray_trainer.py, verl 0.8.0.dev.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.tables.formats.log import (
    Content,
    Format,
    Log,
    Meaning,
    as_number,
    digest,
    is_number,
    logged,
    meaning_of,
    text_of,
    wanted,
)


def _are_metrics(content: Content) -> bool:
    return content.first_line.keys() == {"step", "data"}


def _are_answers(content: Content) -> bool:
    return {"input", "output", "score", "step"} <= content.first_line.keys()


def _metrics(content: Content) -> Log:
    rows: list[dict[str, Any]] = []
    for number, line in content.lines():
        place = f"{content.path}, line {number}"
        # its encoder, orjson, writes null for a number that is not finite
        data = {k: math.nan if v is None else v for k, v in wanted(line, "data", dict, place).items()}
        rows.append(logged(data, place) | {"step": wanted(line, "step", int, place)})
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    return Log(pd.DataFrame(rows), {name: meaning_of(name) for name in names}, step="step")


def _answers(content: Content) -> Log:
    rows: list[dict[str, Any]] = []
    scores: dict[str, Meaning | None] = {}
    for number, line in content.lines():
        place = f"{content.path}, line {number}"
        prompt, step = wanted(line, "input", str, place), wanted(line, "step", int, place)
        known = {text_of(name): as_number(value, place) for name, value in line.items() if is_number(value)}
        known["score"] = as_number(wanted(line, "score", (int, float, bool), place), place)
        scores |= {name: meaning_of(name) for name in known if name != "step"}
        rows.append(known | {"problem_id": digest(prompt), "step": step})
    return Log(pd.DataFrame(rows), scores, problem="problem_id", apart=("step",))


FORMATS = (
    Format("verl-metrics", "metrics of verl's file logger", _are_metrics, _metrics),
    Format("verl-answers", "validation answers that verl dumped", _are_answers, _answers),
)
