"""The options of every verb of `python -m sweep`: what they mean, their units and defaults, beside Hydra's own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser

from sweep.fields import whole
from sweep.places import named
from sweep.terminal import progress
from sweep.terminal.parser import Parser, of_type

FLAG: dict[str, Any] = {"action": "store_true"}
SEVERAL: dict[str, Any] = {"action": "append", "default": []}
OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {  # option: the verbs that take it, what argparse is told
    "--json": (("plan", "status", "compare", "choose"), {**FLAG, "help": "print one JSON object in place of text"}),
    "--out": (
        ("collect", "merge", "choose", "watch", "export"),
        {
            "metavar": "PATH",
            "type": named,
            "help": "where to write: of choose a .csv file (default: none), of the others a folder (default: "
            "outputs/SWEEP_NAME/table, of watch .../watch, of export .../lm_eval)",
        },
    ),
    "--by": (
        ("collect",),
        {"metavar": "SETTING", "help": "name arms by this setting too, as source.max_solutions_per_problem"},
    ),
    "--from": (
        ("collect",),
        {
            "dest": "origin",
            "nargs": 2,
            "metavar": ("wandb", "ENTITY/PROJECT"),
            "help": "read runs there, not in the store on this machine; without overrides all that are there",
        },
    ),
    "--allow-mixed-code": (
        ("collect", "merge"),
        {**FLAG, "help": "runs that different code made may stand in one table (else refused)"},
    ),
    "--finished": (
        ("collect",),
        {**FLAG, "help": "leave out runs that are not built, each named in the table's provenance.json (else refused)"},
    ),
    "--once": (("watch",), {**FLAG, "help": "one look, then end (else until all is built, or Ctrl-C)"}),
    "--terminal": (("watch",), {**FLAG, "help": "no page, the terminal alone"}),
    "--serve": (("watch",), {**FLAG, "help": "show the page at an address of this machine alone"}),
    "--between": (
        ("watch",),
        {
            "nargs": 2,
            "metavar": ("RUN", "OTHER"),
            "help": "print the settings in which two runs differ, and nothing else; a run is words of its point in one "
            "pair of quotes, as 'arm=rft n_problems=64 seed=0'",
        },
    ),
    "--port": (
        ("watch",),
        {"metavar": "N", "type": of_type(int, whole(1, 65535)), "help": "of --serve (default: one that is free)"},
    ),
    "--delete": (("gc",), {**FLAG, "help": "remove what is listed (else nothing is removed)"}),
    "--keep": (
        ("gc",),
        {
            **SEVERAL,
            "metavar": "OVERRIDES",
            "help": "keep this grid's artifacts, all in one pair of quotes; repeatable",
        },
    ),
    "--without": (
        ("gc",),
        {
            **SEVERAL,
            "metavar": "NAME",
            "help": "let go of an experiment, a grid that was run, a submission, or `unrecorded`; may be repeated",
        },
    ),
}
HYDRAS = {  # name of an option of Hydra's, and of what stands without one: what it does here
    "help": "this page, behind any verb; without one the verbs and the config groups",
    "overrides": "KEY=VALUE sets a value, KEY=A,B is an axis with -m, +KEY=VALUE adds one, ~KEY takes one away",
    "multirun": "the whole grid: every combination of the axes (else one run)",
    "config_path": "folder of the configuration files (default: those of this project)",
    "config_name": "name of the file that is composed (default: config)",
    "config_dir": "a further folder, whose groups and files are found too",
    "cfg": "print the configuration in place of running it: job, hydra or all",
    "resolve": "with --cfg, values in place of ${references}",
    "package": "with --cfg, this part of it alone",
    "info": "print what Hydra knows: all, config, defaults, defaults-tree, plugins or searchpath",
    "run": "one run, where the experiment would sweep",
    "hydra_help": "Hydra's own page",
    "version": "Hydra's version",
    "shell_completion": "completion of the shell's words: install=bash, install=fish or install=zsh, or uninstall=",
    "experimental_rerun": argparse.SUPPRESS,  # refused
}
ABOUT = {  # verb: what it does
    "run": "build what the grid needs; the same command again resumes (what a line without a verb does)",
    "plan": "unique and cached stages, which field made a stage new, estimated time",
    "status": "what of the grid is built, missing or corrupted",
    "watch": "the grid as it goes on, as a page and in the terminal, until it is done or Ctrl-C",
    "compare": "correct and malformed counts of validation runs beside what differs",
    "choose": "each arm's learning rate by the rule of sweep/tuning.py, from validation runs of the grid or of files",
    "collect": "one table of the grid's finished runs",
    "merge": "one table of a sweep's parts",
    "export": "finished evaluations as lm-evaluation-harness logs them",
    "sync": "to W&B, what was kept on this machine while it was offline; again is harmless",
    "logs": "what a stage printed, or which stages of a grid printed something (exec.store=FOLDER for another store)",
    "cancel": "end a SLURM submission's jobs; what is built is kept",
    "retry": "submit again what failed of a SLURM submission, with the settings it had",
    "gc": "artifacts that no grid reaches: listed, and removed with --delete alone",
    "help": "the verbs with the config groups, or one verb's options; as --help behind a verb",
}
OF_SUBMISSION = "its name, as the run printed it (default: your latest)"
NAMES = {  # verb: the names that it takes, and what they are
    "logs": (
        "[KEY]",
        "a stage's key (default: a line for each stage of the grid that printed something, with its key)",
    ),
    "choose": ("[FILE.csv...]", "validation runs that choose --out wrote (default: those of the grid)"),
    "merge": ("TABLE TABLE...", "folders that collect wrote, two or more, of one sweep that was run in parts"),
    "cancel": ("[SUBMISSION]", OF_SUBMISSION),
    "retry": ("[SUBMISSION]", OF_SUBMISSION),
    "help": ("[VERB]", "the verb to tell of (default: all)"),
}
OF_RUN = ("cfg", "resolve", "package", "run", "shell_completion", "info", "hydra_help")  # Hydra's, of a run alone


class _Parser(Parser):
    keeps_rest = True  # line_of sorts a verb's names and overrides


def parser_of(verbs: Sequence[str]) -> Parser:
    """Hydra's parser with our options of these verbs beside its own."""
    parser = _Parser(prog="python -m sweep", add_help=False, parents=[get_args_parser()])
    for action in parser._actions:  # Hydra's words are of its own programs
        action.help = HYDRAS[action.dest]
    progress.add_option(parser)
    for option, (takers, told) in OPTIONS.items():
        if set(takers) & set(verbs):
            parser.add_argument(option, **told)
    return parser


def page_of(verb: str) -> str:
    """The page of one verb: what it does, its names and every option that it takes."""
    parser = parser_of([verb])
    for action in parser._actions:
        if verb != "run" and action.dest in OF_RUN:
            action.help = argparse.SUPPRESS
    parser.usage = usage(verb).removeprefix("usage: ")
    parser.description = "\n".join([ABOUT[verb], *([": ".join(NAMES[verb])] if verb in NAMES else [])])
    return parser.format_help()


def overview() -> str:
    """A line a verb."""
    heads = {verb: " ".join([verb, *NAMES.get(verb, ())[:1]]) for verb in ABOUT}
    return "\n".join(f"    {head:<22}{ABOUT[verb]}" for verb, head in heads.items())


def usage(verb: str) -> str:
    """The usage of a verb on one line."""
    own = [_shown(option, told) for option, (takers, told) in OPTIONS.items() if verb in takers]
    said = ["python -m sweep", verb, *NAMES.get(verb, ())[:1], *own]
    return f"usage: {' '.join(said)} [-m] [KEY=VALUE...] [--config-dir DIR] [--config-name NAME]"


def _shown(option: str, told: Mapping[str, Any]) -> str:
    metavar = told.get("metavar", ())
    several = "..." if told.get("action") == "append" else ""
    return f"[{' '.join([option, *([metavar] if isinstance(metavar, str) else metavar)])}]{several}"
