"""Fit a file's points with `chinchilla`, Huber on ln loss, from 243 starts: its README's ranges with 3 values for 5."""

import os
import sys
from functools import partial

import numpy as np
from chinchilla import Chinchilla
from chinchilla._metrics import log_huber

RANGES = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}  # a, b: ln A, ln B
STARTS = {name: np.linspace(*ends, 3) for name, ends in RANGES.items()}


def main(points: str, folder: str, verb: str) -> None:
    os.cpu_count = lambda: 1  # one process, as ours
    one = Chinchilla(folder, param_grid=STARTS, loss_fn=partial(log_huber, delta=1e-3), log_level=40)
    for n_params, n_tokens, loss in np.load(points):
        one.append(N=n_params, D=n_tokens, C=6 * n_params * n_tokens, loss=loss)
    if verb == "fit":
        one.fit()
        print(one.E, one.A, one.B, one.alpha, one.beta)


if __name__ == "__main__":
    main(*sys.argv[1:])
