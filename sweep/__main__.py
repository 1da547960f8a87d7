"""python -m sweep [run|plan|status|compare|collect|merge|sync|logs|cancel|retry|gc] [-m] [Hydra overrides]

    run (the default)   build what the grid needs; the same command again resumes
    plan                unique and cached stages, which field made a stage new, estimated time  [--json]
    status              what of the grid is built, missing or corrupted                         [--json]
    compare             correct counts of validation runs beside what differs between them      [--json]
    collect             one table of the grid's finished runs   [--out DIR] [--allow-mixed-code]
                        [--from wandb ENTITY/PROJECT] from there, of a grid or of all that is there
    merge TABLE...      one table of a sweep's parts            [--out DIR] [--allow-mixed-code]
    sync                to W&B, what was kept on this machine while it was offline; again is harmless
    logs KEY            what a stage printed (exec.store=FOLDER for another store)
    cancel, retry       a SLURM submission's jobs; what failed of it
    gc                  artifacts that no grid reaches, a list alone without [--delete]

Hydra is the front: -m sweeps, `a=1,2` is an axis, `experiment=NAME` a grid from conf/experiment/,
`hydra/launcher=slurm` another launcher, `--cfg job`, `--info` and `--help` are Hydra's own.
"""
from __future__ import annotations

from sweep import interruption

if __name__ == "__main__":  # the imports below take a second, and one may think better of it
    interruption.end_at_once("interrupted before any work was started")

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sweep.launchers.plugins import refusal, register
from sweep.sharing import denied


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    register()
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words.pop(0) if words and words[0] in VERBS else "run"
    try:
        module, name = VERBS[verb].split(":")
        command: Callable[[list[str]], int] = getattr(importlib.import_module(module), name)
        return command(words)
    except (ValueError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0"):
            raise
        return refusal(error)
    except PermissionError as error:  # another user's file: what there is to say of it fits in one paragraph
        return refusal(ValueError(denied(error)))
    except BrokenPipeError:  # the reader of a pipe, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        return 0
    except KeyboardInterrupt as error:
        print(f"{verb}: interrupted before it had finished; give the same command again", file=sys.stderr)
        return error.exit_code if isinstance(error, interruption.Interrupted) else 130


VERBS = {  # imported when asked for: `plan` does not wait for what reads tables or talks to SLURM
    "run": "sweep.commands.run:run_grid",
    "plan": "sweep.commands.plan:show_plan",
    "status": "sweep.commands.status:show_status",
    "logs": "sweep.commands.status:show_log",
    "collect": "sweep.commands.tables:collect_table",
    "merge": "sweep.commands.tables:merge_tables",
    "compare": "sweep.commands.tables:compare_runs",
    "sync": "sweep.commands.sync:sync_runs",
    "cancel": "sweep.commands.jobs:cancel_command",
    "retry": "sweep.commands.jobs:retry_command",
    "gc": "sweep.commands.gc:remove_unreached",
}


if __name__ == "__main__":
    interruption.raise_once()
    try:
        sys.exit(main())
    finally:
        interruption.ignore()
