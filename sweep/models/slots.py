"""The engine for one card, or the CPU: rows in the slots of one cache that never moves, refilled as they end.

A slot holds the keys and values of one row. Rows that decode stand in the first slots; behind them a pool of slots
holds prefixes that were read, so that a prefix is computed from the longest beginning that it shares with one of the
pool: the solutions of a problem share its prompt, the rollouts of a step the steps before, also from one call to the
next.
All that a step needs is on the device and of a fixed shape, so on a card the model's part of it is captured once for
each number of rows and of tokens, and the host looks only once in LOOK_EVERY steps at what has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sweep.models.draws import Settings, check_finite, choose
from sweep.models.policy import Policy
from sweep.models.slot_view import SLOTS, View
from sweep.models.waiting import Ids, Pool, Work, batches, shared

LOOK_EVERY = 8  # steps on a card between two looks of the host
WIDTH = 64  # tokens: lengths of the cache that a step reads are multiples of it
MOST_POOL = 256  # prefixes that are kept
REFILLED = 1 / 8  # of the slots must be free before waiting rows are read
COPIED_AT_ONCE = 128  # slots
SHARE_OF_FREE = 0.7  # of a card's free memory, for the cache
CPU_CACHE = 2**31  # bytes at most, where the device does not say what is free


@dataclass
class _Rows:
    """What the device knows of the rows in the first slots, each field a row a slot."""

    last: Tensor  # token that is read next
    positions: Tensor  # and where it stands
    n_drawn: Tensor
    is_live: Tensor
    numbers: Tensor  # (n_slots, max_new_tokens) uniform random numbers
    tokens: Tensor  # (n_slots, max_new_tokens) drawn

    def fields(self) -> list[Tensor]:
        return list(vars(self).values())


class Slots:
    """See the module; `n_read` counts the tokens of prefixes that were computed."""

    def __init__(self, policy: Policy, max_rows: int, is_graphed: bool) -> None:
        model = policy.model
        if not getattr(model, "_supports_attention_backend", False):
            raise ValueError(
                f"{type(model).__name__} computes attention in a way of its own, expected a model whose attention "
                "transformers can exchange (Llama, Qwen, Mistral, ...); choose such a model, or exec.engine=embedded"
            )
        self.policy, self.max_rows, self.n_read = policy, max_rows, 0
        self.is_graphed = is_graphed and policy.device.type == "cuda"
        self._before = model.config._attn_implementation
        model.set_attn_implementation(SLOTS)
        self._cache: Tensor | None = None
        self._graphs: dict[tuple[int, int], _Graph] = {}
        self._graph_memory = torch.cuda.graph_pool_handle() if self.is_graphed else None
        self._eos = torch.tensor(policy.eos_ids, device=policy.device)
        self._barred = torch.tensor(policy.barred_ids, dtype=torch.long, device=policy.device)

    def close(self) -> None:
        self._graphs.clear()
        self._cache = None
        self.policy.model.set_attn_implementation(self._before)

    def rows(self, n_rows: dict[Ids, int], settings: Settings) -> Iterator[tuple[Ids, list[list[int]]]]:
        self._make_room(max(map(len, n_rows)) + settings.max_new_tokens)
        rows, work = self._blank(settings), Work(n_rows, settings)
        is_finite = torch.ones((), dtype=torch.bool, device=self.policy.device)
        places: list[tuple[Ids, int]] = []  # whose row each of the first slots holds
        while work.waiting or places:
            self._fill(rows, places, work, settings)
            n_steps = LOOK_EVERY if self.policy.device.type == "cuda" else 1
            longest = max(len(ids) + work.n_drawn[ids, row] for ids, row in places)
            for _ in range(n_steps):
                self._step(rows, len(places), longest + n_steps, settings, is_finite)
            n_drawn = rows.n_drawn[: len(places)].tolist()
            work.n_drawn.update(zip(places, n_drawn, strict=True))
            check_finite(is_finite, max(n_drawn) - 1, settings)
            yield from self._ended(rows, places, work)

    # The cache and the prefixes in it

    def _make_room(self, n_tokens: int) -> None:
        """A cache of at least as many tokens a slot; one that is large enough is kept with the prefixes in it."""
        if self._cache is not None and self._cache.shape[3] >= n_tokens + WIDTH:
            return
        if self._cache is not None:
            n_tokens += n_tokens // 2  # the next call's prefixes are longer again
        self._graphs.clear()
        self._cache = None
        config = self.policy.model.config.get_text_config()
        n_kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        n_values = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        # a place that no row reaches stands behind those that are asked for: what is tried out is written there
        of_slot = (-(-n_tokens // WIDTH) * WIDTH + WIDTH, n_kv_heads, n_values)
        dtype = self.policy.model.dtype
        n_bytes = 2 * config.num_hidden_layers * dtype.itemsize * int(np.prod(of_slot))
        n_fitting = max(2, self._free_bytes() // n_bytes)
        self.n_slots = min(self.max_rows, max(1, n_fitting * 4 // 5))
        n_pool = max(1, min(MOST_POOL, n_fitting - self.n_slots))
        shape = (config.num_hidden_layers, 2, self.n_slots + n_pool, *of_slot)
        self._cache = torch.zeros(shape, dtype=dtype, device=self.policy.device)
        self._pool = Pool(range(self.n_slots, self.n_slots + n_pool))

    def _free_bytes(self) -> int:
        if self.policy.device.type != "cuda":
            return CPU_CACHE
        return int(torch.cuda.mem_get_info(self.policy.device)[0] * SHARE_OF_FREE)

    def _read(self, wanted: Sequence[Ids]) -> dict[Ids, int]:
        """The pool's slot of each prefix, computed where it is not there; not more of them than the pool has slots.

        A prefix's last token is left to the first step of its rows, which need its logits.
        """
        kept = {ids[:-1] for ids in wanted if len(ids) > 1}
        missing = sorted(kept - self._pool.slot_of.keys())
        # whoever shares half of itself or more with the one before waits until that one is read
        first = [ids for i, ids in enumerate(missing) if i == 0 or 2 * shared(ids, missing[i - 1]) < len(ids)]
        self._read_together(first, kept)
        self._read_together(sorted(set(missing) - set(first)), kept)
        return {ids: self._pool.used(ids[:-1]) for ids in wanted if len(ids) > 1}

    def _read_together(self, prefixes: Sequence[Ids], kept: set[Ids]) -> None:
        """Each from the longest beginning that it shares with a prefix of the pool."""
        for batch in batches(prefixes):
            froms = [self._pool.nearest(ids) for ids in batch]
            sources = [self._pool.slot_of[near] if near else 0 for near, _ in froms]  # before one gives its slot up
            slots = [self._pool.taken(kept) for _ in batch]
            copied = [(old, new) for old, new, (_, n) in zip(sources, slots, froms, strict=True) if n]
            self._copy(copied, max(n for _, n in froms), at_once=len(batch))
            news = [ids[n:] for ids, (_, n) in zip(batch, froms, strict=True)]
            if width := max(map(len, news)):
                self._forward(news, [n for _, n in froms], slots, width)
            self.n_read += sum(map(len, news))
            for ids, slot in zip(batch, slots, strict=True):
                self._pool.add(ids, slot)

    def _forward(self, news: Sequence[Ids], starts: Sequence[int], slots: Sequence[int], width: int) -> None:
        """Reads tokens behind what each slot holds; padding stands where the next tokens will be written."""
        assert self._cache is not None
        device = self.policy.device
        padded = torch.tensor([[*ids, *[self.policy.pad_id] * (width - len(ids))] for ids in news], device=device)
        positions = torch.tensor(starts, device=device)[:, None] + torch.arange(width, device=device)
        positions = positions.clamp(max=self._cache.shape[3] - 1)
        n_read = min(-(-(max(starts) + width) // WIDTH) * WIDTH, self._cache.shape[3])
        view = View(self._cache, torch.tensor(slots, device=device), positions, self._seen(positions, n_read))
        self._model(padded, view)

    def _copy(self, pairs: Sequence[tuple[int, int]], n_tokens: int, at_once: int = COPIED_AT_ONCE) -> None:
        """The first tokens of some slots into others, (from, to)."""
        assert self._cache is not None
        for start in range(0, len(pairs) if n_tokens else 0, at_once):
            part = torch.tensor(pairs[start : start + at_once], device=self.policy.device)
            self._cache[:, :, part[:, 1], :n_tokens] = self._cache[:, :, part[:, 0], :n_tokens]

    # The rows

    def _blank(self, settings: Settings) -> _Rows:
        n, device = self.n_slots, self.policy.device
        whole: dict[str, Any] = {"dtype": torch.long, "device": device}
        return _Rows(
            last=torch.zeros(n, **whole),
            positions=torch.zeros(n, **whole),
            n_drawn=torch.zeros(n, **whole),
            is_live=torch.zeros(n, dtype=torch.bool, device=device),
            numbers=torch.zeros(n, settings.max_new_tokens, device=device),
            tokens=torch.zeros(n, settings.max_new_tokens, **whole),
        )

    def _fill(self, rows: _Rows, places: list[tuple[Ids, int]], work: Work, settings: Settings) -> None:
        """Waiting rows into the slots behind those that are in use."""
        if places and self.n_slots - len(places) < REFILLED * self.n_slots:
            return
        while work.waiting and len(places) < self.n_slots:
            n_free = min(self.n_slots - len(places), self._pool.n_slots)
            new = [work.waiting.pop() for _ in range(min(n_free, len(work.waiting)))]
            slot_of = self._read([ids for ids, _ in dict.fromkeys(new)])
            first = len(places)
            places += new
            copied = [(slot_of[ids], first + i) for i, (ids, _) in enumerate(new) if len(ids) > 1]
            self._copy(copied, max(len(ids) for ids, _ in new) - 1)
            own = slice(first, len(places))
            rows.last[own] = torch.tensor([ids[-1] for ids, _ in new], device=rows.last.device)
            rows.positions[own] = torch.tensor([len(ids) - 1 for ids, _ in new], device=rows.last.device)
            rows.n_drawn[own] = 0
            rows.is_live[own] = True
            if settings.temperature:
                numbers = np.stack([work.numbers(ids)[row] for ids, row in new])
                rows.numbers[own] = torch.from_numpy(numbers).to(rows.numbers.device)

    def _step(self, rows: _Rows, n: int, n_read: int, settings: Settings, is_finite: Tensor) -> None:
        """One token more for each of the first n rows that has not ended."""
        logits = self._logits(rows, n, n_read)
        is_live, n_drawn = rows.is_live[:n], rows.n_drawn[:n]
        place = n_drawn.clamp(max=settings.max_new_tokens - 1)[:, None]
        drawn_by = rows.numbers[:n].gather(1, place)[:, 0] if settings.temperature else None
        chosen, _, mass = choose(logits, self._barred, drawn_by, settings)
        lowest, highest = logits.aminmax(dim=1)
        is_finite &= ((highest - lowest).isfinite() & mass.isfinite() | ~is_live).all()
        chosen = torch.where(is_live, chosen, rows.last[:n])
        kept = rows.tokens[:n].gather(1, place)[:, 0]
        rows.tokens[:n].scatter_(1, place, torch.where(is_live, chosen, kept)[:, None])
        rows.last[:n] = chosen
        rows.positions[:n] += is_live
        n_drawn += is_live
        is_live &= ~(torch.isin(chosen, self._eos) | (n_drawn >= settings.max_new_tokens))

    def _ended(self, rows: _Rows, places: list[tuple[Ids, int]], work: Work) -> Iterator[tuple[Ids, list[list[int]]]]:
        """The prefixes whose last row has ended; the rows that go on move into the first slots."""
        is_live = rows.is_live[: len(places)].tolist()
        over = [i for i, lives in enumerate(is_live) if not lives]
        if not over:
            return
        written = rows.tokens[torch.tensor(over, device=rows.last.device)].tolist()
        finished = []
        for i, tokens in zip(over, written, strict=True):
            ids, row = places[i]
            finished += work.end(ids, row, tokens[: work.n_drawn.pop((ids, row))])
        live = [i for i, lives in enumerate(is_live) if lives]
        moves = [(i, hole) for hole, i in zip(over, reversed(live), strict=False) if i > hole]
        self._move(rows, moves, max((len(places[i][0]) + work.n_drawn[places[i]] for i, _ in moves), default=0))
        for i, hole in moves:
            places[hole] = places[i]
        del places[len(live) :]
        yield from finished

    def _move(self, rows: _Rows, moves: Sequence[tuple[int, int]], n_tokens: int) -> None:
        if moves:
            self._copy(moves, n_tokens)
            part = torch.tensor(moves, device=rows.last.device)
            for field in rows.fields():
                field[part[:, 1]] = field[part[:, 0]]

    # The model

    def _logits(self, rows: _Rows, n: int, n_read: int) -> Tensor:
        """(n, n_vocabulary) after each row's last token."""
        assert self._cache is not None
        width = 2 * WIDTH if self.is_graphed else WIDTH
        n_read = min(-(-n_read // width) * width, self._cache.shape[3])
        if not self.is_graphed:
            positions = rows.positions[:n, None]
            view = View(self._cache, None, positions, self._seen(positions, n_read))
            return self._model(rows.last[:n, None], view)
        n_padded = min(4 ** -(-(n - 1).bit_length() // 2), self.n_slots)
        graph = self._graphs.get((n_padded, n_read))
        if graph is None:
            graph = self._graphs[n_padded, n_read] = _Graph(self, n_padded, n_read)
        return graph.logits(rows.last[:n_padded], rows.positions[:n_padded])[:n]

    def _model(self, tokens: Tensor, view: View) -> Tensor:
        with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            told = self.policy.model(tokens, position_ids=view.positions, slots=view, use_cache=False, logits_to_keep=1)
        logits: Tensor = told.logits[:, -1].float()
        return logits

    def _seen(self, positions: Tensor, n_read: int) -> Tensor:
        """(n_rows, 1, n_groups * width, n_read) of positions (n_rows, width): the places up to a token's own."""
        assert self._cache is not None
        is_seen = torch.arange(n_read, device=positions.device) <= positions[:, :, None]
        added = torch.zeros(is_seen.shape, dtype=self._cache.dtype, device=positions.device)
        added.masked_fill_(~is_seen, float("-inf"))
        n_groups = self.policy.model.config.get_text_config().num_attention_heads // self._cache.shape[4]
        return added[:, None].expand(-1, n_groups, -1, -1).flatten(1, 2)[:, None]


class _Graph:
    """The model's part of a step, captured for one number of rows and one length."""

    def __init__(self, engine: Slots, n: int, n_read: int) -> None:
        assert engine._cache is not None
        device = engine.policy.device
        self.tokens = torch.zeros(n, 1, dtype=torch.long, device=device)
        self.positions = torch.zeros(n, 1, dtype=torch.long, device=device)
        self.positions.fill_(engine._cache.shape[3] - 1)  # where no row's tokens stand

        def work() -> Tensor:
            view = View(engine._cache, None, self.positions, engine._seen(self.positions, n_read))  # type: ignore[arg-type]
            return engine._model(self.tokens, view)

        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(2):  # what is chosen or set up at the first call must not be captured
                work()
        torch.cuda.current_stream(device).wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=engine._graph_memory):
            self.out = work()

    def logits(self, last: Tensor, positions: Tensor) -> Tensor:
        self.tokens.copy_(last[:, None])
        self.positions.copy_(positions[:, None])
        self.graph.replay()
        return self.out
