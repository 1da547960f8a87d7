"""The options of `python -m analysis`: every command, what each option means, its unit and its default."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from analysis.laws.forms import FITTED_ALONE, FORMS
from analysis.tables.formats import FORMATS
from sweep.fields import real, whole
from sweep.table import named
from sweep.terminal import progress
from sweep.terminal.parser import Parser, of_type

if TYPE_CHECKING:
    Kinds = argparse._SubParsersAction[Parser]

TABLE = "a folder that `collect` wrote, a .csv, a .parquet, a log or a pattern (python -m analysis --help has each)"
JSON = "print one JSON object in place of text"
ABOVE_0, ABOVE_1 = of_type(float, real(above=0)), of_type(float, real(above=1))


def parser_of(description: str | None) -> Parser:
    """The parser of all commands; `command` is the name of the one that was given."""
    parser = Parser(prog="python -m analysis", description=description)
    kinds: Kinds = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _fit_command(kinds)
    multiplier = _command(kinds, "multiplier", "what one of an arm's problems is worth in the baseline's")
    where = multiplier.add_mutually_exclusive_group()
    at_error = "read it at this error, a fraction (default: the middle of the errors that both arms reach)"
    where.add_argument("--at-error", type=ABOVE_0, metavar="ERROR", help=at_error)
    at_size = "read it at this many of the arm's problems, one of its sizes or one between"
    where.add_argument("--at-size", type=ABOVE_0, metavar="N", help=at_size)
    design = _command(kinds, "design", "what to run next, so that the multiplier is known well enough")
    width = "wanted: the multiplier within this factor either way, for example 1.25 (default: as --tell asks)"
    design.add_argument("--width", type=ABOVE_1, metavar="FACTOR", help=width)
    tell = "wanted: a multiplier of this size distinguished from 1"
    design.add_argument("--tell", type=ABOVE_1, default=2.0, metavar="FACTOR", help=tell)
    _command(kinds, "validate", "how each law predicts sizes that it was not fitted to")
    report = _command(kinds, "report", "figures, tables, verdicts and the page of one table")
    report.add_argument("--out", required=True, type=named, metavar="FOLDER", help="folder to write")
    report.add_argument("--map", metavar="FILE", help="map.csv of `python -m analysis map`, drawn as the first figure")
    record = "report folder of a larger study: what it predicts for this one stands first"
    report.add_argument("--record", metavar="FOLDER", help=record)
    _compare_command(kinds)
    _figures_command(kinds)
    _map_command(kinds)
    others = _subcommand(kinds, "published", "others' tables: exponents, multipliers, held-out errors of each law")
    others.add_argument("--json", action="store_true", help=JSON)
    _draws_option(others, 2000)
    return parser


def _subcommand(kinds: Kinds, name: str, what: str, description: str = "") -> Parser:
    one = kinds.add_parser(name, help=what, description=description or what)
    progress.add_option(one)
    return one


def _fit_command(kinds: Kinds) -> None:
    fit = _command(kinds, "fit", "the laws of each arm: parameters with intervals")
    objective = "what --law chinchilla makes smallest (of at most 200 draws)"
    fit.add_argument("--objective", choices=("huber", "least_squares"), default="huber", help=objective)
    delta = "where the Huber objective turns from squares to absolute values, in natural logarithms of the loss"
    fit.add_argument("--delta", type=ABOVE_0, default=1e-3, help=delta)
    both = " and ".join(f"--law {law}" for law in FITTED_ALONE)
    fit.add_argument("--n-params", default="n_params", metavar="COLUMN", help=f"column of model sizes, of {both}")
    tokens = f"column of data sizes or compute, of {both}"
    fit.add_argument("--n-tokens", default="n_tokens", metavar="COLUMN", help=tokens)


def _compare_command(kinds: Kinds) -> None:
    what = "the paired test of two models on one test set"
    one = _subcommand(kinds, "compare", what, description=f"{what}: B minus A, by problem")
    one.add_argument("a", metavar="A", help="any TABLE with an outcome of every problem; several seeds are one model")
    one.add_argument("b", metavar="B", help="the same of the other model")
    one.add_argument("--a", dest="only_a", action="append", default=[], metavar="COLUMN=VALUE", help="rows of A alone")
    one.add_argument("--b", dest="only_b", action="append", default=[], metavar="COLUMN=VALUE", help="rows of B alone")
    one.add_argument("--only-shared", action="store_true", help="leave problems out that only one was tested on")
    _level_option(one)
    one.add_argument("--json", action="store_true", help=JSON)
    _file_options(one)
    _column_options(one)


def _figures_command(kinds: Kinds) -> None:
    """Every figure of the paper; tables are found where runs leave them, so that none needs to be named."""
    figures = _subcommand(kinds, "figures", "the paper's figures, and the page that shows them all")
    figures.add_argument("--only", action="append", default=[], metavar="NAME", help="one figure; may be repeated")
    where = "folder to write (default: outputs/figures, and outputs/figures_SCALE at another scale)"
    figures.add_argument("--out", type=named, metavar="FOLDER", help=where)
    scale = "fresh: no table of record, every run one's own; quick: small runs that prove nothing"
    figures.add_argument("--scale", choices=("full", "fresh", "quick"), default="full", help=scale)
    figures.add_argument("--commands", action="store_true", help="print what makes the tables that are not there")
    given = "a table in place of the one that is found; may be repeated"
    figures.add_argument("--table", action="append", default=[], metavar="EXPERIMENT=FOLDER", help=given)
    _draws_option(figures, 4000)
    figures.add_argument("--json", action="store_true", help=JSON)


def _map_command(kinds: Kinds) -> None:
    variants = _command(kinds, "map", "one ingredient changed at a time: where the multiplier is 1, 2, 8")
    variants.add_argument("variants", nargs="*", metavar="VARIANT", help="tables, each with one setting changed")
    size = "number of the arms' problems to read at (default: where each arm is read best); may be repeated"
    variants.add_argument("--size", action="append", type=ABOVE_0, default=[], metavar="N", help=size)
    share = (
        "kind of flaw whose share of the baseline's is to explain the worth, for example 'hard skip'; may be repeated"
    )
    variants.add_argument("--share-of", action="append", default=[], metavar="KIND", help=share)
    variants.add_argument("--out", required=True, type=named, metavar="FOLDER", help="folder to write")


def _command(kinds: Kinds, name: str, what: str) -> Parser:
    """A subcommand with the options that all share."""
    one = _subcommand(kinds, name, what)
    one.add_argument("table", metavar="TABLE", help=TABLE)
    one.add_argument("--json", action="store_true", help=JSON)
    one.add_argument("--baseline", default="SFT", metavar="ARM", help="the arm that others are measured in")
    of = "an arm to look at; may be repeated (default: all but the baseline)"
    one.add_argument("--of", action="append", default=[], metavar="ARM", help=of)
    laws = f"auto, {', '.join(FORMS)}; of fit also {', '.join(FITTED_ALONE)}; of validate several, by commas"
    one.add_argument("--law", default="auto", help=laws)
    _draws_option(one, 4000)
    seed = of_type(int, whole(0))
    one.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="starts the draws: the same again, the same draws"
    )
    _level_option(one)
    cost = "axis in place of the size, for example total_seconds; of design, what new runs are priced in"
    one.add_argument("--cost", metavar="COLUMN", help=cost)
    ceiling = "error (or loss) at zero data, for the saturating law, where no run of size 0 gives it"
    one.add_argument("--ceiling", type=float, metavar="ERROR", help=ceiling)
    one.add_argument("--unpaired", action="store_true", help="arms were tested on different problems")
    _file_options(one)
    _column_options(one)
    return one


def _draws_option(one: Parser, n: int) -> None:
    told = "resamples of seeds and problems, of which the intervals are made (of laws of one size at least 100)"
    one.add_argument("--draws", type=of_type(int, whole(1)), default=n, metavar="N", help=told)


def _level_option(one: Parser) -> None:
    told = "share of intervals that hold the truth, from 0.5 to below 1"
    one.add_argument("--level", type=of_type(float, real(0.5, below=1)), default=0.95, metavar="SHARE", help=told)


def _column_options(one: Parser) -> None:
    """Which column means what, of every command that reads a table."""
    columns = one.add_argument_group("columns")

    def column(option: str, default: str | None, told: str) -> None:
        columns.add_argument(option, default=default, metavar="COLUMN", help=f"column of {told}")

    column("--arm", "arm", "the arms' names: what is compared")
    column("--x", "n_problems", "the sizes: how much data (or compute) a run was given")
    column("--y", None, "outcomes (default: is_correct, n_correct or error, whichever is there; of a sweep greedy)")
    y_is = "whether y grows with wrong answers, with right ones, or is a loss (default: as its name says)"
    columns.add_argument("--y-is", choices=("error", "accuracy", "loss"), help=y_is)
    unit = "of y: a fraction in [0, 1], or a percentage"
    columns.add_argument("--unit", choices=("fraction", "percent"), default="fraction", help=unit)
    column("--seed-column", "seed", "seeds: what tells runs of one arm and size apart")
    column("--problem", "problem_id", "test problems' names, where each outcome has a row")
    column("--n-test", "n_test", "numbers of test problems, where y is a count")
    column("--stderr", None, "standard errors of y, in its unit, where y is an error (default: taken from the scatter)")
    column("--sample", "sample", "numbers of attempts at one problem, which are averaged")
    rows = "read these rows alone; may be repeated, and all must hold"
    columns.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help=rows)


def _file_options(one: Parser) -> None:
    """How files are read, of every command that reads a table."""
    files = one.add_argument_group("files")
    formats = f"what a log is: {', '.join(FORMATS)} (default: as its content says)"
    files.add_argument("--format", choices=tuple(FORMATS), metavar="FORMAT", help=formats)
    step = "of training curves the row to take: 'last', or a step's number; for a curve itself say --x step"
    files.add_argument("--step", metavar="STEP", help=step)
    files.add_argument("--drop-blank", action="store_true", help="leave rows without an outcome out (else refused)")
