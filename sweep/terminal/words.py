"""Words of messages: the nearest right one to one that is not known, and a number with its noun, a capital."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LIKE = 0.6  # difflib's share of letters in common, from which on a word is worth asking about


def nearest(word: str, valid: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no valid word is like it.

    Capitals, and whether words are joined by a blank, a hyphen or an underscore, make no difference. A word with two
    letters swapped goes first, for that costs a matcher of sequences as much as two wrong letters; where none is
    like it, the one that begins with it is named, of several the one that all others begin with.
    """
    asked, folded = _folded(word), {one: _folded(one) for one in valid}
    swapped = [one for one, plain in folded.items() if _is_swapped(plain, asked)]
    close = difflib.get_close_matches(asked, folded.values(), n=1, cutoff=LIKE)
    begun = sorted((one for one, plain in folded.items() if len(asked) > 2 and plain.startswith(asked)), key=len)
    is_one = all(folded[one].startswith(folded[begun[0]]) for one in begun)
    found = [*swapped, *(one for one, plain in folded.items() if plain in close), *(begun[:1] if is_one else ())]
    return f" (did you mean {found[0]}?)" if found else ""


def listed(names: Iterable[str]) -> str:
    """`RFT, SFT`; where a name has a comma of its own each in quotes: `'RFT', 'SFT, more updates'`."""
    every = list(names)
    return ", ".join(map(repr, every) if any("," in name for name in every) else every)


def count(n: int, one: str, several: str | None = None) -> str:
    """`1 run`, `12 runs`; of ("stage is", "stages are") `1 stage is`, `2 stages are`."""
    return f"{n} {one if n == 1 else several or f'{one}s'}"


def capital(text: str) -> str:
    """The text as a sentence begins; names in it stay as they are written."""
    return text[:1].upper() + text[1:]


def _is_swapped(a: str, b: str) -> bool:
    """Whether two words have the same letters, all but two of them in the same places."""
    return sorted(a) == sorted(b) and sum(x != y for x, y in zip(a, b, strict=True)) <= 2


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().casefold())
