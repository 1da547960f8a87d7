"""Figure 1: the flow of data, of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.flow import flow_of_data
from analysis.gallery.entries import View

Plan = Mapping[str, Any]


def _read(plan: Plan, n_draws: int) -> Plan:
    return plan


def _drawn(plan: Plan) -> Figure:
    return flow_of_data(plan["flow"])


def _needs(plan: Plan) -> pd.DataFrame:
    """A row a thing handed on: from which stage, to which, in which role."""
    rows = [(name, node["name"], role) for node in plan["flow"] for role, name in node["needs"]]
    return pd.DataFrame(rows, columns=["from", "to", "role"])


def _caption(plan: Plan) -> str:
    return (
        "The flow of data, drawn from what the stages say they are built from. A line leaves the circle of the stage "
        "that makes it (filled: weights; open: data); a dot where a stage's column crosses it: the stage is built from "
        f"it. Right: how many such stages. {plan['runs']:,} runs (`{plan['grid']}`) share {plan['stages']:,} stages; "
        f"without sharing they would be {plan['stages_unshared']:,}."
    )


FLOW: View[Plan] = View(_read, _drawn, _needs, _caption)
