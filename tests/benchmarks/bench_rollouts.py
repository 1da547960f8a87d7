"""What saving rollouts costs in pits: the same wrong traces of stages that were built, charged in every way.

python tests/benchmarks/bench_rollouts.py STORE [--out FILE.csv] [--n-stages N] [--n-traces N] [--n-problems N]
Of each of N `advantages` stages of the store (in the order of their keys), its first N wrong traces are charged again:
with all rollouts, and with each way to save some. Agreement is the share of traces charged with the same step; tokens
are those that were sampled. The store is only read.
"""

import argparse
import csv
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from sweep.artifacts import Stage, Store
from sweep.bench import Bench
from sweep.build import RollOut
from sweep.config import Exec, RolloutConfig
from sweep.data import domain
from sweep.data.records import Problem, Trace
from sweep.disk import read_jsonl
from sweep.methods.rollouts import estimated, searched
from sweep.models import load_policy, opened

WAYS = {
    "all": {},
    "verdict": {"stop": "verdict"},
    "test, q .5, miss .05": {"stop": "test"},
    "test, q .5, miss .25": {"stop": "test", "miss_rate": 0.25},
    "binary": {"search": "binary"},
    "binary, verdict": {"search": "binary", "stop": "verdict"},
}


@dataclass
class Tally:
    n_traces: int = 0
    n_same: int = 0
    n_tokens: int = 0
    n_all: int = 0
    n_reached: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--n-stages", type=int, default=4)
    parser.add_argument("--n-traces", type=int, default=100)
    parser.add_argument("--n-problems", type=int, default=2048)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tallies = {name: Tally() for name in WAYS}
    store = Store(str(asked.store))
    keys = sorted(path.name for path in asked.store.glob("advantages-*"))
    chosen = (key for key in keys if _is_like(store, key, asked.n_problems))
    for key in islice(chosen, asked.n_stages):
        print(key, flush=True)
        _charge(store, key, asked.n_traces, tallies)
    rows = [
        {
            "way": name, "n_traces": t.n_traces, "same_pit": round(t.n_same / t.n_traces, 4), "n_tokens": t.n_tokens,
            "tokens_saved": round(1 - t.n_tokens / t.n_all, 4), "n_reached": t.n_reached,
        }
        for name, t in tallies.items()
    ]  # fmt: skip
    for row in rows:
        print(row, flush=True)
    if asked.out:
        with asked.out.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _is_like(store: Store, key: str, n_problems: int) -> bool:
    found = store.manifest(key)
    rollouts = {} if found is None else found.identity["rollouts"]
    return found is not None and found.identity["n_problems"] == n_problems and rollouts.get("until") == "pit"


def _charge(store: Store, key: str, n_traces: int, tallies: dict[str, Tally]) -> None:
    manifest = store.manifest(key)
    assert manifest is not None
    folders = {role: store.open(parent).path for role, parent in manifest.parents.items()}
    data = domain({name: value for name, value in manifest.identity["dataset"].items() if name != "revision"})
    policy = load_policy(str(folders["sft"]), revision=None, device="cpu", dtype="float32")
    problems = {p.problem_id: p for p in read_jsonl(folders["dsyn"] / "problems.jsonl", Problem)}
    traces = read_jsonl(folders["samples"] / "traces.jsonl", Trace)
    wrong = list(dict.fromkeys(t for t in traces if t.is_finished and t.text and not t.is_correct))[:n_traces]
    steps = [data.steps(t.text) for t in wrong]
    stage = Stage("advantages", 1, dict(manifest.identity), {})
    bench = Bench({}, {}, folders["sft"], Exec(), None, Path("/nowhere"))  # type: ignore[arg-type]
    pits: list[int] = []
    n_all = 0
    for name, how in WAYS.items():
        rollouts = replace(RolloutConfig(**manifest.identity["rollouts"]), **how)
        with opened(policy, "embedded", max_rows=512) as sample:
            roll_out = _Forgetful(stage, bench, data, problems, rollouts, policy, sample)
            if rollouts.search == "binary":
                q_values, reached = searched(wrong, steps, roll_out)
            else:
                q_values, reached = estimated(wrong, steps, roll_out, is_stopped_at_pit=True)
        found = [len(q) - 1 for q in q_values]
        n_tokens = roll_out.cost.n_sampled_tokens
        pits, n_all = (found, n_tokens) if name == "all" else (pits, n_all)
        t = tallies[name]
        t.n_traces += len(found)
        t.n_same += sum(a == b for a, b in zip(found, pits, strict=True))
        t.n_tokens, t.n_all, t.n_reached = t.n_tokens + n_tokens, t.n_all + n_all, t.n_reached + len(reached)


class _Forgetful(RollOut):
    """Keeps no file of what was drawn."""

    def kept(self, name: str) -> dict[str, object]:
        return {}


if __name__ == "__main__":
    main()
