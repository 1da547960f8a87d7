"""python -m sweep [VERB] [-m] [OPTIONS] [OVERRIDES]

Hydra is the front: -m sweeps, `a=1,2` is an axis, `experiment=NAME` a grid from conf/experiment/,
`hydra/launcher=slurm` another launcher. Every verb takes what Hydra takes: overrides (`+`, `~`, quotes), --config-dir
and --config-name; `--cfg job` and `--info` are Hydra's own. Options and overrides may stand in any order.
`python -m sweep VERB --help` tells every option of one.
"""

from __future__ import annotations

import gc

from sweep import installed, interruption

if __name__ == "__main__":  # the imports below take a second, and one may think better of it
    installed.end_without(installed.PLANS, "python -m sweep")
    interruption.end_at_once("interrupted before any work was started")
    gc.set_threshold(100_000)  # importing, composing and planning make objects by the hundred thousand, few garbage

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sweep.commands.options import overview, page_of
from sweep.commands.words import Line, composer, line_of
from sweep.launchers.plugins import refusal, register
from sweep.sharing import denied
from sweep.terminal import streams
from sweep.terminal.words import nearest


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    register()
    words, verb = list(sys.argv[1:] if argv is None else argv), "run"
    try:
        line = line_of(words, (*VERBS, "help"))
        verb = line.verb
        code = show_help(line) if verb == "help" else _command(verb)(line)
        sys.stdout.flush()  # a reader that has gone is noticed here, not at Python's end
        return code
    except (ValueError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0"):
            raise
        return refusal(error)
    except ModuleNotFoundError as error:
        if (told := installed.refused(error, f"python -m sweep {verb}")) is None:
            raise
        return refusal(told)
    except PermissionError as error:  # another user's file: what there is to say of it fits in one paragraph
        return refusal(ValueError(denied(error)))
    except BrokenPipeError:  # the reader of a pipe, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        if verb in LOOKS:
            return 0
        print(f"{verb}: nobody reads what it says any more, so it ended; give the same command again", file=sys.stderr)
        return 128 + signal.SIGPIPE
    except OSError as error:
        return refusal(ValueError(f"{error.filename or 'a file'}: {error.strerror}"))
    except KeyboardInterrupt as error:
        print(f"{verb}: interrupted before it had finished; give the same command again", file=sys.stderr)
        return error.exit_code if isinstance(error, interruption.Signalled) else 130


def show_help(line: Line) -> int:
    """What there is, or one verb's usage."""
    if line.options.hydra_help:
        return _command("run")(line)
    known = [name for name in line.names if name in VERBS]
    if unknown := [name for name in line.names if name not in (*VERBS, "help")]:
        raise ValueError(f"help {unknown[0]}: no such verb{nearest(unknown[0], VERBS)}; there are {', '.join(VERBS)}")
    if known:
        print(page_of(known[0]), end="")
        return 0
    print("\n\n".join([*(__doc__ or "").split("\n\n")[:1], overview(), *(__doc__ or "").split("\n\n")[1:]]))
    print("Config groups (GROUP=NAME):")
    with composer(line.files) as hydra:
        for group in GROUPS:
            print(f"  {group}: {', '.join(hydra.config_loader.get_group_options(group))}")
    return 0


def _command(verb: str) -> Callable[[Line], int]:
    module, name = VERBS[verb].split(":")
    command: Callable[[Line], int] = getattr(importlib.import_module(module), name)
    return command


GROUPS = (
    "experiment",
    "arm",
    "source",
    "method",
    "dataset",
    "prompt",
    "model",
    "evaluation",
    "variant",
    "tracking",
    "hydra/launcher",
)
VERBS = {  # imported when asked for: `plan` does not wait for what reads tables or talks to SLURM
    "run": "sweep.commands.run:run_grid",
    "plan": "sweep.commands.plan:show_plan",
    "status": "sweep.commands.status:show_status",
    "watch": "sweep.commands.watch:watch_grid",
    "logs": "sweep.commands.status:show_log",
    "collect": "sweep.commands.tables:collect_table",
    "merge": "sweep.commands.tables:merge_tables",
    "compare": "sweep.commands.tables:compare_runs",
    "export": "sweep.commands.export:export_runs",
    "choose": "sweep.commands.choose:choose_rates",
    "sync": "sweep.commands.sync:sync_runs",
    "cancel": "sweep.commands.jobs:cancel_command",
    "retry": "sweep.commands.jobs:retry_command",
    "gc": "sweep.commands.gc:remove_unreached",
}
LOOKS = ("help", "plan", "status", "watch", "logs", "compare")  # they leave nothing, so no end of them comes too early


if __name__ == "__main__":
    streams.settle()
    interruption.raise_once()
    try:
        sys.exit(main())
    finally:
        interruption.ignore()
        gc.freeze()  # what is left goes with the process: Python need not look through it for garbage on its way out
