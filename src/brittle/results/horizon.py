"""One horizon for every arm of an attack: none is read where another was no longer followed.

Arms are trained for the same number of steps. Only one that answers all of T and V at no cost ends early
(:mod:`brittle.training.teaching`); every level was reached before, and it is carried on as it stood, which is all that is
assumed. An arm that diverged ends there. Where arms differ otherwise (older outputs ended each once T was learned; several
commands may have asked for different lengths) all are read up to the end of the shortest.
"""

from __future__ import annotations

import pandas

from brittle.contracts import MATCHED_T
from brittle.results.attack_kinds import trial_attacks

ALL = 1 - 1e-9
"""An accuracy from which everything was answered, rounding apart."""


def runs_of(diverged: pandas.DataFrame | None) -> set[tuple[str, str, int]]:
    """Attack, model and seed of every run that stopped giving numbers."""
    if diverged is None:
        return set()
    return set(zip(diverged["attack"], diverged["model"], diverged["seed"].astype(int)))


def carried_on(points: pandas.DataFrame) -> pandas.DataFrame:
    """The rows, and those that arms would have which ended because they answered everything: as their last, at all later steps.

    Args:
        points: rows of ``recovery.csv`` (:class:`brittle.contracts.RecoveryPoint`).
    """
    added = []
    for _, part in points.groupby(["attack", _trial(points)], sort=False):
        steps = pandas.Index(part["step"].unique())
        last = part.loc[part.groupby(["model", "seed"])["step"].idxmax()]
        whole = (last["accuracy_v"] >= ALL) & (last["accuracy_t"] >= MATCHED_T) & (last["step"] < steps.max())
        for place, row in last[whole].iterrows():
            later = steps[steps > row["step"]]
            added.append(points.loc[[place] * len(later)].assign(step=later))
    return pandas.concat([points, *added], ignore_index=True) if added else points


def with_horizon(points: pandas.DataFrame, diverged: pandas.DataFrame | None = None) -> pandas.DataFrame:
    """The rows of :func:`carried_on` with a column ``horizon``: the last step to which all arms of the attack were followed.

    Of a search it is that of the trial, which has the same number of steps on every model. Arms that diverged, and those
    that were asked before the attack alone, shorten it for no other.
    """
    points, ended = carried_on(points), runs_of(diverged)
    last = points.groupby(["attack", "model", "seed"])["step"].transform("max")
    lost = [key in ended for key in zip(points["attack"], points["model"], points["seed"])]
    counted = last.where((last > 0) & ~pandas.Series(lost, index=points.index, dtype=bool))
    horizon = counted.groupby([points["attack"], _trial(points)]).transform("min")
    return points.assign(horizon=horizon.fillna(0).astype(int))


def _trial(points: pandas.DataFrame) -> pandas.Series:
    """Of a search the trial, of other attacks 0: the arms that are read beside each other have it in common."""
    return points["seed"].where(points["attack"].isin(trial_attacks()), 0).rename("trial")
