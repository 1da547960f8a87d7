"""One evaluation as lm-evaluation-harness logs it, so that its users' scripts, viewers and tables read it.

    MODEL/results_DATE.json           means of the task, with its standard errors and what was run
    MODEL/samples_TASK_DATE.jsonl     a line a problem: prompt, solution, answer and score

exact_match is of the greedy solution, as the stage's verifier judged it; sampled_match is the share of the sampled
solutions that are correct. Nothing is judged anew.
Source: lm_eval/loggers/evaluation_tracker.py and lm_eval/evaluator.py of EleutherAI/lm-evaluation-harness 0.4.13.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pandas as pd

from sweep.data.domain import Domain
from sweep.data.records import Problem
from sweep.manifest import Manifest

FILTER = "none"  # the verifier sees the whole solution


def task_of(manifest: Manifest) -> str:
    """The data set and the split, in characters of a file's name."""
    dataset = manifest.identity["dataset"]
    name = f"{dataset.get('title') or dataset['name']}_{manifest.identity['evaluation']['split']}"
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def date_of(manifest: Manifest) -> str:
    """When the evaluation ended, as it stands in the names of files."""
    return datetime.fromisoformat(manifest.provenance["ended"]).strftime("%Y-%m-%dT%H-%M-%S.%f")


def sample_lines(manifest: Manifest, domain: Domain, outcomes: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A record a problem, in the order of the evaluation.

    Raises:
        ValueError: the outcomes are of other problems than the data set has now.
    """
    problems = {problem.problem_id: problem for problem in domain.problems(manifest.identity["evaluation"]["split"])}
    settings = {"until": [], "do_sample": False, "max_gen_toks": manifest.identity["max_solution_tokens"]}
    for k, row in enumerate(outcomes.to_dict("records")):
        if (problem := problems.get(row["problem_id"])) is None:
            raise ValueError(
                f"{manifest.key}: problem {row['problem_id']} is not in the data set's files as they are now; put the "
                "files back that were evaluated"
            )
        yield _line(k, problem, domain.prompt(problem), settings, row)


def _line(k: int, problem: Problem, prompt: str, settings: Mapping[str, Any], row: Mapping[Any, Any]) -> dict[str, Any]:
    doc, scores = asdict(problem), {"exact_match": float(row["is_correct"])}
    if row["n_sampled"]:
        scores["sampled_match"] = row["n_correct_sampled"] / row["n_sampled"]
    return {
        "doc_id": k,
        "doc": doc,
        "target": problem.answer,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": settings}},
        "resps": [[row["solution"]]],
        "filtered_resps": [row["solution"]],
        "filter": FILTER,
        "metrics": list(scores),
        "doc_hash": _sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _sha256(prompt),
        "target_hash": _sha256(problem.answer),
        **scores,
    }


def results(manifest: Manifest, model: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The document beside the samples; standard errors are of the mean over problems, as the harness has them."""
    task, n, provenance = task_of(manifest), len(lines), manifest.provenance
    scores: dict[str, Any] = {"name": task, "alias": task, "sample_len": n}
    metrics = lines[0]["metrics"]
    for metric in metrics:
        values = [line[metric] for line in lines]
        mean = math.fsum(values) / n
        scores[f"{metric},{FILTER}"] = mean
        spread = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else math.nan
        scores[f"{metric}_stderr,{FILTER}"] = math.sqrt(spread / n) if n > 1 else "N/A"
    identity = manifest.identity
    generation = {"until": [], "do_sample": False, "max_gen_toks": identity["max_solution_tokens"]}
    n_examples = identity["dataset"].get("n_examples", 0)
    return {
        "results": {task: scores},
        "group_subtasks": {},
        "configs": {task: {
            "task": task, "test_split": identity["evaluation"]["split"], "num_fewshot": n_examples,
            "metric_list": [{"metric": one, "aggregation": "mean", "higher_is_better": True} for one in metrics],
            "output_type": "generate_until", "generation_kwargs": generation, "repeats": 1,
            "metadata": {"version": identity["dataset"].get("revision", ""), "artifact": manifest.key},
        }},
        "versions": {task: str(identity["dataset"].get("revision", ""))},
        "n-shot": {task: n_examples},
        "higher_is_better": {task: dict.fromkeys(metrics, True)},
        "n-samples": {task: {"original": n, "effective": n}},
        "config": {"model": model, "model_args": manifest.parents["policy"], "device": provenance.get("device"),
                   "evaluation": dict(identity["evaluation"])},
        "git_hash": (provenance.get("git") or {}).get("commit"),
        "date": datetime.fromisoformat(provenance["ended"]).timestamp(),
        "model_name": model,
        "model_name_sanitized": model,
    }  # fmt: skip


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
