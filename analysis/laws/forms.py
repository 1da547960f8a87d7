"""The laws of one size, by name. Laws of model size and data together stand in their own files and FITTED_ALONE.

A law is added as a class in a file of its own and a line here.
"""

from __future__ import annotations

from analysis.laws.curves import Law
from analysis.laws.m4 import M4
from analysis.laws.power import LogLinear, LogLog, Power, PowerFloor
from analysis.laws.saturating import Saturating
from analysis.laws.sigmoid import Sigmoid
from sweep.terminal.words import nearest

FORMS: dict[str, Law] = {
    law.name: law
    for law in (
        Power("power", "y = a (n/n_ref)^-b", 2, 3),
        PowerFloor("power_floor", "y = E + a (n/n_ref)^-b", 3, 5),
        Power("power_shared", "y_k = a_k (n/n_ref)^-b, b shared", 2, 3, is_shared=True),
        PowerFloor("power_floor_shared", "y_k = E + a_k (n/n_ref)^-b, b and E shared", 3, 5, is_shared=True),
        LogLog("log_log", "ln y = ln a - b ln(n/n_ref)", 2, 3),
        LogLinear("log_linear", "y = a - b ln(n/n_ref)", 2, 3),
        Saturating("saturating", "y = E + (C - E) / (1 + (n/n_0)^b), C measured", 3, 5),
        Sigmoid("sigmoid", "y = E + (C - E) / (1 + (n/n_0)^b), C fitted", 4, 6),
        M4("m4", "(y - E) / (C - y)^alpha = beta n^-b", 5, 7),
    )
}
FITTED_ALONE = ("chinchilla", "learning_efficiency")  # of two variables, model size and data


def form(name: str) -> Law:
    """The law of one size of that name.

    Raises:
        ValueError: there is none, or it is a law of two variables.
    """
    if name in FITTED_ALONE:
        raise ValueError(
            f"law {name} is of model size and data together and no curve of one size: `fit --law {name}` fits it; "
            f"here choose one of {', '.join(FORMS)}"
        )
    if name not in FORMS:
        like = nearest(name, (*FORMS, *FITTED_ALONE, "auto"))
        raise ValueError(
            f"law {name!r} is unknown{like}; the laws are {', '.join(FORMS)}, auto and, for fit alone, "
            f"{', '.join(FITTED_ALONE)}"
        )
    return FORMS[name]
