"""Does a race find the worst case that a whole search finds, and for how many steps? A replay of stored curves.

``uv run benchmarks/racing.py`` reads ``results/search_curves.csv``: every evaluation of searches of 24 trials that ran to their end
(``--store RECOVERY.csv`` keeps those of another table), and ``results/strength_curves.csv``: those of every number of texts. Beside the rule of :mod:`brittle.training.racing` stand Optuna's
asynchronous pruners, which compare a trial with those before it. Nothing is trained.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas

from brittle.attacks.relearning_search import STEPS
from brittle.results.at_strongest import strongest
from brittle.runs.attack_race import row_at, standing_at
from brittle.training.racing import PART_OF_STRENGTHS, best, part_of

CURVES = Path(__file__).parent / "results" / "search_curves.csv"
STRENGTHS = Path(__file__).parent / "results" / "strength_curves.csv"
KEPT = [
    "model",
    "role",
    "attack",
    "seed",
    "step",
    "strength",
    "accuracy_t",
    "accuracy_v",
    "accuracy_retain",
    "benign_rise",
]
ORDERS = 20
"""How often trials are drawn anew from those there are."""
Trials = Mapping[int, pandas.DataFrame]
Rule = Callable[[Trials], dict[int, tuple[int, int]]]
"""Which steps each trial takes, and up to which step its curve is known then."""


@dataclass(frozen=True)
class Replayed:
    """One model's search under one rule."""

    model: str
    trials: int
    share: float
    """Optimizer steps of the race as a share of the search's."""
    whole: float
    """V at its highest within the bounds, 0 to 1: the search's worst case."""
    raced: float


def one_cut(trials: Trials) -> dict[int, tuple[int, int]]:
    """The project's own: all begin, the best quarter is trained again from its beginning to its end."""
    first = {number: row_at(rows, part_of(max(STEPS))) for number, rows in trials.items()}
    go_on = best({number: standing_at(trials[number], row) for number, row in first.items()})
    last = {number: int(rows["step"].max()) for number, rows in trials.items()}
    return {
        number: (int(row["step"]) + last[number], last[number]) if number in go_on else (int(row["step"]),) * 2
        for number, row in first.items()
    }


def asynchronous(factor: int) -> Rule:
    """Optuna's pruner: a trial goes on if it is among the best of those that came as far before it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def rule(trials: Trials) -> dict[int, tuple[int, int]]:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=10, reduction_factor=factor)
        study, found = optuna.create_study(direction="maximize", pruner=pruner), {}
        for number, rows in trials.items():
            trial, last = study.ask(), 0
            for _, row in rows.iloc[1:].iterrows():
                within, reached = standing_at(rows, row)
                last = int(row["step"])
                trial.report(reached - 2 * (not within), last)
                if trial.should_prune():
                    break
            found[number] = last, last
        return found

    return rule


RULES: dict[str, Callable[[], Rule]] = {
    "one cut": lambda: one_cut, **{f"Optuna, one of {n}": lambda n=n: asynchronous(n) for n in (2, 3, 4)}
}  # fmt: skip


def replay(curves: pandas.DataFrame, rule: Rule, trials: int, seed: int | None = None) -> list[Replayed]:
    """Race so many trials of every model's search on the curves that they had when nobody stopped them.

    Without ``seed`` the first ones in their order, else a draw from all.
    """
    found = []
    for model, rows in curves.groupby("model", sort=False):
        every = {int(str(number)): part.sort_values("step") for number, part in rows.groupby("seed")}
        numbers = sorted(every) if seed is None else random.Random(f"{seed} {model}").sample(sorted(every), len(every))
        drawn = {number: every[number] for number in numbers[:trials]}
        ends = rule(drawn)
        kept = pandas.concat([rows[rows["step"] <= ends[number][1]] for number, rows in drawn.items()])
        whole, raced = (strongest(each)[0].after.mean for each in (pandas.concat(drawn.values()), kept))
        share = sum(steps for steps, _ in ends.values()) / sum(rows["step"].max() for rows in drawn.values())
        found.append(Replayed(str(model), len(drawn), float(share), whole, raced))
    return found


def replay_strengths(curves: pandas.DataFrame, steps: int | None = None) -> list[Replayed]:
    """Race the numbers of texts of every model and seed; all are compared after ``steps`` (default: the project's own)."""
    found = []
    for (model, seed), rows in curves.groupby(["model", "seed"], sort=False):
        before, last = rows[rows["step"] == 0], int(rows["step"].max())
        cut = steps or part_of(last, PART_OF_STRENGTHS)
        trained = {float(str(n)): part for n, part in rows[rows["step"] > 0].groupby("strength")}
        ends = {n: part[part["step"] == last] for n, part in trained.items()}
        begun = {n: part[part["step"] == cut] for n, part in trained.items()}
        (goes_on,) = best({n: standing_at(before, part.iloc[0]) for n, part in begun.items()})[:1]
        raced = {n: ends[n] if n == goes_on else begun[n] for n in trained}
        whole, short = (_highest(before, each.values()) for each in (ends, raced))
        found.append(Replayed(f"{model} seed {seed}", len(ends), share_of_strengths(len(ends)), whole, short))
    return found


def share_of_strengths(number: int) -> float:
    """Optimizer steps of a race of so many strengths as a share of all: each begun, one trained anew."""
    return 1 / PART_OF_STRENGTHS + 1 / number


def _highest(before: pandas.DataFrame, parts: Iterable[pandas.DataFrame]) -> float:
    """V at its highest within the bounds."""
    rows = [before.iloc[0], *(part.iloc[0] for part in parts)]
    return max(float(row["accuracy_v"]) for row in rows if standing_at(before, row)[0])


def main() -> None:
    """Print a line for each model, then what each rule comes to over many draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--store", type=Path, help="recovery.csv whose curves are kept in place of those that are there"
    )
    if store := parser.parse_args().store:
        rows = pandas.read_csv(store)
        rows[rows["attack"] == "relearning_search"][KEPT].round(4).to_csv(CURVES, index=False)
    curves = pandas.read_csv(CURVES)
    for trials in (12, 24):
        for each in replay(curves, one_cut, trials):
            print(
                f"{trials} trials, {each.share:.0%} of the steps, V {each.whole:.3f} -> {each.raced:.3f}  {each.model}"
            )
    for each in replay_strengths(pandas.read_csv(STRENGTHS)):
        print(
            f"{each.trials} strengths, {each.share:.0%} of the steps, V {each.whole:.3f} -> {each.raced:.3f}  {each.model}"
        )
    for name, rule in RULES.items():
        found = [e for trials in (12, 24) for seed in range(ORDERS) for e in replay(curves, rule(), trials, seed)]
        lost = [each.whole - each.raced for each in found]
        print(
            f"{name:20} {sum(e.share for e in found) / len(found):.0%} of the steps (at most {max(e.share for e in found):.0%}), "
            f"the same worst case within a question in {sum(each < 0.045 for each in lost) / len(lost):.0%}, "
            f"{sum(lost) / len(lost):.3f} lower on average"
        )


if __name__ == "__main__":
    main()
