"""A plan as SLURM sees it: few arrays of jobs, an edge for each element. Pure.

`aftercorr:A` lets element i of an array wait for element i of A alone, so an array has to be laid out like
the arrays it waits for. Stages take the index of their parents; where the parents disagree, a stage becomes
an array of its own with an edge to each. A job is a pack: one stage, or several small ones of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sweep.artifacts import Stage


@dataclass(frozen=True)
class Place:
    """The job that builds a stage: element `index` of an array, new (its number) or in the queue (its job id)."""

    array: int | str
    index: int


@dataclass
class Array:
    """Jobs of one kind that wait for the same arrays; elements[index] are the keys of one job's stages."""

    number: int
    kind: str
    elements: dict[int, list[str]] = field(default_factory=dict)
    aligned: tuple[int | str, ...] = ()  # element i waits for element i of each
    single: tuple[Place, ...] = ()  # every element waits for each of these jobs

    def dependency(self, job_ids: Mapping[int, str]) -> str | None:
        """What sbatch --dependency takes, given the ids of the arrays submitted before."""

        def job_id(array: int | str) -> str:
            return array if isinstance(array, str) else job_ids[array]

        words = []
        if self.aligned:
            words.append("aftercorr:" + ":".join(job_id(array) for array in self.aligned))
        if self.single:
            words.append("afterok:" + ":".join(f"{job_id(p.array)}_{p.index}" for p in self.single))
        return ",".join(words) or None


def arrays(
    stages: Iterable[Stage], places: Mapping[str, Place], *, stages_per_job: Mapping[str, int], max_array_size: int
) -> list[Array]:
    """The arrays that build `stages`, every array after those it waits for.

    Args:
        stages: what to build, parents before children.
        places: jobs already in the queue, by the key they build. A parent that is neither there nor among
            `stages` is built, and needs no edge.
        stages_per_job: how many stages of a kind one job may hold.
        max_array_size: indices go up to max_array_size - 1, as SLURM's MaxArraySize means it.
    """
    out: list[Array] = []
    layouts: dict[tuple[object, ...], list[Array]] = {}
    where = dict(places)
    lonely: dict[int, int] = {}  # number of a new array to its only index
    for kind, level in _levels(stages):
        first = len(out)
        for stage in level:
            parents = dict.fromkeys(where[p.key] for p in stage.parents.values() if p.key in where)
            many = tuple(p.array for p in parents if p.array not in lonely)
            single = tuple(p for p in parents if p.array in lonely)
            indices = {p.index for p in parents if p.array not in lonely}
            layout: tuple[object, ...] = (kind, many, single)
            index = next(iter(indices), None)
            if len(indices) > 1:  # laid out differently: wait for each job by its own id
                many, single = (), tuple(parents)
                layout, index = (kind, stage.key), 0
            array, index = _room(layouts.setdefault(layout, []), index, stages_per_job.get(kind, 1), max_array_size)
            if array is None:
                array = Array(len(out), kind, aligned=many, single=single)
                out.append(array)
                layouts[layout].append(array)
            array.elements.setdefault(index, []).append(stage.key)
            where[stage.key] = Place(array.number, index)
        for array in out[first:]:
            if len(array.elements) == 1:
                lonely[array.number] = next(iter(array.elements))
    return out


def _levels(stages: Iterable[Stage]) -> list[tuple[str, list[Stage]]]:
    """(kind, its stages) by how many new stages are above one another at the most, parents before children."""
    depth: dict[str, int] = {}
    levels: dict[tuple[int, str], list[Stage]] = {}
    for stage in stages:
        depth[stage.key] = 1 + max((depth[p.key] for p in stage.parents.values() if p.key in depth), default=-1)
        levels.setdefault((depth[stage.key], stage.kind), []).append(stage)
    return [(kind, levels[level, kind]) for level, kind in sorted(levels, key=lambda level: level[0])]


def _room(found: Sequence[Array], index: int | None, capacity: int, size: int) -> tuple[Array | None, int]:
    """An array of this layout where the stage fits and its index there, or (None, index in a new one)."""
    for array in found if index is not None else found[-1:]:
        at = index
        if at is None:  # no parent says which: fill the last job, then begin the next
            last = max(array.elements)
            at = last if len(array.elements[last]) < capacity else last + 1
        if at < size and len(array.elements.get(at, ())) < capacity:
            return array, at
    return None, index or 0
