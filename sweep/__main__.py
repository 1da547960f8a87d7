"""python -m sweep [run|plan|status|compare|collect|merge|logs|cancel|retry|gc] [-m] [Hydra overrides]

    run (the default)   build what the grid needs; the same command again resumes
    plan                unique and cached stages, which field made a stage new, estimated time  [--json]
    status              what of the grid is built, missing or corrupted                         [--json]
    compare             correct counts of validation runs beside what differs between them      [--json]
    collect             one table of the grid's finished runs   [--out DIR] [--allow-mixed-code]
                        [--from wandb ENTITY/PROJECT] from there, of a grid or of all that is there
    merge TABLE...      one table of a sweep's parts            [--out DIR] [--allow-mixed-code]
    logs KEY            what a stage printed (exec.store=FOLDER for another store)
    cancel, retry       a SLURM submission's jobs; what failed of it
    gc                  artifacts that no experiment reaches, a dry run without [--delete]

Hydra is the front: -m sweeps, `a=1,2` is an axis, `experiment=NAME` a grid from conf/experiment/,
`hydra/launcher=slurm` another launcher, `--cfg job`, `--info` and `--help` are Hydra's own.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweep.artifacts import Manifest, Store
from sweep.commands.gc import gc_command
from sweep.compose import grid, leaves, resolved
from sweep.config import Exec, Leaf, LeafConfig, leaf
from sweep.launchers.local import label
from sweep.launchers.plugins import errors_raised, refusal, register
from sweep.launchers.slurm.submit import retry_command
from sweep.launchers.slurm.watch import built_twice, cancel_command, states, told
from sweep.plan import Plan, estimate, needed, news, plan, state, summary
from sweep.results import collect, comparison, merged, read_table, write_table
from sweep.wandb_runs import fetch

CONF = str(Path(__file__).parents[1] / "conf")
ConfigStore.instance().store("schema", LeafConfig)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    register()
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words.pop(0) if words and words[0] in VERBS else "run"
    try:
        return VERBS[verb](words)
    except (ValueError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0"):
            raise
        return refusal(error)
    except BrokenPipeError:  # the reader of a pipe, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        return 0
    except KeyboardInterrupt:
        print("interrupted before any work was started", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    """Hydra's own main: a multirun goes to the launcher, a single run to the local pool."""
    code = 0

    def one(config: DictConfig) -> None:
        nonlocal code
        from sweep.launchers.local import run as run_here

        try:
            grid_point = leaf(resolved(config))
            code = run_here(plan([grid_point]), grid_point.exec, grid_point.tracking)
        except (ValueError, OmegaConfBaseException) as error:  # Hydra would print a line of its own before ours
            code = refusal(error)

    sys.argv = ["sweep", *words]
    with errors_raised():
        hydra.main(config_path=CONF, config_name="config", version_base="1.3")(one)()
    return code


def show_plan(words: list[str]) -> int:
    options, overrides = _options(words, json=True)
    the_plan, exec = _plan(overrides)
    store = Store(exec.store)
    found = state(the_plan, store)
    if options.json:
        print(json.dumps(summary(the_plan, found.built)))
        return 0
    todo = needed(the_plan, found.built)
    known = _manifests(store)
    counts = summary(the_plan, found.built)
    print(f"{counts['runs']} runs = {counts['stages']} unique stages ({counts['stages_unshared']} without sharing)")
    print(f"{counts['cached']} cached in {store.root}, {len(todo)} to build")
    seconds = estimate(the_plan, todo, known)
    by_kind = Counter(the_plan.stages[key].kind for key in todo)
    for kind, n_all in counts["by_kind"].items():
        of_kind = [s for key, s in seconds.items() if the_plan.stages[key].kind == kind]
        told = "" if not of_kind else _told(of_kind) + _gpu_hours(of_kind, kind, known)
        print(f"  {kind:<11} {n_all:>6} stages {by_kind[kind]:>6} to build  {told}")
    total, n_workers = sum(s for s in seconds.values() if s), exec.n_workers or os.cpu_count() or 1
    n_unknown = sum(s is None for s in seconds.values())
    if todo:
        unknown = f", plus {n_unknown} stages of which none like them was ever built here" if n_unknown else ""
        print(f"estimated: {total:.0f} s of work, {total / n_workers:.0f} s on {n_workers} workers{unknown}")
    for key, message in found.corrupted.items():
        print(f"corrupted: {key}: {message}")
    _print_news(the_plan, todo, known)
    return 0


def show_status(words: list[str]) -> int:
    options, overrides = _options(words, json=True)
    the_plan, exec = _plan(overrides)
    store = Store(exec.store)
    found = state(the_plan, store)
    todo = needed(the_plan, found.built)
    n_complete = sum(run.evaluate.key in found.built for run in the_plan.runs)
    jobs = states(store, todo)
    twice = built_twice(store, the_plan.stages)
    logged = [key for key in todo if store.log_path(key).exists() and key not in jobs]
    if options.json:
        print(json.dumps({
            "runs": len(the_plan.runs), "complete": n_complete, "stages": len(the_plan.stages),
            "built": len(found.built), "to_build": len(todo), "corrupted": sorted(found.corrupted), "tried": logged,
            "jobs": {key: {"state": s.state, "job": s.job, "reason": s.reason} for key, s in jobs.items()},
            "built_twice": twice,
        }))
        return 0
    print(f"{n_complete} of {len(the_plan.runs)} runs complete; {len(found.built)} stages built, {len(todo)} to build")
    for line in told(store, jobs):
        print(line)
    for key, copies in twice.items():
        print(f"  built twice: {key} ({copies})")
    for key in logged:
        print(f"  tried and not built: {key} ({label(the_plan.stages[key])}), log: {store.log_path(key)}")
    for message in found.corrupted.values():
        print(f"  corrupted: {message}")
    return 0


def show_log(words: list[str]) -> int:
    keys = [w for w in words if "=" not in w]
    if len(keys) != 1:
        raise ValueError("usage: python -m sweep logs KEY [exec.store=FOLDER]; KEY as `plan` and `status` print it")
    stores = [w.split("=", 1)[1] for w in words if w.startswith("exec.store=")]
    path = Store(stores[-1] if stores else Exec.store).log_path(keys[0])
    if not path.exists():
        raise ValueError(f"{path}: no such log; the stage was not tried in this store")
    print(path.read_text(encoding="utf-8", errors="replace"), end="")
    return 0


def collect_table(words: list[str]) -> int:
    options, overrides = _options(words, out=True, allow_mixed_code=True, origin=True, by=True)
    kind, project = options.origin or ("store", "")
    if kind not in ("store", "wandb"):
        raise ValueError(f"--from {kind}: expected --from wandb ENTITY/PROJECT")
    the_plan, exec, runs = None, Exec(sweep_name=project.split("/")[-1]), []
    if kind == "store" or overrides:
        the_plan, exec = _plan(overrides)
        runs = [(run.leaf.exp, run.evaluate) for run in the_plan.runs]
        runs += [(None, stage) for _, stage in the_plan.base_evaluations]
    with TemporaryDirectory() as scratch:
        store = Store(exec.store if kind == "store" else scratch)
        if kind == "wandb":
            stages = fetch(project, store, [stage.key for _, stage in runs] or None)
            runs = runs or [(None, stage) for stage in stages]
        table = collect(runs, store, by=options.by, is_mixed_code_allowed=options.allow_mixed_code)
    folder = Path(options.out or f"outputs/{exec.sweep_name}/table")
    write_table(table, folder, _provenance(words, overrides, the_plan, exec))
    print(f"{len(table.runs)} runs x {int(table.runs.n_test.iloc[0])} problems in {folder}")
    return 0


def merge_tables(words: list[str]) -> int:
    options, folders = _options(words, out=True, allow_mixed_code=True)
    if len(folders) < 2 or not options.out:
        raise ValueError("usage: python -m sweep merge TABLE TABLE... --out FOLDER; each as `collect` wrote it")
    table = merged([read_table(folder) for folder in folders], is_mixed_code_allowed=options.allow_mixed_code)
    write_table(table, Path(options.out), {})
    print(f"{len(table.runs)} runs x {int(table.runs.n_test.iloc[0])} problems in {options.out}")
    return 0


def compare_runs(words: list[str]) -> int:
    options, overrides = _options(words, json=True)
    the_plan, exec = _plan(overrides)
    table = comparison([(run.leaf.overrides, run.evaluate) for run in the_plan.runs], Store(exec.store))
    swept = [c for c in table if table[c].nunique() > 1 and not c.startswith("n_correct")]
    shown = table[[*swept, "n_test", "n_correct", "n_correct_sampled", "n_sampled"]]
    if options.json:
        print(json.dumps(shown.to_dict("records")))
        return 0
    print(shown.sort_values("n_correct", ascending=False).to_string(index=False))
    return 0


def remove_unreached(words: list[str]) -> int:
    return gc_command(words, lambda overrides: _plan(overrides)[0], Path(CONF))


VERBS = {
    "run": run, "plan": show_plan, "status": show_status, "logs": show_log, "collect": collect_table,
    "merge": merge_tables, "compare": compare_runs,
    "cancel": cancel_command, "retry": retry_command, "gc": remove_unreached,
}


def _options(words: list[str], **flags: bool) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m sweep", allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    if "json" in flags:
        parser.add_argument("--json", action="store_true")
    if "out" in flags:
        parser.add_argument("--out")
    if "by" in flags:
        parser.add_argument("--by", metavar="SETTING")
    if "origin" in flags:
        parser.add_argument("--from", dest="origin", nargs=2, metavar=("wandb", "ENTITY/PROJECT"))
    if "allow_mixed_code" in flags:
        parser.add_argument("--allow-mixed-code", action="store_true")
    options, overrides = parser.parse_known_args(words)
    unknown = [w for w in overrides if w.startswith("--")]
    if unknown:
        raise ValueError(f"unknown option {', '.join(unknown)}; valid ones: {parser.format_usage().strip()}")
    return options, overrides


def _plan(overrides: Sequence[str]) -> tuple[Plan, Exec]:
    """The plan of a command line, composed as `run -m` would compose it."""
    with hydra.initialize_config_dir(CONF, job_name="sweep", version_base="1.3"):
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        master = instance.compose_config(
            config_name="config", overrides=list(overrides), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        loader = instance.config_loader
        grid_points: list[Leaf] = leaves(loader, master, grid(loader, master))
    return plan(grid_points), grid_points[0].exec


def _manifests(store: Store) -> list[Manifest]:
    out = []
    for key in store.built():
        try:
            manifest = store.manifest(key)
        except ValueError:  # a corrupted artifact tells nothing here; `state` reports those of the plan
            continue
        if manifest is not None:
            out.append(manifest)
    return out


def _print_news(the_plan: Plan, todo: Sequence[str], known: Sequence[Manifest]) -> None:
    reasons = Counter()
    for key in todo:
        stage = the_plan.stages[key]
        lines = [line for line in news(stage, known) if not line.startswith("parent ")]
        if any(p.key in set(todo) for p in stage.parents.values()) and not lines:
            continue  # new because a parent is
        reasons[stage.kind, "; ".join(lines) or "none of its kind is built"] += 1
    for (kind, why), n in reasons.most_common(12):
        print(f"  new: {n} x {kind}: {why}")


def _told(seconds: Sequence[float | None]) -> str:
    known = [s for s in seconds if s is not None]
    if not known:
        return "no estimate yet"
    return f"{'' if len(known) == len(seconds) else '> '}{sum(known):.0f} s"


def _gpu_hours(seconds: Sequence[float | None], kind: str, known: Sequence[Manifest]) -> str:
    """With as many GPUs as the artifacts of this kind were made with."""
    n_gpus = max((len(m.provenance.get("gpus", ())) for m in known if m.kind == kind), default=0)
    return f", {sum(s for s in seconds if s) * n_gpus / 3600:.1f} GPU-hours" if n_gpus else ""


def _provenance(words: Sequence[str], overrides: Sequence[str], the_plan: Plan | None, exec: Exec) -> dict[str, Any]:
    from sweep.launchers.execute import git

    tuning = Path(CONF).parent / "analysis" / "tuning.json"
    record = json.loads(tuning.read_text()) if tuning.exists() else {}
    said = record.get(exec.sweep_name, {})
    said = record[said] if isinstance(said, str) else said  # a name: tuned as that sweep was
    return {
        "commands": [
            *([f"python -m sweep -m {' '.join(overrides)}"] if the_plan else []),
            f"python -m sweep collect {' '.join(words)}",
        ],
        "git_commit": git().get("commit"),
        "is_dirty": git().get("is_dirty", False),
        "experiment": exec.sweep_name,
        "config": asdict(the_plan.runs[0].leaf.exp) if the_plan else {},
        "tuning": said.get("tuning", []),
        "n_test_looks": said.get("n_test_looks"),
    }


if __name__ == "__main__":
    sys.exit(main())
