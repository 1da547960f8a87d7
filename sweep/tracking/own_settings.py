"""What W&B's own files and variables say, as W&B reads them, and refused before any work where it would refuse them.

`wandb offline`, `wandb disabled` and `wandb init` write wandb/settings in the working folder, and W&B reads another
such file below the home folder; its variables go before both. Of what a sweep decides for each of its runs, W&B is
told by no variable: they are named to the user and taken out of the environment before W&B is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from sweep.terminal.words import nearest

PREFIX = "WANDB_"
READ = ("mode", "project", "entity")  # of the files, what the configuration may leave open
OBEYED = ("MODE", "DISABLED", "PROJECT", "ENTITY", "BASE_URL", "API_KEY", "NOTES", "TAGS", "RUN_GROUP", "INIT_TIMEOUT")
DECIDED = (  # which run it is, where its files lie, and what W&B collects by itself
    *("RUN_ID", "NAME", "RUN_NAME", "JOB_TYPE", "RUN_JOB_TYPE", "DIR", "ROOT_DIR", "X_FILES_DIR"),
    *("RESUME", "RESUME_FROM", "FORK_FROM", "REINIT", "SWEEP_ID", "SWEEP_PARAM_PATH", "LAUNCH", "CONFIG"),
    *("CONSOLE", "SAVE_CODE", "DISABLE_CODE", "DISABLE_GIT", "HOST", "PROGRAM", "IGNORE_GLOBS"),
)


def quiet() -> None:
    """W&B's package, as it is to be before it is imported: no usage statistics, no lines and no names of its own."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in DECIDED:
        os.environ.pop(PREFIX + name, None)


def not_obeyed(environment: Mapping[str, str], names: Iterable[str], why: str) -> list[str]:
    """A line about those of these variables that are set."""
    found = [PREFIX + name for name in names if environment.get(PREFIX + name)]
    return [f"{', '.join(found)}: not obeyed, {why}"] if found else []


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """A line about each variable that W&B does not know and that is like one that a sweep obeys."""
    from wandb import env

    fields = {name.upper() for name in type(settings()).model_fields}
    known = {PREFIX + name for name in fields} | {PREFIX + name[1:] for name in fields if name.startswith("X_")}
    known |= {value for value in vars(env).values() if isinstance(value, str)} | {PREFIX + name for name in OBEYED}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    lines = []
    for name in unknown:
        if like := nearest(name.removeprefix(PREFIX), OBEYED):
            lines.append(f"{name} is no variable of W&B's: not obeyed{like.replace('mean ', 'mean ' + PREFIX)}")
    return lines


def of_files() -> dict[str, str]:
    """What W&B's files say of READ; the file of the working folder goes before the other."""
    found = settings().read_system_settings().all()
    return {name: found[name] for name in READ if found.get(name)}


def settings() -> Any:
    """W&B's own settings.

    Raises:
        ValueError: W&B refuses what its own variables or files say; names the setting and what was found.
    """
    quiet()
    from pydantic import ValidationError
    from wandb.errors import UsageError
    from wandb.sdk.wandb_setup import singleton

    see = "see the WANDB_ variables, or add tracking=jsonl"
    try:
        return singleton().settings
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}={e['input']!r} ({e['msg']})" for e in error.errors()]
        raise ValueError(f"W&B refuses its own settings: {'; '.join(wrong)}; {see}") from None
    except UsageError as error:
        raise ValueError(f"W&B refuses its own settings: {error}; {see}") from None
    except RuntimeError as error:  # pathlib, of a user without a home folder
        raise ValueError(f"W&B cannot be set up ({error}): set HOME, or add tracking=jsonl") from None
