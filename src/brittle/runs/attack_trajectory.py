"""The path of an attack through weight space: does it retrace the unlearning, and what do the diagnostics say on the way?

With W₀ the attacked model's weights, W_B the base's, ΔW = W₀ − W_B and W the weights during the attack, at every
evaluation: the cosine between W − W₀ and −ΔW (1: straight back to the base, 0: another way), the share of ΔW undone
``−⟨W − W₀, ΔW⟩ / ‖ΔW‖²`` (1: all), and ‖W − W_B‖ / ‖W_B‖. In thousands of dimensions two unrelated directions have a
cosine near 0, so even 0.1 is far from chance. At the chosen steps steps 1, 3 and 6 compare base and attacked model.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

import torch

from brittle import discovery
from brittle.mathematics.matrix_pair import MatrixPair
from brittle.models.likelihood import score
from brittle.models.loading import LoadedModel
from brittle.models.observation import observe
from brittle.models.reweighting import all_parameters
from brittle.results.headlines import read
from brittle.runs.attack_material import Battlefield

TEXTS = 64
"""Texts of each split that hidden states are compared on."""
WEIGHTS, ACTIVATIONS, LENS = "weight_comparison", "activation_comparison", "wmdp_logit_lens"


class Trajectory:
    """Listens to one attack that trains weights; ``rows`` has one entry per evaluation.

    Args:
        base: the model that nothing was removed from.
        loaded: the model under attack, before it.
        field: whose texts and questions the diagnostics are shown.
        chosen: steps at which the diagnostics run.
    """

    def __init__(self, base: LoadedModel, loaded: LoadedModel, field: Battlefield, chosen: Collection[int]) -> None:
        self.base, self.loaded, self.field, self.chosen = base, loaded, field, set(chosen)
        self.rows: list[dict[str, Any]] = []
        self.own = all_parameters(base)
        parameters = all_parameters(loaded)
        self.start = {name: parameters[name].to("cpu", copy=True) for name in self.own}
        self.base_norm = math.sqrt(sum(float(weight.double().square().sum()) for weight in self.own.values()))

    @torch.no_grad()
    def record(self, step: int) -> None:
        """Add the row of this step, unless the model trains adapters beside its weights."""
        parameters = all_parameters(self.loaded)
        if parameters.keys() != self.own.keys():
            return
        moved = removed = along = apart = 0.0
        for name, weight in parameters.items():
            now, start, base = (each.to("cpu").double() for each in (weight, self.start[name], self.own[name]))
            moved += float((now - start).square().sum())
            removed += float((start - base).square().sum())
            along += float(((now - start) * (base - start)).sum())
            apart += float((now - base).square().sum())
        scale = math.sqrt(moved * removed)
        row = {
            "step": step,
            "cosine_to_base": along / scale if scale else math.nan,
            "share_undone": along / removed if removed else math.nan,
            "distance_to_base": math.sqrt(apart) / self.base_norm,
            "distance_moved": math.sqrt(moved) / self.base_norm,
        }
        self.rows.append(row | (self._diagnosed() if step in self.chosen else {}))

    def _diagnosed(self) -> dict[str, float]:
        """The headlines of steps 1, 3 and 6 between the base and the model as it is now."""
        found: dict[str, float] = {}
        for name in (WEIGHTS, ACTIVATIONS, LENS):
            module = discovery.find("diagnostics", name).load()
            fitter = module.Fitter(module.Settings())
            if name == WEIGHTS:
                for pair in self._pairs():
                    fitter.update(pair)
            elif name == ACTIVATIONS:
                texts = {"forget": self.field.texts[:TEXTS], "retain": self.field.retain_texts[:TEXTS]}
                observe(self.base, self.loaded, texts, [fitter], batch_size=32)
            else:
                questions = [*self.field.questions["t"], *self.field.questions["v"]]
                fitter.update(score(self.loaded, questions, "all", normalise=False))
            summary = fitter.finish().summary
            values = {headline.key: read(summary, headline.key) for headline in module.HEADLINES}
            found |= {f"{name}.{key}": value.value for key, value in values.items() if value}
        return found

    def _pairs(self) -> Iterator[MatrixPair]:
        turned = self.loaded.anatomy.transposed
        now = all_parameters(self.loaded)
        for name, base in self.own.items():
            if place := self.loaded.anatomy.place(name):
                one, two = (each.T if turned else each for each in (base, now[name]))
                yield MatrixPair(name, place.layer, place.component, place.group, one, two.to(one.device))
