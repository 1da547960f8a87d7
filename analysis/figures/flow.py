"""The flow of data from stage to stage (the paper's Fig. 1), drawn from what the stages are built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import TEXT_WIDTH, ink, new_figure, paper

Node = Mapping[str, Any]  # name, kind, about, n_stages, needs: (role, name) pairs; `python -m sweep plan --json`
WEIGHTS = ("base", "sft", "train")  # kinds that leave a policy; the others leave data
WEIGHTS_COLOUR, DATA_COLOUR = "#333333", "#6B7F8F"  # no arm's
ROW, LEFT = 0.27, 0.555  # inches of a row; where the lanes begin, as a share of the width


def flow_of_data(nodes: Sequence[Node]) -> Figure:
    """A row a stage, in the paper's order: its name and what it is, then its circle. The line right of a circle is what
    the stage leaves; a dot where another stage's line crosses it says that this stage is built from it."""
    rows = {node["name"]: place for place, node in enumerate(nodes)}
    arms = [node["name"] for node in nodes if node["kind"] == "train"]
    colours = {node["name"]: WEIGHTS_COLOUR if node["kind"] in WEIGHTS else DATA_COLOUR for node in nodes}
    colours |= {arm: colour for arm, (colour, *_) in look(arms).items()}
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, ROW * (len(nodes) + 1.2))
        axes = grid[0, 0]
        axes.set_axis_off()
        axes.set_xlim(-(len(nodes) + 1) * LEFT / (1 - LEFT), len(nodes) + 1)
        axes.set_ylim(len(nodes) - 0.4, -0.9)
        axes.annotate("stages", (len(nodes) + 0.75, -0.75), fontsize=7.5, color="#59636e", va="center", ha="right")
        for place, node in enumerate(nodes):
            colour = colours[node["name"]]
            _lane(axes, place, max(_users(nodes, node["name"], rows), default=place), colour)
            _inputs(axes, place, {rows[name]: colours[name] for _, name in node["needs"]})
            _row(axes, place, node, colour, len(nodes))
    return figure


def _users(nodes: Sequence[Node], name: str, rows: Mapping[str, int]) -> list[int]:
    return [rows[node["name"]] for node in nodes if any(needed == name for _, needed in node["needs"])]


def _lane(axes: Axes, place: int, end: int, colour: str) -> None:
    """What a stage leaves: from its circle to the last stage that is built from it; a hairline leads to the circle."""
    axes.plot([-0.15, place], [place, place], color="#E6E6E6", linewidth=0.6, zorder=0)
    axes.plot([place, end], [place, place], color=colour, linewidth=1.1, zorder=2, solid_capstyle="round")


def _inputs(axes: Axes, place: int, needed: Mapping[int, str]) -> None:
    """From the first lane that a stage is built from down into its circle, a dot on each of them."""
    if not needed:
        return
    axes.annotate(
        "", xy=(place, place - 0.24), xytext=(place, min(needed)),
        arrowprops={"arrowstyle": "-|>,head_width=0.14,head_length=0.28", "color": "#8A939C", "linewidth": 0.8,
                    "shrinkA": 0, "shrinkB": 0},
        zorder=1,
    )  # fmt: skip
    for row, colour in needed.items():
        axes.plot(place, row, marker="o", markersize=3.4, color=colour, zorder=4)


def _row(axes: Axes, place: int, node: Node, colour: str, n_nodes: int) -> None:
    """Circle, name, description, and of how many stages."""
    fill = colour if node["kind"] in WEIGHTS else "white"
    axes.plot(place, place, marker="o", markersize=8, color=colour, markerfacecolor=fill, markeredgewidth=1.2, zorder=5)
    left = axes.get_xlim()[0]
    axes.annotate(
        node["name"], (left, place), fontsize=8.5, color=ink(colour), va="center", ha="left", fontweight="bold"
    )
    axes.annotate(
        _about(node), (left, place), xytext=(66, 0), textcoords="offset points", fontsize=7.5, va="center",
        color="#444444",
    )  # fmt: skip
    axes.annotate(
        f"{node['n_stages']:,}", (n_nodes + 0.75, place), fontsize=7.5, color="#59636e", va="center", ha="right"
    )


def _about(node: Node) -> str:
    """In the words of the stages' own file; of an arm, the weights that it starts from and what it is trained on."""
    if node["kind"] != "train":
        return str(node["about"])
    start = [name for role, name in node["needs"] if role in WEIGHTS]
    material = [name for role, name in node["needs"] if role not in WEIGHTS]
    return f"{', '.join(start)}, trained on {', '.join(material)}"
