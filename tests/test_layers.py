"""Imports point down only: the arrows of sweep/__init__.py and the rooms of analysis, read from the source."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {
    "sweep.columns": 0,
    "sweep.fields": 0,
    "sweep.git": 0,
    "sweep.installed": 0,
    "sweep.data": 0,
    "sweep.disk": 1,
    "sweep.sharing": 0,
    "sweep.wandb_file": 0,
    "sweep.terminal": 0,  # knows nothing of the pipeline
    "sweep.places": 1,
    "sweep.sources": 1,
    "sweep.methods": 1,
    "sweep.models": 1,
    "sweep.artifacts": 2,
    "sweep.builds": 2,
    "sweep.grids": 2,
    "sweep.leases": 2,
    "sweep.looks": 2,
    "sweep.manifest": 2,
    "sweep.config": 2,
    "sweep.leaves": 2,
    "sweep.rates": 1,
    "sweep.tuning": 2,
    "sweep.heartbeat": 2,
    "sweep.interruption": 2,
    "sweep.lm_eval": 3,
    "sweep.pretrained": 3,
    "sweep.tracking": 2,
    "sweep.arms": 3,
    "sweep.results": 3,
    "sweep.table": 3,
    "sweep.merging": 3,
    "sweep.probed": 4,
    "sweep.bench": 3,
    "sweep.exact": 3,
    "sweep.exact.__main__": 6,
    "sweep.training_set": 3,
    "sweep.stages": 4,
    "sweep.build": 4,
    "sweep.pretraining": 3,
    "sweep.finetuning": 3,
    "sweep.judging": 3,
    "sweep.measuring": 3,
    "sweep.memory": 3,
    "sweep.stage_memory": 3,
    "sweep.plan": 4,
    "sweep.differences": 4,
    "sweep.conf_files": 4,
    "sweep.compose": 4,
    "sweep.points": 4,
    "sweep.launchers": 5,
    "sweep.view": 6,
    "sweep.commands": 6,
    "sweep.prepare": 6,
    "sweep.__main__": 7,
    "analysis": 8,
}
ROOMS = {  # of analysis; a room imports from lower ones alone
    "analysis.arms": 0,
    "analysis.intervals": 0,
    "analysis.notes": 0,
    "analysis.sheet": 0,
    "analysis.tables": 1,
    "analysis.laws": 2,
    "analysis.noise": 3,
    "analysis.worth": 4,
    "analysis.compare": 4,
    "analysis.held_out": 4,
    "analysis.claims": 5,
    "analysis.design": 5,
    "analysis.figures": 5,
    "analysis.options": 5,
    "analysis.published": 5,
    "analysis.map": 6,
    "analysis.report": 7,
    "analysis.commands": 7,
    "analysis.gallery": 8,
    "analysis.command_line": 8,
    "analysis.terminal": 8,
    "analysis.__main__": 9,
}
SIBLINGS_APART = ("sweep.sources", "sweep.methods", "sweep.models")
KNOW_HYDRA = (
    "sweep.__main__",
    "sweep.commands",
    "sweep.launchers",
    "sweep.points",
    "sweep.compose",
    "sweep.conf_files",
    "sweep.config",
)
MAY_IMPORT = {
    "torch": ("sweep.models", "sweep.exact", "sweep.launchers.worker", "sweep.launchers.slurm.job", "sweep.bench"),
    "transformers": ("sweep.models",),
    "vllm": ("sweep.models",),
    "peft": ("sweep.models",),
    "torchao": ("sweep.models",),
    "hydra": KNOW_HYDRA,
    "omegaconf": KNOW_HYDRA,
    "submitit": ("sweep.launchers",),
    "wandb": ("sweep.tracking",),
    "trackio": ("sweep.tracking.on_trackio",),
    "math_verify": ("sweep.data.equality_worker",),  # a program by itself, which can be killed
}
LAZY_TORCH = ("sweep.launchers.worker", "sweep.launchers.slurm.job", "sweep.bench")  # in a function, in a worker only


def modules() -> dict[str, ast.Module]:
    """Dotted name to parsed source of every module of sweep and analysis."""
    out = {}
    for top in ("sweep", "analysis"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            out[name] = ast.parse(path.read_text(), str(path))
    return out


MODULES = modules()
LOSSES = tuple(  # tensor-only; torch at type checking and inside the loss
    name for name in MODULES if name.startswith("sweep.methods.")
)


def imports(name: str, *, at_the_top: bool = False) -> set[str]:
    """What a module imports: absolute dotted names, `from a import b` as both a and a.b."""
    found: set[str] = set()
    tree = MODULES[name]
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def layer(name: str) -> tuple[str, int] | None:
    """The layer a dotted name belongs to, by its longest known part; None for sweep itself and for outsiders."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in LAYERS:
            return ".".join(parts[:end]), LAYERS[".".join(parts[:end])]
    return None


def is_inside(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def test_every_module_has_a_layer() -> None:
    assert [name for name in MODULES if layer(name) is None] == ["sweep"]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "sweep"])
def test_imports_point_down(name: str) -> None:
    mine = layer(name)
    assert mine is not None
    for imported in imports(name):
        theirs = layer(imported)
        if theirs is None or theirs[0] == mine[0]:
            continue
        assert theirs[1] <= mine[1], f"{name} imports {imported}, which is above it"
        is_sibling = mine[0] in SIBLINGS_APART and theirs[0] in SIBLINGS_APART
        assert not is_sibling, f"{name} imports its sibling {imported}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("analysis")])
def test_analysis_knows_the_pipeline_by_its_table_the_arms_and_one_file_format_alone(name: str) -> None:
    ours = {i for i in imports(name) if i.startswith("sweep.")}
    rest = ("sweep.wandb_file", "sweep.fields", "sweep.installed", "sweep.terminal")  # they know nothing of a sweep
    known = ("sweep.table", "sweep.arms", *rest)
    assert all(is_inside(i, known) for i in ours), f"{name} imports {sorted(ours)}"


@pytest.mark.parametrize("outside", sorted(MAY_IMPORT))
def test_an_outside_package_is_known_in_its_place_alone(outside: str) -> None:
    places = MAY_IMPORT[outside] + (LOSSES if outside == "torch" else ())
    for name in MODULES:
        if any(is_inside(i, (outside,)) for i in imports(name)):
            assert is_inside(name, places), f"{name} imports {outside}, which belongs in {', '.join(places)}"


@pytest.mark.parametrize("name", [*LAZY_TORCH, *LOSSES])
def test_torch_is_imported_where_a_worker_runs_and_never_at_the_top(name: str) -> None:
    heavy = {i for i in imports(name, at_the_top=True) if is_inside(i, ("torch", "wandb", "sweep.models"))}
    assert heavy == set()


def room(name: str) -> str | None:
    """The room of analysis that a dotted name belongs to; None for analysis itself and what lies outside it."""
    return next((one for one in ROOMS if is_inside(name, (one,))), None)


def test_every_module_of_analysis_has_a_room_and_few_lie_flat() -> None:
    assert [name for name in MODULES if is_inside(name, ("analysis",)) and room(name) is None] == ["analysis"]
    assert len(list((ROOT / "analysis").glob("*.py"))) <= 13


@pytest.mark.parametrize("name", [name for name in MODULES if room(name)])
def test_the_rooms_of_analysis_import_from_lower_rooms_alone(name: str) -> None:
    mine = room(name)
    assert mine is not None
    for imported in imports(name):
        theirs = room(imported)
        if theirs is not None and theirs != mine:
            assert ROOMS[theirs] < ROOMS[mine], f"{name} imports {imported}, which is not below it"


def circle(of: dict[str, set[str]]) -> list[str]:
    """One way round, from a name back to itself, in what each name imports; empty where there is none."""
    try:
        graphlib.TopologicalSorter(of).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    # an import for type checkers alone is an arrow as any other
    assert circle({name: imports(name) & MODULES.keys() - {name} for name in MODULES}) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


DOES_MORE = (  # reads the files that a domain's problems are; compares answers in processes that can be killed
    "sweep.data.problem_files", "sweep.data.jsonl", "sweep.data.equality", "sweep.data.equality_worker",
)  # fmt: skip


def test_methods_sources_and_data_do_no_input_or_output() -> None:
    for name in MODULES:
        if is_inside(name, ("sweep.methods", "sweep.sources", "sweep.data")) and name not in DOES_MORE:
            forbidden = {"os", "pathlib", "json", "random", "time", "subprocess"} & imports(name)
            assert not forbidden, f"{name} imports {sorted(forbidden)}"


def test_importing_the_command_line_imports_no_torch() -> None:
    code = "import sys, sweep.__main__; print({'torch', 'transformers', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
