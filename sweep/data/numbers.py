"""Numbers as people write them, each brought to one spelling."""

from __future__ import annotations

import re
import unicodedata

MAX_DIGITS = 100

# 1,234 or 1234 or 0.5 or .5, with a sign and a dollar sign in either order
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:\$\s*)?(?P<sign_inside>-?)"
    r"(?P<digits>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)%?\.*"
)
# other scripts' marks for the same; digits are looked up one by one
_MARKS = str.maketrans("\u2212\uff0d\ufe63\uff0b\uff0c\u066c\uff0e\u066b\uff05\uff04\ufe69", "---+,,..%$$")


def normalised_number(text: str) -> str | None:
    """One spelling for one number: `$1,080.00.`, `1080` and full-width `１０８０` are `1080`; None where it is none."""
    bare = text.strip()
    if len(bare) > MAX_DIGITS:
        return None
    match = _NUMBER.fullmatch("".join(map(_plain_digit, bare.translate(_MARKS))))
    if match is None or (match["sign"] and match["sign_inside"]):
        return None
    whole, _, fraction = match["digits"].replace(",", "").partition(".")
    digits = (whole.lstrip("0") or "0") + ("." + fraction.rstrip("0")).rstrip(".")
    is_negative = "-" in (match["sign"], match["sign_inside"])
    return f"-{digits}" if is_negative and digits != "0" else digits


def _plain_digit(character: str) -> str:
    return str(unicodedata.decimal(character)) if character.isdecimal() else character
