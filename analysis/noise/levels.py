"""What all runs of one seed have in common, in tables of errors: a level by which they lie above or below the others.

Scatter about a curve does not show it, since it moves the curve as a whole. It is in the draws where it is seen: where
deviations of a seed from its cells' means, in units of p (1 - p) (of a loss p), go together over sizes by more than
independent runs' would (`shared_over_sizes`). The level of a seed in an arm is then the mean of its deviations, and

    arm's level in a draw = s_a sum_k g[k] level[a, k] / sqrt(S_a (S_a - 1)),  g[k] normal, s_a^2 = (S_a - 1) / chi^2

over the arm's S_a seeds; one g[k] serves all arms that were run with seed k, so what they share cancels in contrasts,
and a contrast has Student's t interval on the seeds.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from analysis.noise.replicates import moved, units_of
from analysis.noise.seeds import Z_SHARED, shared_over_sizes
from analysis.notes import Note, note
from analysis.tables.table import Table


def with_levels(table: Table, errors: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Note, ...]]:
    """Draws of cell means (n_draws, n_cells), moved by the levels of seeds where these are seen, and what to say."""
    found = units_of(table, "seed")
    seen = shared_over_sizes(table, found.unit)
    if seen is None or seen.z <= Z_SHARED:
        return errors, ()
    deviations = np.where(np.isnan(found.errors), np.nan, found.deviations)
    normal = rng.standard_normal((len(errors), len(found.names)))
    chance = rng.random(len(errors))
    out = errors.copy()
    told = []
    for arm in table.arms:
        cells = table.cells_of(arm)
        many = cells[found.n_of_cell[cells] > 1]
        if not len(many):
            continue
        here = ~np.isnan(deviations[:, many]).all(axis=1)
        level, n = np.nanmean(deviations[np.ix_(here, many)], axis=1), int(here.sum())
        by = normal[:, here] @ level / np.sqrt(n * (n - 1)) * np.sqrt((n - 1) / stats.chi2.ppf(chance, n - 1))
        out[:, cells] = moved(errors[:, cells], by[:, None], is_loss=table.is_loss)
        told.append(f"{n} in {arm}")
    text = (
        f"runs of one seed lie above or below the others at all sizes ({seen.share:.0%} of the variance between "
        f"seeds): the interval is Student's t over these levels, with {', '.join(told)}"
    )
    return out, (note("seed_clusters", text),)
