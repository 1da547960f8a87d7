"""python -m analysis report TABLE --out DIR"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis.report import Options, write_report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description="multipliers, intervals and figures"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="write the page, figures and tables of a results table")
    report.add_argument("table")
    report.add_argument("--out", required=True)
    report.add_argument("--baseline", default="SFT")
    report.add_argument("--law", default="auto")
    report.add_argument("--draws", type=int, default=4000)
    report.add_argument("--seed", type=int, default=0)
    report.add_argument("--level", type=float, default=0.95)
    asked = parser.parse_args(arguments)
    try:
        print(
            write_report(
                asked.table,
                asked.out,
                Options(asked.baseline, asked.law, asked.draws, asked.seed, asked.level),
            )
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
