"""What is read by the thousand: manifests of a store, and answers that are compared."""

from __future__ import annotations

import json
import multiprocessing
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sympy.core.cache import clear_cache

from sweep.artifacts import MANIFEST, Cost, Manifest, Store
from sweep.data.equality import Equality, Limits, n_processes
from sweep.data.equality_worker import compared, parsed
from sweep.manifest import key_of

from ..measuring import Spent, spent
from .peer_manifests import table
from .planning import PROVENANCE


@dataclass(frozen=True)
class Manifests:
    """Every manifest of a store, each checked against its hashes; the loop checks nothing."""

    folder: Path
    n: int

    @cached_property
    def store(self) -> Store:
        optim = {"lr": 1e-3, "passes": 2, "batch_size": 32, "warmup_fraction": 0.1, "schedule": "cosine"}
        for i in range(self.n):
            identity = {
                "seed": i,
                "n_problems": 512,
                "source": {"name": "self"},
                "method": {"name": "dpo"},
                "optim": optim,
            }
            key = key_of("train", 2, identity, {})
            manifest = Manifest(key, "train", 2, identity, {}, {}, {"loss": 0.5, "n_rows": 512}, Cost(), PROVENANCE)
            (self.folder / "read" / key).mkdir(parents=True)
            (self.folder / "read" / key / MANIFEST).write_text(manifest.sealed().to_json(), encoding="utf-8")
        return Store(self.folder / "read")

    def ours(self) -> Spent:
        store = Store(self.store.root)
        return spent(lambda: [store.manifest(key) for key in store.built()])

    def peer(self) -> Spent:
        return spent(lambda: table(self.store.root))

    def limit(self) -> Spent:
        """The same files opened, read and parsed, and nothing checked."""
        paths = [str(self.store.root / key / MANIFEST) for key in self.store.built()]

        def read() -> None:
            for path in paths:
                with open(path, "rb") as stream:
                    json.loads(stream.read())

        return spent(read)


def same(pair: tuple[str, str]) -> bool:
    """math-verify as its README calls it."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${pair[0]}$"), parse(f"${pair[1]}$")))


@dataclass(frozen=True)
class Answers:
    """Answers of a model against references: 8 to a reference, of which a half are the commonest wrong ones."""

    folder: Path
    n: int

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        rng, out = random.Random(0), []
        while len(out) < self.n:
            reference = self._answer(rng)
            likely = [reference, self._answer(rng)]
            out += [(reference, rng.choice(likely) if rng.random() < 0.5 else self._answer(rng)) for _ in range(8)]
        return out[: self.n]

    def _answer(self, rng: random.Random) -> str:
        a, b, c = (rng.randint(2, 40) for _ in range(3))
        forms = [f"{a}", f"\\frac{{{a}}}{{{b}}}", f"{a}\\sqrt{{{b}}}", f"({a}, {b})", f"{a}x^2+{b}x-{c}", f"{a}.{b}"]
        forms += [f"\\left[{a}, {a + b}\\right)", f"\\{{{a}, {b}, {c}\\}}", f"{a}^{{{b}}}", f"\\frac{{{a}\\pi}}{{{b}}}"]
        return rng.choice(forms)

    def ours(self) -> Spent:
        def compare() -> None:
            comparer = Equality(Limits(5, 1024, 500))
            comparer.outcomes(self.pairs)
            comparer.close()

        return spent(compare)

    def peer(self) -> Spent:
        def compare() -> None:
            with multiprocessing.get_context("spawn").Pool(n_processes()) as pool:
                pool.map(same, self.pairs, chunksize=16)
                pool.close()
                pool.join()

        return spent(compare)

    def limit(self) -> Spent:
        """What is different among the pairs, compared in this process: no start, no limits, nobody to talk to."""
        distinct = {pair for pair in self.pairs if pair[0] != pair[1]}
        compared("1", "2")
        parsed.cache_clear()
        clear_cache()  # SymPy's own
        return spent(lambda: [compared(*pair) for pair in distinct])
