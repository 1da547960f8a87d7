"""Whether W&B is asked at all, and whether it answers: found out once a sweep, within WAIT_S.

The driver of a sweep asks, says in one line what was found, and hands the answer to its workers. A worker that waits in
vain later, for a server that went away, makes the file that GAVE_UP names: no other waits again, the driver says so.
W&B's own variables and files hold (own_settings.py); what the configuration says explicitly goes before them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config import TrackingConfig
from sweep.terminal.words import nearest
from sweep.tracking.backend import check_installed
from sweep.tracking.own_settings import DECIDED, misspelt, not_obeyed, of_files, settings

if TYPE_CHECKING:  # with W&B alone
    import requests

WAIT_S = 10.0  # for W&B's server, and for the end of an upload; WANDB_INIT_TIMEOUT makes it shorter
GAVE_UP = "SWEEP_TRACKER_GAVE_UP"  # variable: a file whose presence means that W&B does not answer
PREFERRED = "preferred"  # mode of a worker: online as the driver found it, offline if that fails later
PROJECT = "rl-on-incorrect"
N_NAME, NOT_IN_NAME = 128, "/\\#?%:"  # W&B's rule for a project's name
TRUE, FALSE = ("1", "true", "t", "yes", "y", "on"), ("", "0", "false", "f", "no", "n", "off")
MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
ROWS = (
    "query RunResumeStatus($project: String, $entity: String, $name: String!) { model(name: $project, entityName: "
    "$entity) { bucket(name: $name, missingOk: true) { historyLineCount } } }"
)
CLOUD = "https://api.wandb.ai"  # the name under which a netrc has the key of W&B's cloud, whatever its address is now
NO_KEY = "no key is configured"
WITHOUT_KEY = (
    "no W&B key: curves are kept below each artifact, and `python -m sweep sync` sends them where there is one "
    "(`wandb login`); tracking=jsonl keeps none for W&B"
)
LATER = "runs are kept on this machine, and `python -m sweep sync` sends them"


def settled(config: TrackingConfig, environment: Mapping[str, str] = os.environ) -> tuple[TrackingConfig, list[str]]:
    """Where runs go, decided once for all stages, and what to tell the user of it.

    Raises:
        ValueError: online was asked for and cannot be had; W&B would refuse what its variables or files say.
    """
    if config.name != "wandb":
        return config, []
    config, said = _with_variables(config, environment)
    if config.mode == "disabled":
        return replace(config, name="jsonl", mode=None), [*said, "W&B is disabled: curves go to metrics.jsonl alone"]
    if config.mode in ("offline", PREFERRED):
        return config, said
    why = _no_key() if not has_wandb_key() else asked(wait_s())
    if why is None:
        return replace(config, mode=config.mode or PREFERRED), said
    if config.mode == "online":
        raise ValueError(
            f"online was asked for (tracking.mode or WANDB_MODE), but {why}; check WANDB_BASE_URL and the key "
            "(`wandb login`), or leave it out: " + LATER
        )
    said.append(WITHOUT_KEY if why == NO_KEY else f"{why}: {LATER}; tracking.mode=online would fail instead")
    return as_offline(config), said


def _with_variables(config: TrackingConfig, environment: Mapping[str, str]) -> tuple[TrackingConfig, list[str]]:
    """The configuration with what W&B's variables and files say where it leaves a choice, and a line for each that it
    overrides.
    """
    mode = _mode(environment.get("WANDB_MODE"), "WANDB_MODE")
    disabled = environment.get("WANDB_DISABLED", "").strip().lower()
    if disabled not in (*TRUE, *FALSE):
        raise ValueError(f"WANDB_DISABLED must be true or false, found {environment['WANDB_DISABLED']!r}")
    if disabled in TRUE:
        mode = "disabled"
    if (config.mode or mode) == "disabled":
        return replace(config, mode="disabled"), []
    said = not_obeyed(environment, DECIDED, "a sweep decides that for each of its runs")
    filed = of_files()
    filed["mode"] = (
        _mode(filed.get("mode"), "mode in W&B's settings file (`wandb online` undoes `wandb offline`)") or ""
    )
    found = {"mode": mode, "project": environment.get("WANDB_PROJECT"), "entity": environment.get("WANDB_ENTITY")}
    for name, variable in found.items():
        ours, value = getattr(config, name), variable or filed.get(name)
        if ours is None:
            config = TrackingConfig(**{**asdict(config), name: value or None})
        elif value and value != ours and ours != PREFERRED:
            theirs = f"{name}={value} of W&B's settings file"
            if variable:
                spelled = "WANDB_DISABLED" if value == "disabled" and name == "mode" else f"WANDB_{name.upper()}"
                theirs = f"{spelled}={environment.get(spelled, value)}"
            said.append(f"tracking.{name}={ours} goes before {theirs}")
    config = replace(config, project=config.project or PROJECT)
    for name in ("project", "entity"):
        _check_name(name, getattr(config, name) or PROJECT)
    return config, said + misspelt(environment)


def _mode(given: str | None, where: str) -> str | None:
    if given and given not in MODES:
        raise ValueError(f"{where} must be one of {', '.join(MODES)}; found {given!r}{nearest(given, MODES)}")
    return MODES[given] if given else None


def _check_name(what: str, name: str) -> None:
    if len(name) > N_NAME or set(name) & set(NOT_IN_NAME) or name != name.strip():
        raise ValueError(
            f"tracking.{what} or WANDB_{what.upper()} must be a name that W&B takes, at most {N_NAME} characters and "
            f"none of {' '.join(NOT_IN_NAME)}, no blank at either end; found {name!r}"
        )


def in_this_process(config: TrackingConfig) -> TrackingConfig:
    """What a worker does: as the driver settled it, and offline once anybody has waited in vain."""
    if config.name != "wandb":
        return config
    if config.mode in (None, PREFERRED) and is_given_up():
        return as_offline(_with_variables(config, os.environ)[0])
    if config.mode is None:
        return _settled_here(config.project, config.entity)
    return _with_variables(config, os.environ)[0]


@cache
def _settled_here(project: str | None, entity: str | None) -> TrackingConfig:
    config, said = settled(TrackingConfig(name="wandb", project=project, entity=entity))
    for line in said:
        if line != WITHOUT_KEY:  # no sweep, whose driver says it once: one of many stages
            print(f"warning: {line}", file=sys.stderr, flush=True)
    return config


def wait_s() -> float:
    """Seconds that W&B is waited for.

    Raises:
        ValueError: WANDB_INIT_TIMEOUT is no number above 0.
    """
    given = os.environ.get("WANDB_INIT_TIMEOUT")
    try:
        seconds = float(given or WAIT_S)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(f"WANDB_INIT_TIMEOUT must be a number of seconds above 0, found {given!r}")
    return min(WAIT_S, seconds)


def as_offline(config: TrackingConfig) -> TrackingConfig:
    return replace(config, mode="offline")


@contextmanager
def for_a_sweep(config: TrackingConfig, folder: Path) -> Iterator[TrackingConfig]:
    """The configuration for a sweep's workers; `folder` is where they leave word that W&B went away.

    Raises:
        ValueError: the tracker is not installed, or cannot be had as it was asked for.
    """
    check_installed(config)
    config, said = settled(config)
    for line in said:
        print(f"{'note' if line == WITHOUT_KEY else 'warning'}: {line}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tracker-{uuid.uuid4().hex[:8]}.txt"  # another machine's sweep of the store may have our number
    before = os.environ.get(GAVE_UP)
    os.environ[GAVE_UP] = str(path)
    _told.clear()
    try:
        yield config
        for line in news():
            print(line, file=sys.stderr)
    finally:
        path.unlink(missing_ok=True)
        os.environ.pop(GAVE_UP)
        if before is not None:
            os.environ[GAVE_UP] = before


def news() -> list[str]:
    """What a worker found out about W&B; once."""
    why = None if _told else told_why()
    if why is None:
        return []
    _told.append(why)
    return [f"warning: {why}"]


def for_nodes(config: TrackingConfig, site: str) -> tuple[TrackingConfig, list[str]]:
    """Where runs go on a cluster's nodes: as the site file says, where neither configuration nor variables do."""
    check_installed(config)
    if config.name != "wandb":
        return config, []
    config, said = _with_variables(config, os.environ)
    mode = config.mode or {"online": PREFERRED}.get(site, site)
    return (replace(config, name="jsonl") if mode == "disabled" else replace(config, mode=mode)), said


_here: list[str] = []  # why this process gave up
_told: list[str] = []  # what this driver has said of it


def give_up(why: str, instead: str = LATER) -> None:
    """Let nobody in this sweep wait for W&B again; each reason is in its stage's log, the first one is the sweep's."""
    print(f"warning: {why}: {instead}", file=sys.stderr, flush=True)
    _here.append(why)
    if path := os.environ.get(GAVE_UP):
        try:
            with open(path, "x", encoding="utf-8") as stream:
                stream.write(f"{why}: {instead}")
        except OSError:  # another was first, or the folder is gone: then each worker finds out for itself
            pass


def is_given_up() -> bool:
    return bool(_here) or told_why() is not None


def told_why() -> str | None:
    """What the first to wait in vain wrote; None while W&B answers."""
    path = os.environ.get(GAVE_UP)
    try:
        return Path(path).read_text(encoding="utf-8") if path else None
    except OSError:
        return None


def asked(seconds: float) -> str | None:
    """Ask W&B who we are; None where it answers, else why not, in a few words. Never takes longer than that."""
    answer = [f"W&B does not answer ({base_url()}, waited {seconds:g} s)"]

    def ask() -> None:
        answer[0] = _asked(seconds)

    thread = threading.Thread(target=ask, daemon=True)  # a name server or a server that drips can outlast any time-out
    thread.start()
    thread.join(seconds)
    return answer[0] or None


def n_points(project: str, entity: str | None, key: str) -> int | None:
    """How many points of a run's curve W&B has; None where it does not say.

    W&B's package tells the larger of this and of what the summary says, which is sent ahead of the curve.
    """
    import requests

    try:
        data = _answer(ROWS, {"project": project, "entity": entity, "name": key}, wait_s()).json()
        return int(data["data"]["model"]["bucket"]["historyLineCount"])
    except (requests.RequestException, ValueError, TypeError, LookupError):
        return None


def _answer(query: str, variables: dict[str, str | None], seconds: float) -> requests.Response:
    import requests

    return requests.post(
        f"{base_url()}/graphql",
        data=json.dumps({"query": query, "variables": variables}),
        headers={"Content-Type": "application/json"},
        auth=("api", _key() or ""),
        timeout=seconds,
    )


def _asked(seconds: float) -> str:
    import requests

    url = base_url()
    try:
        got = _answer("query Viewer { viewer { id entity } }", {}, seconds)
        data = (got.json().get("data") or {}) if got.ok else {}
    except (requests.RequestException, ValueError, AttributeError) as error:
        return f"W&B does not answer ({url}: {type(error).__name__})"
    if got.status_code in (401, 403) or ("viewer" in data and data["viewer"] is None):
        return f"W&B refuses the key ({url}, status {got.status_code})"
    return "" if got.ok else f"W&B does not answer ({url}: status {got.status_code})"


def base_url() -> str:
    """Where W&B's server is; ValueError as of `settings`."""
    return str(settings().base_url).rstrip("/")


def _key() -> str | None:
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    import requests

    url = base_url()
    is_cloud = url == str(type(settings()).model_fields["base_url"].default).rstrip("/")
    found = [requests.utils.get_netrc_auth(one) for one in ((url, CLOUD) if is_cloud else (url,))]
    return next((pair[1] for pair in found if pair), None)


def has_wandb_key() -> bool:
    """Whether W&B would find credentials: its environment variables, or a netrc entry of its server's."""
    return bool(os.environ.get("WANDB_IDENTITY_TOKEN_FILE") or _key())


def _no_key() -> str:
    """Why there is no key, where it is not that nobody gave one."""
    netrc = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        os.close(os.open(netrc, os.O_RDONLY | os.O_NONBLOCK))
    except FileNotFoundError:
        return NO_KEY
    except OSError as error:
        return f"W&B's key cannot be read ({netrc}: {error.strerror})"
    return NO_KEY
