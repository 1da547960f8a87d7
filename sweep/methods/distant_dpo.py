"""DPO on distant pairs: each mistake against the correct solution that differs from it the most.

The paper's middle case (Fig. 5c) between arbitrary pairs and per-step DPO, after Pal et al., arXiv:2402.13228,
who found that pairs of small edit distance are where DPO lowers the likelihood of what it should prefer.
The loss is that of dpo.py.
"""

from __future__ import annotations

from sweep.data.records import Pair
from sweep.methods.dials import WHOLE
from sweep.methods.dpo import good_and_wrong, whole_pair
from sweep.methods.material import Material, Method


def pairs(material: Material) -> list[Pair]:
    """One pair a wrong trace, with the good solution at the largest edit distance in words; the most distant pairs of
    a problem up to max_pairs_per_problem, equal distances in random order."""
    from rapidfuzz.distance import Levenshtein  # planning a sweep imports every method, and needs none of its packages

    def distance(text: str, other: str) -> int:
        return Levenshtein.distance(text.split(), other.split())

    out: list[Pair] = []
    for problem_id, good, wrong in good_and_wrong(material):
        right, rejected = material.draw(good, len(good)), material.draw(wrong, len(wrong))
        farthest = [max((distance(text, one), -i) for i, one in enumerate(right)) for text in rejected]
        made = [
            (apart, whole_pair(material, problem_id, right[-i], text))
            for (apart, i), text in zip(farthest, rejected, strict=True)
        ]
        made.sort(key=lambda pair: -pair[0])
        out += [pair for _, pair in made[: material.dials.max_pairs_per_problem]]
    return out


ENTRIES = {"distant_dpo": Method(pairs, start="sft", needs="samples", is_preference=True, dials=WHOLE)}
