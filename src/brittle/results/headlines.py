"""The signature of a model: every headline number of its diagnosis beside its controls and on the gold-anchored scale.

*Gold-anchored*: ``(value − filtered) / (untouched − filtered)``. 0 is what the model that never saw the data shows, 1 what
an unchanged base shows, beyond 0 on the other side is more than never having seen it. A number of which filtering and an
independent retraining of the base show the same says nothing about what a model knows, wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from brittle import discovery
from brittle.contracts import Headline
from brittle.results.outputs import ReportData
from brittle.results.reader import below, number

ALIKE = 1.25
"""Two numbers are alike within this factor, or where their intervals overlap."""


@dataclass(frozen=True)
class Value:
    """One number with its 95 % interval, NaN where the diagnostic has none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Measure:
    """One headline of one diagnostic over all models."""

    diagnostic: str
    headline: Headline
    values: Mapping[str, Value]
    """By name of model B; of a diagnostic of single models, of that model."""
    random: Mapping[str, Value]
    """What a random update with the same singular values shows, by the same names."""
    untouched: float
    """What the unchanged base shows; NaN where that is undefined."""

    def of_role(self, data: ReportData, role: str) -> Value | None:
        """The value of the first model of a role."""
        return next((self.values[model.name] for model in data.of_role(role) if model.name in self.values), None)

    @property
    def key(self) -> str:
        """``DIAGNOSTIC.KEY``, its name in tables."""
        return f"{self.diagnostic}.{self.headline.key}"

    def tells(self, data: ReportData) -> bool | None:
        """Whether it tells filtering from retraining, by several trainings of each; None without these."""
        return data.told[self.key].tells if self.key in data.told else None

    def anchored(self, data: ReportData, name: str) -> float:
        """The value on the gold-anchored scale; NaN where the scale has no length."""
        filtered = self.of_role(data, "filtered")
        if filtered is None or name not in self.values:
            return math.nan
        length = self.untouched - filtered.value
        return (self.values[name].value - filtered.value) / length if abs(length) > 1e-9 else math.nan

    def alike_filtered(self, data: ReportData, name: str) -> bool:
        """Whether a prediction of a side is not borne out only because an unlearned model shows what the filtered one shows."""
        filtered, own = self.of_role(data, "filtered"), self.values.get(name)
        sided = self.headline.thesis in ("below", "above")
        return sided and filtered is not None and own is not None and alike(own, filtered)

    def borne_out(self, data: ReportData, name: str) -> bool | None:
        """Whether an unlearned model stands beside the filtered one where the thesis puts it; None if unknown."""
        filtered, own = self.of_role(data, "filtered"), self.values.get(name)
        if not self.headline.thesis or own is None or filtered is None or math.isnan(own.value):
            return None
        if self.headline.thesis == "untouched":
            return alike(own, Value(self.untouched))
        side = own.value < filtered.value if self.headline.thesis == "below" else own.value > filtered.value
        return side and not alike(own, filtered)


def alike(one: Value, other: Value) -> bool:
    """Whether intervals overlap or, without intervals, two numbers of one sign agree within :data:`ALIKE`."""
    if not any(math.isnan(bound) for bound in (one.low, one.high, other.low, other.high)):
        return one.low <= other.high and other.low <= one.high
    low, high = sorted((one.value, other.value), key=abs)
    return low == high or (low * high > 0 and high / low <= ALIKE)


def measures(data: ReportData) -> list[Measure]:
    """Every headline that at least one model has, in the order of the steps."""
    base = next((model.name for model in data.of_role("base")), None)
    found = []
    for plugin, headline in headlines():
        pair = plugin.constants["SCOPE"] == "pair"
        places = {comparison.b: comparison.folder for comparison in data.from_base()}
        if not pair:
            places = {model.name: model.name for model in data.models}
        summaries = {name: data.summaries.get(f"{folder}/{plugin.name}", {}) for name, folder in places.items()}
        values = {name: read(summary, headline.key) for name, summary in summaries.items()}
        randoms = {
            name: read(below(summary, "controls", "random"), headline.key) for name, summary in summaries.items()
        }
        own = {name: value for name, value in values.items() if value}
        if own:
            untouched = headline.untouched
            if not pair and base in own:
                untouched = own[base].value
            random = {name: value for name, value in randoms.items() if value}
            found.append(Measure(plugin.name, headline, own, random, math.nan if untouched is None else untouched))
    return found


def headlines() -> Iterator[tuple[discovery.Plugin, Headline]]:
    """Every diagnostic with each of its headlines, in the order of the steps; a variant is named in the words."""
    for plugin in sorted(discovery.plugins("diagnostics").values(), key=lambda plugin: plugin.constants["STEP"]):
        variant = ", ".join(f"{value} {key}" for key, value in plugin.variant.items())
        for headline in plugin.load().HEADLINES:
            yield plugin, replace(headline, words=f"{headline.words} ({variant})") if variant else headline


def read(summary: Mapping[str, Any], key: str) -> Value | None:
    """The number at a dotted key with its interval, or None."""

    def at(path: str) -> float:
        place: Any = summary
        for part in path.split("."):
            place = place.get(part) if isinstance(place, Mapping) else None
        return number(place)

    value = Value(at(key), at(f"{key}_low"), at(f"{key}_high"))
    return None if math.isnan(value.value) else value


def flattened(summary: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a summary by its dotted key, controls apart."""
    for key, value in summary.items():
        if isinstance(value, Mapping):
            if key != "controls":
                yield from flattened(value, f"{start}{key}.")
        elif isinstance(value, int | float):
            yield f"{start}{key}", float(value) if isinstance(value, bool) else number(value)
