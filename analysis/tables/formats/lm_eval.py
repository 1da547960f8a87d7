"""lm-evaluation-harness: samples_TASK_DATE.jsonl, a line a document and filter, and results_DATE.json, means of tasks.

A problem is named by doc_id and its content's hash, so that documents of another version of a task pair with none.
A mean of n whole outcomes is a count again.
Source: lm_eval/loggers/evaluation_tracker.py of EleutherAI/lm-evaluation-harness 0.4.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.tables.formats.log import (
    Content,
    Format,
    Log,
    Meaning,
    as_number,
    facts_under,
    is_number,
    meaning_of,
    text_of,
    wanted,
)

REST = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter")  # of a line, beside its metrics


def _are_samples(content: Content) -> bool:
    return {"doc_id", "doc", "filtered_resps"} <= content.first_line.keys()


def _are_results(content: Content) -> bool:
    return {"results", "configs", "versions"} <= content.document.keys()


def _samples(content: Content) -> Log:
    rows = []
    scores: dict[str, Meaning | None] = {}
    unnamed: set[str] = set()
    for number, line in content.lines():
        place = f"{content.path}, line {number}"
        doc_id = wanted(line, "doc_id", (int, str), place)
        metrics = [name for name in _metrics_of(line, place) if is_number(line.get(name))]
        scores |= {text_of(name): meaning_of(text_of(name)) for name in metrics}
        named = f"{doc_id}-{text_of(line['doc_hash'])[:12]}" if "doc_hash" in line else str(doc_id)
        row = {"problem_id": text_of(named), "doc_id": text_of(doc_id), "filter": text_of(line.get("filter", "none"))}
        rows.append(row | {text_of(name): as_number(line[name], place) for name in metrics})
        if "filter" not in line and named in unnamed:
            raise ValueError(
                f"{place}: document {doc_id} stood in a line before, and neither names its filter, as older versions "
                "wrote them; keep the lines of one filter, or evaluate with a newer lm-evaluation-harness"
            )
        unnamed.add(named)
    return Log(pd.DataFrame(rows), scores, problem="problem_id", apart=("filter",))


def _metrics_of(line: Mapping[str, Any], place: str) -> list[str]:
    """The names of a line's metrics; older versions put them beside the rest without a list of them."""
    if "metrics" in line:
        named: list[str] = wanted(line, "metrics", list, place)
        return named
    return [name for name in line if name not in REST]


def _results(content: Content) -> Log:
    path, document = str(content.path), content.document
    sizes = document.get("n-samples", {})
    higher = document.get("higher_is_better", {})
    told = {f"config.{name}": value for name, value in facts_under("", document.get("config")).items()}
    told |= facts_under("", {name: document.get(name) for name in ("model_name", "model_source")})
    rows: list[dict[str, Any]] = []
    scores: dict[str, Meaning | None] = {}
    for task, metrics in wanted(document, "results", dict, path).items():
        place = f"{path}, results of {task}"
        by_filter: dict[str, dict[str, Any]] = {}
        for name, value in (metrics if isinstance(metrics, dict) else {}).items():
            metric, is_metric, kind = name.partition(",")
            if not is_metric or not is_number(value):
                continue
            by_filter.setdefault(kind, {})[text_of(metric)] = as_number(value, place)
            if not metric.endswith("_stderr"):
                scores[text_of(metric)] = _meaning(metric, higher, task)
        n_test = sizes.get(task, {}).get("effective") if isinstance(sizes, dict) else None
        counted = {"n_test": as_number(n_test, place)} if is_number(n_test) else {}
        rows += [{"task": text_of(task), "filter": text_of(kind), **counted, **told, **found}
                 for kind, found in by_filter.items()]  # fmt: skip
    return Log(pd.DataFrame(rows), scores, apart=("task", "filter"), n_test="n_test")


def _meaning(metric: str, higher: Any, task: str) -> Meaning | None:
    """As the metric's name says; of a name that does not, only that lower is better is known of a loss, so nothing."""
    known = meaning_of(text_of(metric))
    of_task = higher.get(task) if isinstance(higher, Mapping) else None
    says = of_task.get(metric) if isinstance(of_task, Mapping) else None
    return None if known == "accuracy" and says is False else known


FORMATS = (
    Format("lm-eval-samples", "lm-evaluation-harness samples_*.jsonl", _are_samples, _samples),
    Format("lm-eval-results", "lm-evaluation-harness results_*.json", _are_results, _results),
)
