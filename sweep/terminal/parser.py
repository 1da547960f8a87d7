"""The parser of every command line of ours: it tells each option's default, and the nearest word to a wrong one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sweep.fields import read_as
from sweep.terminal.words import nearest


class Described(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The help of an option with its default behind it, where it has one; a description keeps its lines."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default is not None and action.default is not False and action.default != []
        return super()._get_help_string(action) if has_default else action.help


class Parser(argparse.ArgumentParser):
    """argparse whose refusals are a ValueError on one line with the nearest right word.

    No option may be shortened, for a new one would change what the short form means.
    """

    keeps_rest = False  # whether words that nothing takes go back to the caller

    def __init__(self, **told: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Described, **told})

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; {self.prog} --help says what there is")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, rest = super().parse_known_args(args, namespace)
        if rest and not self.keeps_rest:
            said = f"unknown option {rest[0]}" if rest[0].startswith("-") else f"{rest[0]} is one word too many"
            self.error(said + nearest(rest[0].split("=")[0], self._option_string_actions))
        return known, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            valid = [str(one) for one in action.choices]
            said = f"{value!r} is none of {', '.join(valid)}{nearest(str(value), valid)}"
            raise argparse.ArgumentError(action, said)


def of_type(kind: type, valid: Any) -> Callable[[str], Any]:
    """An argparse `type` with the valid values of a field (sweep/fields.py): `of_type(int, whole(1))`."""

    def read(text: str) -> Any:
        try:
            return read_as(kind, valid, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def answered(parser: argparse.ArgumentParser, words: Sequence[str] | None, name: str) -> argparse.Namespace:
    """The options of a command without subcommands; a mistake in them ends it with `NAME: ...` and exit code 2."""
    try:
        return parser.parse_args(words)
    except ValueError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
