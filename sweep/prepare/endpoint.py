"""An OpenAI-compatible endpoint that may fail in every way: what it says is kept, bounded, tried again, and paid once.

A response is kept under the hash of what was asked, so the same command again asks nothing twice. The key is read from
the environment variable OPENAI_API_KEY by the client alone; it is in no file and no message.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.data.jsonl import object_of
from sweep.disk import write_atomically

KEY = "OPENAI_API_KEY"
RETRIED = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # answers of a server that may answer better later
CUT_OFF = "length"  # what finish_reason says of a response that reached max_tokens
LONGEST_WAIT_S = 60.0
CHARACTERS_A_TOKEN = 3  # fewer than there are, so that an estimate is too high


class BudgetSpent(Exception):
    """The next request might cost more than is left; what is done is kept."""


class NoAnswer(Exception):
    """A request that had no usable answer in all of its tries."""


class Refused(ValueError):
    """The endpoint will not answer, however often it is asked: a wrong key, model or address."""


@dataclass
class Budget:
    """What may be spent, responses kept from earlier runs included; None: without limit.

    Args:
        money: in the currency of the prices, which are for a million tokens in and out.
    """

    requests: int | None = None
    tokens: int | None = None
    money: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    n_requests: int = 0
    n_in: int = 0
    n_out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spent(self) -> float:
        return (self.n_in * self.price_in + self.n_out * self.price_out) / 1e6

    def reserve(self, n_in: int, n_out: int) -> None:
        """Take the most that one request may cost; BudgetSpent where that is more than is left."""
        with self._lock:
            money = (n_in * self.price_in + n_out * self.price_out) / 1e6
            for name, used, more, most in (
                ("requests", self.n_requests, 1, self.requests),
                ("tokens", self.n_in + self.n_out, n_in + n_out, self.tokens),
                ("money", self.spent, money, self.money),
            ):
                if most is not None and used + more > most:
                    raise BudgetSpent(f"{name}: {used:g} of {most:g} spent, and the next request may take {more:g}")
            self.n_requests, self.n_in, self.n_out = self.n_requests + 1, self.n_in + n_in, self.n_out + n_out

    def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Give back what a request did not use."""
        with self._lock:
            self.n_in += used[0] - reserved[0]
            self.n_out += used[1] - reserved[1]


@dataclass
class Endpoint:
    """Asks one model, and remembers.

    Args:
        client: an `openai.OpenAI` that does not retry by itself.
        cache: folder of the responses, a file each.
        n_tries: of one request.
        timeout_s: for the whole of one response, however slowly it comes.
        most_bytes: of one response; a longer one is not read on.
    """

    client: Any
    address: str
    model: str
    cache: Path
    budget: Budget
    timeout_s: float = 120.0
    n_tries: int = 6
    most_bytes: int = 1_000_000
    first_wait_s: float = 1.0
    wait: Callable[[float], None] = time.sleep
    counts: Counter[str] = field(default_factory=Counter)

    def ask(self, text: str, sample: int, *, max_tokens: int, temperature: float) -> str:
        """What the model says to a user's message; another `sample` is another answer to the same message.

        Raises:
            BudgetSpent: before a request that may cost too much.
            NoAnswer: all tries failed, or the response was cut off at max_tokens, which no other try changes.
            Refused: the endpoint refuses for good.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        asked = {"endpoint": self.address, "body": body, "sample": sample}
        place = self.cache / f"{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()}.json"
        reserved = (len(text) // CHARACTERS_A_TOKEN + 16, max_tokens)
        kept = self._kept(place)
        if kept is not None:
            self.budget.reserve(*reserved)
            self.budget.settle(reserved, (kept["n_in"], kept["n_out"]))
            self.counts["responses kept from before"] += 1
            return self._whole(kept)
        found = self._tried(body, reserved)
        write_atomically(place, json.dumps({"asked": asked, **found}, ensure_ascii=False))
        return self._whole(found)

    def _whole(self, found: Mapping[str, Any]) -> str:
        """A response's text; half a problem, or a solution without its end, is none."""
        if found.get("ended") == CUT_OFF:
            self.counts["responses cut off at --max-tokens"] += 1
            raise NoAnswer(f"a response was cut off at its longest: {found['content'][-80:]!r}")
        return str(found["content"])

    def _kept(self, place: Path) -> dict[str, Any] | None:
        """A response of an earlier run; one that cannot be read is asked for again."""
        if not place.exists():
            return None
        try:
            found = object_of(place.read_bytes(), str(place))
            assert isinstance(found["content"], str) and isinstance(found["n_in"] + found["n_out"], int)
        except (ValueError, KeyError, TypeError, AssertionError):
            self.counts["kept responses that cannot be read"] += 1
            return None
        return found

    def _tried(self, body: Mapping[str, Any], reserved: tuple[int, int]) -> dict[str, Any]:
        why = ""
        for n_try in range(self.n_tries):
            self.budget.reserve(*reserved)
            try:
                found = answer_of(self._response(body), reserved)
            except _Failed as error:
                self.budget.settle(reserved, reserved if error.may_cost else (0, 0))
                why = str(error)
                self.counts[error.kind] += 1
                if n_try + 1 < self.n_tries:
                    self.wait(min(LONGEST_WAIT_S, max(error.after_s, self.first_wait_s * 2**n_try)))
                continue
            self.budget.settle(reserved, (found["n_in"], found["n_out"]))
            return found
        raise NoAnswer(f"{self.n_tries} tries failed, the last with {why}")

    def _response(self, body: Mapping[str, Any]) -> bytes:
        """The bytes of one response."""
        import httpx2
        import openai

        began = time.monotonic()
        try:
            with self.client.chat.completions.with_streaming_response.create(**body) as response:
                content = b""
                for part in response.iter_bytes():
                    content += part
                    if time.monotonic() > began + self.timeout_s:
                        raise _Failed("no response in time", f"{len(content)} bytes in {self.timeout_s:g} s")
                    if len(content) > self.most_bytes:
                        raise _Failed("too long a response", f"more than {self.most_bytes} bytes")
                return content
        except openai.APIStatusError as error:
            told = self._without_key(str(error))
            if error.status_code not in RETRIED:
                raise Refused(
                    f"{self.address} refuses model {self.model} with status {error.status_code}: {told}"
                ) from None
            after_s = _after_s(error.response.headers)
            raise _Failed(f"status {error.status_code}", told, after_s, may_cost=False) from None
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise _Failed("no response in time", "a time-out") from None
        except (openai.APIError, httpx2.HTTPError) as error:
            was_there = not isinstance(error.__cause__ or error, httpx2.ConnectError)
            raise _Failed("a connection that broke", self._without_key(str(error)), may_cost=was_there) from None

    def _without_key(self, told: str) -> str:
        """An error's text as it may be shown: a server may say the key again."""
        return told.replace(os.environ.get(KEY) or "\0", "(key)")[:300]


class _Failed(Exception):
    """One try that failed and may be repeated, after `after_s` seconds at the earliest.

    may_cost: the model may have answered what was lost on the way, and then it is paid for; how much, nobody tells.
    """

    def __init__(self, kind: str, told: str, after_s: float = 0.0, *, may_cost: bool = True) -> None:
        super().__init__(f"{kind}: {told}")
        self.kind, self.after_s, self.may_cost = kind, after_s, may_cost


def endpoint_of(address: str, model: str, cache: Path, budget: Budget, timeout_s: float, **more: Any) -> Endpoint:
    """An endpoint at an address.

    Raises:
        ValueError: the client is not installed, there is no key, or the address holds a password.
    """
    try:
        import openai
    except ImportError as error:
        raise ValueError(f"{error}; install the extra: pip install '.[teacher]'") from None
    if not os.environ.get(KEY):
        raise ValueError(f"no key: set {KEY} in the environment; for a server that asks for none, to any word")
    if not address.startswith(("http://", "https://")) or "@" in address or "?" in address:
        raise ValueError("--endpoint: expected http(s)://HOST/v1 without a password or key in it")
    cache.mkdir(parents=True, exist_ok=True)
    client = openai.OpenAI(base_url=address, max_retries=0, timeout=timeout_s)
    return Endpoint(client, address, model, cache, budget, timeout_s, **more)


def answer_of(content: bytes, reserved: tuple[int, int]) -> dict[str, Any]:
    """The text of a response and what it cost; where the endpoint does not tell, what was reserved.

    Raises:
        _Failed: it is no response of a chat, or has nothing in it.
    """
    try:
        said = object_of(content, "response")
        choice = said["choices"][0]
        text, usage = choice["message"]["content"], said.get("usage") or {}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _Failed("a response of another form", f"{type(error).__name__} in {content[:80]!r}") from None
    if not isinstance(text, str) or not text.strip():
        raise _Failed("an empty response", repr(content[:80]))
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    n_in, n_out = (_count(found, most) for found, most in zip(counts, reserved, strict=True))
    return {"content": text, "n_in": n_in, "n_out": n_out, "ended": choice.get("finish_reason")}


def _count(found: object, otherwise: int) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else otherwise


def _after_s(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait; a date, or nonsense, is none."""
    try:
        return max(0.0, float(headers.get("retry-after", 0)))
    except ValueError:
        return 0.0


def told_of(endpoint: Endpoint) -> dict[str, Any]:
    """What facts.json says of the asking."""
    budget = endpoint.budget
    return {
        "endpoint": endpoint.address,
        "model": endpoint.model,
        "n_requests": budget.n_requests,
        "n_tokens_in": budget.n_in,
        "n_tokens_out": budget.n_out,
        "money": round(budget.spent, 6),
        "counts": dict(endpoint.counts),
    }
