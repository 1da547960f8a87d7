"""Problems, solutions, steps and verifiers: what a domain is, without any model.

A domain is opened from its config (`conf/dataset/*.yaml` as a plain dict). Its train problems are
one fixed sequence, so the first 1,000 are inside the first 2,000; no question of one split is in
another; and nothing but the final answer decides whether a solution is correct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sweep.data.domain import Domain, ProceduralDomain, Split
from sweep.data.problems import ProblemsDials, open_problems
from sweep.data.records import Pair, Problem, Row, Solution, Trace
from sweep.data.skills.domain import SkillsDials, open_skills
from sweep.data.star_graph import StarGraphDials, open_star_graph
from sweep.terminal.words import nearest

__all__ = [
    "DIALS",
    "DOMAINS",
    "Domain",
    "Pair",
    "Problem",
    "ProceduralDomain",
    "Row",
    "Solution",
    "Split",
    "Trace",
    "domain",
]

DOMAINS: dict[str, Callable[[Mapping[str, Any]], Domain]] = {
    "skills": open_skills,
    "star_graph": open_star_graph,
    "problems": open_problems,
}
DIALS = {  # the typed node of each, name aside
    "skills": SkillsDials,
    "star_graph": StarGraphDials,
    "problems": ProblemsDials,
}


def domain(dataset: Mapping[str, Any]) -> Domain:
    """Open the domain that a dataset config describes; `name` picks it, the other keys are its dials.

    Raises:
        ValueError: no or unknown `name`, an unknown or missing dial, or data that its domain refuses.
    """
    if dataset.get("name") not in DOMAINS:
        raise ValueError(
            f"dataset.name={dataset.get('name')!r} is not a domain; choose one of {', '.join(sorted(DOMAINS))}"
            + nearest(str(dataset.get("name")), DOMAINS)
        )
    return DOMAINS[dataset["name"]]({key: value for key, value in dataset.items() if key != "name"})
