"""python -m analysis fit | multiplier | design | validate | compare | report | figures | map | published

    TABLE is a folder written by `python -m sweep collect`; any .csv or .parquet file; a log of lm-evaluation-harness,
    Inspect, a Hugging Face or TRL trainer, verl, prime-rl or W&B; or a pattern over many files, which says what they do
    not: 'runs/{arm}-n{n_problems}-s{seed}/samples_*.jsonl'. Of a wide table --y 'accuracy_{seed}' reads the columns.
Exit codes: 0 done, 2 a mistake in the table or the options (one paragraph on stderr).
"""

from __future__ import annotations

from sweep import installed

if __name__ == "__main__":  # before the imports below fail
    installed.end_without(installed.TABLES, "python -m analysis")

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis import commands, published, terminal
from analysis import compare as comparing
from analysis.command_line import parser_of
from analysis.gallery.entries import FULL
from analysis.gallery.write import commands as commands_of_figures
from analysis.gallery.write import write_gallery
from analysis.laws.chinchilla import fit_chinchilla
from analysis.laws.forms import FITTED_ALONE
from analysis.laws.learning_efficiency import fit_learning_efficiency
from analysis.laws.surface import MAX_DRAWS, SurfaceFit, read_losses
from analysis.map import survey, write_map
from analysis.options import Options
from analysis.report.write import write_report
from analysis.tables.table import Columns
from analysis.tables.where import filters_of
from sweep.terminal import streams


def main(arguments: Sequence[str] | None = None) -> int:
    command = "python -m analysis"
    try:
        asked = parser_of(__doc__).parse_args(arguments)
        command = asked.command
        print(RUNS[command](asked), flush=True)
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
        print(f"{command}: interrupted before it had finished", file=sys.stderr)
        return 130
    return 0


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
    if asked.commands:
        return "\n".join(commands_of_figures(asked.only, asked.scale))
    out = asked.out or ("outputs/figures" if asked.scale == FULL else f"outputs/figures_{asked.scale}")
    written = write_gallery(out, only=asked.only, tables=tables, n_draws=asked.draws, scale=asked.scale)
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


RUNS: dict[str, Callable[[argparse.Namespace], str]] = {
    "fit": _fit,
    "multiplier": _multiplier,
    "design": _design,
    "validate": _validate,
    "report": _report,
    "compare": _compare,
    "figures": _figures,
    "map": _map,
    "published": _published,
}


if __name__ == "__main__":
    streams.settle()
    sys.exit(main())
