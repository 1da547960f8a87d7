"""python -m analysis fit | multiplier | design | validate | compare | report | figures | map | published

    TABLE is a folder written by `python -m sweep collect`; any .csv or .parquet file; a log of lm-evaluation-harness,
    Inspect, a Hugging Face or TRL trainer, verl, prime-rl or W&B; or a pattern over many files, which says what they do
    not: 'runs/{arm}-n{n_problems}-s{seed}/samples_*.jsonl'. Of a wide table --y 'accuracy_{seed}' reads the columns.
Exit codes: 0 done, 2 a mistake in the table or the options (one paragraph on stderr).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import commands, published, terminal
from analysis import compare as comparing
from analysis.gallery.write import write_gallery
from analysis.laws.chinchilla import fit_chinchilla
from analysis.laws.forms import FITTED_ALONE, FORMS
from analysis.laws.learning_efficiency import fit_learning_efficiency
from analysis.laws.surface import MAX_DRAWS, SurfaceFit, read_losses
from analysis.map import survey, write_map
from analysis.options import Options
from analysis.report.write import write_report
from analysis.tables.formats import FORMATS
from analysis.tables.table import Columns
from analysis.tables.where import filters_of
from sweep.table import named

if TYPE_CHECKING:
    Kinds = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        print(asked.run(asked), flush=True)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        return 0
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{asked.command}: interrupted before it had finished", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="command", required=True)
    _fit_command(kinds)
    multiplier = _command(kinds, "multiplier", _multiplier, "what one of an arm's problems is worth in the baseline's")
    where = multiplier.add_mutually_exclusive_group()
    where.add_argument("--at-error", type=float)
    where.add_argument("--at-size", type=float)
    design = _command(kinds, "design", _design, "what to run next")
    design.add_argument("--width", type=float, help="wanted: m within this factor either way, for example 1.25")
    design.add_argument("--tell", type=float, default=2.0, help="wanted: this multiplier distinguished from 1")
    _command(kinds, "validate", _validate, "held-out error of each law")
    report = _command(kinds, "report", _report, "figures, tables, verdicts and the page of one table")
    report.add_argument("--out", required=True, type=named, help="folder to write")
    report.add_argument("--map", help="map.csv of `python -m analysis map`, the first figure")
    report.add_argument("--record", help="report folder of a larger study: what it predicts for this one")
    _compare_command(kinds)
    _figures_command(kinds)
    _map_command(kinds)
    others = kinds.add_parser("published", help="others' tables: fits and multipliers")
    others.add_argument("--json", action="store_true")
    others.add_argument("--draws", type=int, default=2000)
    others.set_defaults(run=_published)
    return parser


def _fit_command(kinds: Kinds) -> None:
    fit = _command(kinds, "fit", _fit, "the laws of each arm")
    fit.add_argument(
        "--objective",
        choices=("huber", "least_squares"),
        default="huber",
        help="of --law chinchilla (at most 200 draws)",
    )
    fit.add_argument("--delta", type=float, default=1e-3, help="of the Huber objective")
    both = " and ".join(f"--law {law}" for law in FITTED_ALONE)
    fit.add_argument("--n-params", default="n_params", help=f"column of model sizes, of {both}")
    fit.add_argument("--n-tokens", default="n_tokens", help=f"column of data sizes or compute, of {both}")


def _compare_command(kinds: Kinds) -> None:
    what = "the paired test of two models on one test set"
    one = kinds.add_parser("compare", help=what, description=f"{what}: B minus A, by problem")
    one.set_defaults(run=_compare)
    one.add_argument("a", metavar="A", help="any TABLE with an outcome of every problem; several seeds are one model")
    one.add_argument("b", metavar="B", help="the same of the other model")
    one.add_argument("--a", dest="only_a", action="append", default=[], metavar="COLUMN=VALUE", help="rows of A alone")
    one.add_argument("--b", dest="only_b", action="append", default=[], metavar="COLUMN=VALUE", help="rows of B alone")
    one.add_argument("--only-shared", action="store_true", help="leave problems out that only one was tested on")
    one.add_argument("--level", type=float, default=0.95, help="of the interval (0.95)")
    one.add_argument("--json", action="store_true", help="one JSON object")
    _file_options(one)
    _column_options(one)


def _figures_command(kinds: Kinds) -> None:
    """Every figure of the paper; tables are found where runs leave them, so that none needs to be named."""
    figures = kinds.add_parser("figures", help="the paper's figures, and the page that shows them all")
    figures.add_argument("--only", action="append", default=[], metavar="NAME", help="one figure; may repeat")
    figures.add_argument("--out", default="outputs/figures", type=named, help="folder to write (outputs/figures)")
    given = "a table in place of the one that is found; may repeat"
    figures.add_argument("--table", action="append", default=[], metavar="EXPERIMENT=FOLDER", help=given)
    figures.add_argument("--draws", type=int, default=4000)
    figures.add_argument("--json", action="store_true", help="one JSON object")
    figures.set_defaults(run=_figures)


def _map_command(kinds: Kinds) -> None:
    variants = _command(kinds, "map", _map, "one ingredient changed at a time: where the multiplier is 1, 2, 8")
    variants.add_argument("variants", nargs="*", metavar="VARIANT", help="tables, each with one setting changed")
    variants.add_argument("--size", action="append", type=float, default=[], help="of the arms; may repeat")
    variants.add_argument(
        "--share-of", action="append", default=[], metavar="KIND",
        help="kind of flaw whose share of the baseline's is to explain the worth, for example 'hard skip'; may repeat",
    )  # fmt: skip
    variants.add_argument("--out", required=True, type=named, help="folder to write")


def _command(kinds: Kinds, name: str, run: Callable[[argparse.Namespace], str], what: str) -> argparse.ArgumentParser:
    """A subcommand with the options that all share."""
    one = kinds.add_parser(name, help=what)
    one.set_defaults(run=run)
    one.add_argument("table", metavar="TABLE")
    one.add_argument("--json", action="store_true", help="one JSON object")
    one.add_argument("--baseline", default="SFT")
    one.add_argument("--of", action="append", default=[], metavar="ARM", help="an arm to look at; may repeat")
    laws = f"auto, {', '.join(FORMS)}; of fit also {', '.join(FITTED_ALONE)}; of validate several, by commas"
    one.add_argument("--law", default="auto", help=laws)
    one.add_argument("--draws", type=int, default=4000)
    one.add_argument("--seed", type=int, default=0, help="of the draws")
    one.add_argument("--level", type=float, default=0.95)
    cost = "axis in place of the size, for example total_seconds; of design, what new runs are priced in"
    one.add_argument("--cost", metavar="COLUMN", help=cost)
    ceiling = "error (or loss) at zero data for --law saturating, where no run of size 0 tells it"
    one.add_argument("--ceiling", type=float, help=ceiling)
    one.add_argument("--unpaired", action="store_true", help="arms were tested on different problems")
    _file_options(one)
    _column_options(one)
    return one


def _column_options(one: argparse.ArgumentParser) -> None:
    """Which column means what, of every command that reads a table."""
    columns = one.add_argument_group("columns")
    columns.add_argument("--arm", default="arm")
    columns.add_argument("--x", default="n_problems")
    columns.add_argument("--y", help="is_correct, n_correct or error, whichever is there; of a sweep greedy or sampled")
    columns.add_argument("--y-is", choices=("error", "accuracy", "loss"))
    columns.add_argument("--unit", choices=("fraction", "percent"), default="fraction")
    columns.add_argument("--seed-column", default="seed")
    columns.add_argument("--problem", default="problem_id")
    columns.add_argument("--n-test", default="n_test")
    columns.add_argument("--stderr", help="column with the standard error of y")
    columns.add_argument("--sample", default="sample", help="several attempts at one problem, averaged")
    columns.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="rows to read")


def _file_options(one: argparse.ArgumentParser) -> None:
    """How files are read, of every command that reads a table."""
    files = one.add_argument_group("files")
    files.add_argument("--format", choices=tuple(FORMATS), help="what a log is, where its content is not to decide")
    step = "of training curves the row to take: 'last', or a step's number; for a curve itself say --x step"
    files.add_argument("--step", metavar="STEP", help=step)
    files.add_argument("--drop-blank", action="store_true", help="leave rows without an outcome out")


def _columns(asked: argparse.Namespace) -> Columns:
    return Columns(
        arm=asked.arm,
        x=asked.x,
        seed=asked.seed_column,
        y=asked.y,
        y_is=asked.y_is,
        unit=asked.unit,
        problem=asked.problem,
        n_test=asked.n_test,
        stderr=asked.stderr,
        filters=filters_of(asked.where),
        step=asked.step,
        sample=asked.sample,
        drop_blank=asked.drop_blank,
        format=asked.format,
    )


def options(asked: argparse.Namespace) -> Options:
    """The parsed options as a value."""
    return Options(
        baseline=asked.baseline,
        law=asked.law,
        n_draws=asked.draws,
        seed=asked.seed,
        level=asked.level,
        columns=_columns(asked),
        cost=asked.cost,
        of=tuple(asked.of),
        is_unpaired=asked.unpaired,
        ceiling=asked.ceiling,
    )


def _fit(asked: argparse.Namespace) -> str:
    if asked.law in FITTED_ALONE:
        law = _surface(asked)
        return terminal.as_json(law) if asked.json else terminal.fits_text(law)
    found = commands.fits(asked.table, options(asked))
    if asked.json:
        return terminal.as_json({"fits": found} if isinstance(found, tuple) else found)
    return terminal.fits_text(found)


def _surface(asked: argparse.Namespace) -> SurfaceFit:
    points = read_losses(asked.table, asked.n_params, asked.n_tokens, asked.y or "loss")
    n_draws = min(asked.draws, MAX_DRAWS)
    if asked.law == "learning_efficiency":
        return fit_learning_efficiency(points, n_draws=n_draws, seed=asked.seed, level=asked.level)
    return fit_chinchilla(
        points, objective=asked.objective, delta=asked.delta, seed=asked.seed, n_draws=n_draws, level=asked.level
    )


def _multiplier(asked: argparse.Namespace) -> str:
    found = commands.multipliers(asked.table, options(asked), at_error=asked.at_error, at_size=asked.at_size)
    if not asked.json:
        return terminal.results_text(found)
    objects = [terminal.result_object(one) for one in found]
    return terminal.as_json(objects[0] if len(objects) == 1 else {"multipliers": objects})


def _compare(asked: argparse.Namespace) -> str:
    found = comparing.compare(
        asked.a, asked.b, _columns(asked), only_a=tuple(asked.only_a), only_b=tuple(asked.only_b),
        is_shared_only=asked.only_shared, level=asked.level,
    )  # fmt: skip
    return terminal.as_json(found) if asked.json else comparing.text(found)


def _design(asked: argparse.Namespace) -> str:
    found = commands.what_next(asked.table, options(asked), width=asked.width, tell=asked.tell)
    return terminal.as_json({"plans": found}) if asked.json else terminal.plans_text(found)


def _validate(asked: argparse.Namespace) -> str:
    chosen = options(asked)
    found = commands.held_out(asked.table, chosen, None if asked.law == "auto" else asked.law.split(","))
    return terminal.as_json(found) if asked.json else terminal.validation_text(found)


def _report(asked: argparse.Namespace) -> str:
    report = write_report(asked.table, asked.out, options(asked), map_path=asked.map, record_path=asked.record)
    if asked.json:
        return terminal.as_json({"prediction": report.prediction, "written": list(map(str, report.files))})
    known = "" if report.is_new else " (as it was: made of the same table, options and code)"
    return "\n".join([*([report.prediction] if report.prediction else []), f"{report.page}{known}"])


def _figures(asked: argparse.Namespace) -> str:
    if wrong := [word for word in asked.table if not all(word.partition("=")[::2])]:
        raise ValueError(f"--table {wrong[0]}: EXPERIMENT=FOLDER was expected, for example study=outputs/study/table")
    tables = {name: Path(folder) for name, _, folder in (word.partition("=") for word in asked.table)}
    written = write_gallery(asked.out, only=asked.only, tables=tables, n_draws=asked.draws)
    return terminal.as_json({"written": list(map(str, written))}) if asked.json else str(written[0])


def _map(asked: argparse.Namespace) -> str:
    paths = [asked.table, *asked.variants]
    if asked.json:
        found = survey(paths, options(asked), sizes=asked.size, share_of=asked.share_of)
        return terminal.as_json({"readings": found})
    return str(write_map(paths, asked.out, options(asked), sizes=asked.size, share_of=asked.share_of)[0])


def _published(asked: argparse.Namespace) -> str:
    found = published.implications(n_draws=asked.draws)
    return terminal.as_json(found) if asked.json else published.text(found)


if __name__ == "__main__":
    # the times sign and JSON are UTF-8 in every locale, and a path's odd bytes are what they are
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
