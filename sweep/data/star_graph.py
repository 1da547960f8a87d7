"""Path finding on star graphs, in the format of Bachmann and Nagarajan, arXiv:2403.06963.

A start has `degree` arms of `path_length` nodes, itself counted in; a goal ends one of them; edges are shuffled.
Their line `2,8|5,2|5,9|9,3/5,8=5,2,8` (edges / start,goal = path) is here the question `2,8|5,2|5,9|9,3/5,8=`, rendered
one token a node: `2 8 | 5 2 | 5 9 | 9 3 / 5 8 = 5 `. The start is given, since the path's first node is never a choice;
a solution is the rest, `2 8`, a step a node. Its first step, the critical token, decides alone: every other one follows
an edge. The base's documents walk down an arm at random, or list the edges again, so that it can follow edges and
cannot choose; graphs of one arm, where nothing is chosen, teach that soonest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sweep.data.domain import BAD_FORMAT, Verdicts, one_by_one
from sweep.data.phase import Phase
from sweep.data.records import Problem
from sweep.data.splits import SPLITS, first_problems
from sweep.fields import seed_number, several, typed, whole

GENERATOR_VERSION = "star_graph-1"  # bump when the same dials would give other problems or documents
MOST_PROBLEMS = 10**7
MAX_REDRAWS = 1_000  # of a graph that was drawn before
MARKS = ("|", "/", "=")
WRONG_ARM, NO_EDGE, TOO_SHORT = "wrong arm", "no edge", "ends early"


@dataclass(frozen=True, slots=True)
class StarGraphPhase(Phase):
    """With lists_edges a document repeats its graph's edges, in another order, in place of a walk: every second node
    follows an edge, while a walk has one or two that do. `degree` and `path_length` are the documents' own, where they
    are not the problems'."""

    lists_edges: bool = False
    degree: int | None = whole(1, 10**3, default=None)
    path_length: int | None = whole(2, 10**3, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StarGraphDials:
    """The dials of conf/dataset/star_graph.yaml; `path_length` counts nodes, start and goal among them."""

    domain_seed: int = seed_number()
    n_train: int = whole(0, MOST_PROBLEMS)
    n_validation: int = whole(0, MOST_PROBLEMS)
    n_test: int = whole(0, MOST_PROBLEMS)
    degree: int = whole(2, 10**3)
    path_length: int = whole(2, 10**3)
    n_nodes: int = whole(3, 10**4)
    curriculum: tuple[StarGraphPhase, ...] = several(None, 0, default=())

    def __post_init__(self) -> None:
        for degree, path_length in [(self.degree, self.path_length), *map(self.shape, self.curriculum)]:
            n_used = 1 + degree * (path_length - 1)
            if n_used > self.n_nodes:
                raise ValueError(
                    f"degree={degree} and path_length={path_length} make graphs of {n_used} different nodes, and "
                    f"n_nodes={self.n_nodes}; raise n_nodes to {n_used} or more"
                )

    def shape(self, phase: StarGraphPhase) -> tuple[int, int]:
        """Degree and path length of a phase's graphs."""
        return phase.degree or self.degree, phase.path_length or self.path_length


@dataclass(frozen=True)
class Graph:
    """edges in the order they are shown; arms (degree, path_length - 1) from the start outwards, the goal's first."""

    start: int
    arms: np.ndarray
    edges: tuple[tuple[int, int], ...]

    @property
    def goal(self) -> int:
        return int(self.arms[0, -1])

    def question(self) -> str:
        """As in the published files, up to the equals sign."""
        return "|".join(f"{a},{b}" for a, b in self.edges) + f"/{self.start},{self.goal}="


def random_graph(degree: int, path_length: int, n_nodes: int, rng: np.random.Generator) -> Graph:
    """Nodes without repeats, edges in random order."""
    n_arm = path_length - 1
    nodes = rng.permutation(n_nodes)[: 1 + degree * n_arm]
    start, arms = int(nodes[0]), nodes[1:].reshape(degree, n_arm)
    walks = [[start, *arm] for arm in arms.tolist()]
    edges = [edge for walk in walks for edge in pairwise(walk)]
    return Graph(start, arms, tuple(edges[i] for i in rng.permutation(len(edges))))


def parsed_question(question: str) -> tuple[list[tuple[int, int]], int, int]:
    """Edges, start and goal of `2,8|5,2/5,8=`."""
    edges, ends = question.rstrip("=").split("/")
    start, goal = map(int, ends.split(","))
    pairs = [edge.split(",") for edge in edges.split("|")]
    return [(int(a), int(b)) for a, b in pairs], start, goal


def rendered(question: str) -> str:
    """One token a node or mark, with the path's first node, the start, behind it."""
    _, start, _ = parsed_question(question)
    return " ".join(re.findall(r"\d+|[|/=]", question)) + f" {start} "


class StarGraph:
    """The domain that `StarGraphDials` describe; the same dials give the same graphs."""

    revision = GENERATOR_VERSION
    left_out: Mapping[str, int] = {}
    not_in_documents = frozenset({"domain_seed", "n_train", "n_validation", "n_test"})

    def __init__(self, dials: StarGraphDials) -> None:
        self.dials, self.curriculum = dials, dials.curriculum
        self._problems = self._drawn_splits()

    @property
    def vocabulary(self) -> list[str]:
        return [*MARKS, *map(str, range(self.dials.n_nodes))]

    def n_problems(self, split: str) -> int:
        return len(self._of(split))

    def problems(self, split: str, n_problems: int | None = None) -> list[Problem]:
        return first_problems(self._of(split), n_problems, f"dataset star_graph, {split} (dial n_{split})")

    def prompt(self, problem: Problem) -> str:
        return rendered(problem.question)

    def steps(self, text: str) -> list[str]:
        """A node each, with the blanks behind it."""
        return re.findall(r"\s*\S+\s*", text)

    def final_answer(self, text: str) -> str | None:
        """`2,8`: the nodes behind the start, where they are nodes and as many as a path has."""
        words = text.split()
        is_path = len(words) == self.dials.path_length - 1 and all(self._node(word) is not None for word in words)
        return ",".join(words) if is_path else None

    def is_correct(self, text: str, problem: Problem) -> bool:
        return self.final_answer(text) == problem.answer

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        return one_by_one(self.is_correct, texts, problems)

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str:
        """The path; there is one."""
        return problem.answer.replace(",", " ")

    def pretraining_documents(self, phase: Phase, rng: np.random.Generator) -> list[tuple[str, str]]:
        """A walk down an arm drawn at random, whatever the goal; or the edges."""
        assert isinstance(phase, StarGraphPhase)
        document = self._edges if phase.lists_edges else self._walk
        shape = self.dials.shape(phase)
        graphs = (random_graph(*shape, self.dials.n_nodes, rng) for _ in range(phase.n_documents))
        return [(rendered(graph.question()), document(graph, rng)) for graph in graphs]

    def _walk(self, graph: Graph, rng: np.random.Generator) -> str:
        return " ".join(map(str, graph.arms[rng.integers(len(graph.arms))].tolist()))

    def _edges(self, graph: Graph, rng: np.random.Generator) -> str:
        return " | ".join(f"{a} {b}" for a, b in (graph.edges[i] for i in rng.permutation(len(graph.edges))))

    def step_errors(self, text: str, problem: Problem) -> list[list[str]]:
        """For each step, what is wrong with it: "wrong arm" (an edge from the start that does not lead to the goal: the
        critical token), "no edge" (none leads there from the node before), "ends early" (the last of too few), and
        "bad format" (not a node, or beyond a path's length)."""
        edges, node, _ = parsed_question(problem.question)
        known, right = set(edges), problem.answer.split(",")
        errors: list[list[str]] = []
        steps = self.steps(text)
        for i, step in enumerate(steps):
            found, was, now = [], node, self._node(step.strip())
            if now is None or i >= len(right):
                found.append(BAD_FORMAT)
            else:
                node = now
                if (was, now) not in known:
                    found.append(NO_EDGE)
                elif i == 0 and str(now) != right[0]:
                    found.append(WRONG_ARM)
            if i == len(steps) - 1 < len(right) - 1:
                found.append(TOO_SHORT)
            errors.append(found)
        return errors

    def _node(self, word: str) -> int | None:
        is_one = re.fullmatch(r"0|[1-9][0-9]{0,6}", word) is not None and int(word) < self.dials.n_nodes
        return int(word) if is_one else None

    def _of(self, split: str) -> list[Problem]:
        if split not in self._problems:
            raise ValueError(f"dataset star_graph: no split {split!r}; choose one of {', '.join(SPLITS)}")
        return self._problems[split]

    def _drawn_splits(self) -> dict[str, list[Problem]]:
        """Test and validation first: what they hold is passed over when train is drawn."""
        dials, seen = self.dials, set[tuple[object, ...]]()
        sizes = {"test": dials.n_test, "validation": dials.n_validation, "train": dials.n_train}
        drawn: dict[str, list[Problem]] = {}
        for place, (split, size) in enumerate(sizes.items()):
            rng = np.random.default_rng([dials.domain_seed, place])
            drawn[split] = [self._new_problem(f"star_graph-{split}-{i:06d}", seen, rng) for i in range(size)]
        return drawn

    def _new_problem(self, name: str, seen: set[tuple[object, ...]], rng: np.random.Generator) -> Problem:
        """Of a graph that is in no split yet, in whatever order its edges stand."""
        for _ in range(MAX_REDRAWS):
            graph = random_graph(self.dials.degree, self.dials.path_length, self.dials.n_nodes, rng)
            content = (frozenset(graph.edges), graph.start, graph.goal)
            if content not in seen:
                seen.add(content)
                return Problem(name, graph.question(), ",".join(map(str, graph.arms[0].tolist())))
        raise ValueError(
            f"dataset star_graph: no new graph in {MAX_REDRAWS} draws after {len(seen)} different ones of "
            f"degree={self.dials.degree}, path_length={self.dials.path_length} and n_nodes={self.dials.n_nodes}; "
            "ask for fewer problems, or raise n_nodes"
        )


def open_star_graph(values: Mapping[str, Any]) -> StarGraph:
    """The domain of conf/dataset/star_graph.yaml; ValueError names a dial that is wrong, unknown or missing."""
    return StarGraph(typed(StarGraphDials, values, "dataset"))
