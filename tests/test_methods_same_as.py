"""Methods that are one algorithm say so: two steps of real training, the updates compared."""

from __future__ import annotations

import copy
import functools
from itertools import combinations
from typing import Any

import pytest
import torch
from method_trials import METHODS, NAMES, settings_of, trial_of

from brittle import discovery
from brittle.settings import fields_of, with_overrides
from brittle.training.loop import LoopSettings, train
from brittle.views.plugin_pages import page

TWINS = {name: METHODS[name].SAME_AS for name in NAMES if hasattr(METHODS[name], "SAME_AS")}
NEUTRAL = {"alpha": 1.0, "forget_weight": 1.0, "retain_weight": 1.0, "beta": 2.5, "rms_lambda": 100.0}
"""The same flags for every method that has them."""


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))


@functools.cache
def knowing() -> dict[str, torch.Tensor]:
    """The weights of a model that has learned some of the forget texts: tokens' probabilities differ from one another."""
    trial = trial_of("task_vector", moved=False)
    train(
        trial.loaded.model, lambda _number: [trial.batches((0, 1, 2, 3))],
        lambda step: {"forget": step.negative_log_likelihood("forget")}, LoopSettings(25, 1e-2, seed=7),
        anatomy=trial.loaded.anatomy,
    )  # fmt: skip
    return copy.deepcopy(trial.loaded.model.state_dict())


def weights_after_two_steps(name: str, **chosen: Any) -> torch.Tensor:
    """All weights' change over two steps of AdamW, in one vector."""
    trial = trial_of(name, moved=False)
    trial.loaded.model.load_state_dict(knowing())
    if trial.initial:
        trial.initial = {key: p.detach().clone() for key, p in trial.loaded.model.named_parameters()}
    settings = with_overrides(type(settings_of(trial.method)), vars(settings_of(trial.method)) | chosen)
    before = [p.detach().clone() for p in trial.loaded.model.parameters()]
    if hasattr(trial.method, "prepare"):
        trial.method.prepare(settings, trial.loaded.model, 7)
    train(
        trial.loaded.model, lambda number: [trial.batches(((0, 1), (2, 3))[number])],
        lambda step: trial.method.loss(settings, step), LoopSettings(2, 1e-3, seed=7), anatomy=trial.loaded.anatomy,
        reference=trial.reference, initial=trial.initial, together=trial.method.NEEDS.together,
    )  # fmt: skip
    if hasattr(trial.method, "finish"):
        trial.method.finish(settings, trial.loaded.model, trial.initial)
    return torch.cat([(p.detach() - b).flatten() for p, b in zip(trial.loaded.model.parameters(), before)])


def alike(left: torch.Tensor, right: torch.Tensor) -> bool:
    return float((left - right).norm()) < 0.01 * float(left.norm())


@pytest.mark.parametrize("name", TWINS)
def test_what_is_called_the_same_trains_the_same(name) -> None:
    twin = TWINS[name]
    here = weights_after_two_steps(name, **twin["here"])
    settings = twin.get("there") or {"update_coeff": twin["here"]["rms_lambda"] / len(here) ** 0.5}
    there = weights_after_two_steps(twin["method"], **settings)
    assert float(here.norm()) > 0 and alike(here, there)
    assert discovery.plugins("methods")[name].same_as == twin["method"]
    assert twin["method"] not in TWINS  # one name stands for the algorithm


def test_nothing_else_is_the_same_at_the_same_flags() -> None:
    updates = {}
    flags = NEUTRAL | {"update_coeff": NEUTRAL["rms_lambda"] / len(weights_after_two_steps("ga")) ** 0.5}
    for name in NAMES:
        own = {field.name for field in fields_of(METHODS[name].Settings)}
        updates[name] = weights_after_two_steps(name, **{key: value for key, value in flags.items() if key in own})
    found = {pair for pair in combinations(NAMES, 2) if alike(updates[pair[0]], updates[pair[1]])}
    assert found == {tuple(sorted((name, twin["method"]))) for name, twin in TWINS.items()}


def test_a_page_says_it_once() -> None:
    text = page(None)
    for name, twin in TWINS.items():
        assert text.count(f"The same algorithm as [`{twin['method']}`](#{twin['method']}): {twin['words']}.") == 1
        assert twin["words"] in text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
