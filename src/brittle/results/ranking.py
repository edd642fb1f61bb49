"""Which unlearned models are the best? A score, the Pareto front of utility and forgetting, and who is left out of both.

The documented score, MMLU − WMDP, is chosen on the questions that it is reported on, over many runs, and rewards a model that
falls below the filtered one: a rank is a place to look at, not a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas

from brittle.percentages import DIGITS
from brittle.results.damage import NOT_MEASURED, Damage, Health
from brittle.results.roles import Role
from brittle.results.scores import METRICS, SCORES, Score


@dataclass
class Candidate:
    """One model and what is known of it."""

    name: str
    role: str = Role.UNKNOWN
    method: str = ""
    base: str = ""
    """The base as its training named it."""
    fingerprint: str = ""
    source: str = "local"
    values: dict[str, float] = field(default_factory=dict)
    """Of :data:`METRICS`, those that were measured."""
    damage: Damage = NOT_MEASURED
    nothing_unlearned: bool = False
    """Whether its training changed nothing that counts (:mod:`brittle.results.no_effect`)."""

    @property
    def is_unlearned(self) -> bool:
        """As the records say; without them as documented: baselines are the names without ``__ep``."""
        return self.role == Role.UNLEARNED or (self.role == Role.UNKNOWN and "__ep" in self.name)


@dataclass(frozen=True)
class Ranking:
    """Unlearned models in their order, and the baselines beside them."""

    score_name: str
    score: Score
    runs: pandas.DataFrame
    """One row per unlearned model, the best first: ``name``, ``method``, ``role``, ``source``, ``health``, ``rank`` (NaN where
    it has none), ``score``, ``pareto``, :data:`METRICS`, ``base``, ``fingerprint``, ``nothing_unlearned``."""
    baselines: pandas.DataFrame
    """The same columns without ranks: models that are not unlearned."""
    damage: Mapping[str, Damage]
    """Of the damaged models, by name."""
    lacking: tuple[tuple[str, str], ...]
    """Baselines without a score: their role, and the reference that an evaluation would name (empty where not known)."""
    left_out: tuple[str, ...] = ()
    top: int = 5

    def best(self) -> dict[str, pandas.DataFrame]:
        """By method its best models, at most ``top``; the method with the best model first."""
        ranked = self.runs[self.runs["rank"].notna()]
        return {str(name): part.head(self.top) for name, part in ranked.groupby("method", sort=False)}

    @property
    def unranked(self) -> pandas.DataFrame:
        """Models without a rank: damaged, or not measured."""
        return self.runs[self.runs["rank"].isna()]


def ranked(
    models: Iterable[Candidate], score: str | None = None, top: int = 5, with_damaged: bool = False,
    left_out: Sequence[str] = (),
) -> Ranking:  # fmt: skip
    """Rank the unlearned ones among the models.

    Equal scores share a rank and stand in the order of their names.

    Args:
        score: of :data:`SCORES`; None takes the documented one, or the second where no model has the first.
        with_damaged: damaged models are ranked and may be on the front, too.
    """
    every = [model for model in models if model.values or model.is_unlearned]
    table = _table([model for model in every if model.is_unlearned])
    baselines = _table([model for model in every if not model.is_unlearned])
    name = score or _measured(table)
    chosen = _with_known_utility(SCORES[name], table)
    filtered = baselines[baselines["role"] == Role.FILTERED].dropna(subset=[chosen.utility, chosen.forgetting])
    for part in (table, baselines):
        part["score"] = _scores(part, chosen, filtered).round(DIGITS)
    counts = table["score"].notna() & (with_damaged | (table["health"] != Health.DAMAGED))
    table["rank"] = table["score"].where(counts).rank(method="min", ascending=not chosen.higher)
    table["pareto"] = on_front(table[chosen.utility].where(counts), table[chosen.forgetting].where(counts))
    behind = table["health"] == Health.DAMAGED
    order = table.assign(behind=behind).sort_values(["rank", "behind", "name"], kind="stable", na_position="last")
    return Ranking(
        name, chosen, order.drop(columns="behind").reset_index(drop=True), _ordered(baselines),
        {model.name: model.damage for model in every if model.damage.health == Health.DAMAGED},
        tuple(lacking(every, baselines) if chosen.kind != "forgetting" else ()), tuple(left_out), top,
    )  # fmt: skip


def on_front(utility: pandas.Series, forgetting: pandas.Series) -> pandas.Series:
    """Which points no other beats: at least as useful and at least as low, and better in one. NaN is on no front."""
    known = utility.notna() & forgetting.notna()
    points = list(zip(utility.where(known), forgetting.where(known)))
    front, lowest = set[tuple[float, float]](), math.inf
    for point in sorted((each for each, there in zip(points, known) if there), key=lambda each: (-each[0], each[1])):
        if point[1] < lowest:
            front.add(point)
            lowest = point[1]
    return pandas.Series([point in front for point in points], index=utility.index, dtype=bool)


def lacking(models: Sequence[Candidate], baselines: pandas.DataFrame) -> list[tuple[str, str]]:
    """The base and the filtered model of the unlearned ones, where they have no score: role and reference.

    Of a score that attacks give, none: what is missing then is an attack.
    """
    scored = baselines[baselines["score"].notna()]
    have = {key_of(name) for name in scored["name"]}
    wanted = list(dict.fromkeys(model.base for model in models if model.is_unlearned and model.base)) or [""]
    found = [(str(Role.BASE), base) for base in wanted if key_of(base) not in have]
    found = [] if Role.BASE in set(scored["role"]) and wanted == [""] else found
    if Role.FILTERED not in set(scored["role"]):
        found += [(str(Role.FILTERED), reference) for reference in dict.fromkeys(map(_filtered_beside, wanted))]
    return found


def key_of(name: str) -> str:
    """A model's name or reference as folders spell it."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "_" for sign in name)


PUBLISHED = {"EleutherAI/deep-ignorance-unfiltered": "EleutherAI/deep-ignorance-e2e-strong-filter"}


def _filtered_beside(base: str) -> str:
    if base.startswith("laboratory:base"):
        return base.replace(":base", ":filtered", 1)
    return PUBLISHED.get(base, "")


def _measured(table: pandas.DataFrame) -> str:
    """The first score that any model has; the documented one where none has any."""
    for name in ("mmlu_minus_wmdp", "benign_minus_hazardous"):
        if (table[SCORES[name].utility].notna() & table[SCORES[name].forgetting].notna()).any():
            return name
    return "mmlu_minus_wmdp"


def _with_known_utility(score: Score, table: pandas.DataFrame) -> Score:
    """The score beside the utility, or for a distance both columns, that more of the models have."""

    def number(column: str) -> int:
        return int(table[column].notna().sum())

    if score.kind == "distance" and number("mmlu") < number("benign_accuracy"):
        words = "distance to the filtered model in benign and hazardous accuracy"
        return replace(score, words=words, utility="benign_accuracy", forgetting="hazardous_accuracy")
    if score.kind == "forgetting" and number("benign_accuracy") < number("mmlu"):
        return replace(score, utility="mmlu")
    return score


def _scores(table: pandas.DataFrame, score: Score, filtered: pandas.DataFrame) -> pandas.Series:
    utility, forgetting = table[score.utility], table[score.forgetting]
    if score.kind == "difference":
        return utility - forgetting
    if score.kind == "forgetting":
        return forgetting
    if filtered.empty:
        return pandas.Series(math.nan, index=table.index, dtype=float)
    gold = filtered.iloc[0]
    return utility.sub(gold[score.utility]).pow(2).add(forgetting.sub(gold[score.forgetting]).pow(2)).pow(0.5)


def _table(models: Sequence[Candidate]) -> pandas.DataFrame:
    words = ("name", "method", "role", "source", "health")
    columns = [*words, "rank", "score", "pareto", *METRICS, "base", "fingerprint", "nothing_unlearned"]
    rows = [
        {
            "name": model.name, "method": model.method, "role": str(model.role), "source": model.source,
            "health": model.damage.health.value, "base": model.base, "fingerprint": model.fingerprint, "pareto": False,
            **{name: model.values.get(name, math.nan) for name in METRICS},
            "nothing_unlearned": model.nothing_unlearned,
        }
        for model in models
    ]  # fmt: skip
    table = pandas.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys(("rank", "score", *METRICS), float) | {"pareto": bool, "nothing_unlearned": bool})


def _ordered(baselines: pandas.DataFrame) -> pandas.DataFrame:
    """Base, filtered, retrained, then the rest, by name."""
    places = {str(role): place for place, role in enumerate((Role.BASE, Role.FILTERED, Role.RETRAINED))}
    order = baselines.assign(place=baselines["role"].map(places).fillna(len(places)))
    return order.sort_values(["place", "name"], kind="stable").drop(columns="place").reset_index(drop=True)
