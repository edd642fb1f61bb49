"""The first step is the method's and not rounding's: where the model is still its own frozen copy, batch layouts agree."""

from __future__ import annotations

import pytest
import torch
from method_trials import METHODS, NAMES, fixed_perturbation, settings_of, trial_of

from brittle.training import adversary
from brittle.training.before import ROUNDING, departed
from brittle.training.loop import LoopSettings, train

COMPARING = [
    name for name in NAMES if METHODS[name].NEEDS.reference_hidden_states or METHODS[name].NEEDS.reference_logits
]
LAYOUTS = {"4x1": [(0, 1, 2, 3)], "2x2": [(0, 1), (2, 3)], "1x4": [(0,), (1,), (2,), (3,)]}


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))
    monkeypatch.setattr(adversary, "helpful_perturbation", fixed_perturbation)


def first_update(name: str, layout: str, optimizer: str = "adamw") -> dict[str, torch.Tensor]:
    """What one optimizer step does to every weight of a model that has not moved."""
    trial = trial_of(name, moved=False)
    before = {key: p.detach().clone() for key, p in trial.loaded.model.named_parameters()}
    train(
        trial.loaded.model, lambda _number: [trial.batches(part) for part in LAYOUTS[layout]],
        lambda step: trial.method.loss(settings_of(trial.method), step), LoopSettings(1, 1e-3, optimizer, seed=7),
        anatomy=trial.loaded.anatomy, reference=trial.reference, together=trial.method.NEEDS.together,
    )  # fmt: skip
    return {key: p.detach() - before[key] for key, p in trial.loaded.model.named_parameters()}


def length(update: dict[str, torch.Tensor]) -> float:
    return float(sum(part.square().sum() for part in update.values())) ** 0.5


@pytest.mark.parametrize("name", COMPARING)
def test_batch_layouts_take_the_same_first_step(name) -> None:
    whole = first_update(name, "4x1")
    for layout in ("2x2", "1x4"):
        other = first_update(name, layout)
        assert length({key: other[key] - part for key, part in whole.items()}) <= 0.02 * length(whole), layout


@pytest.mark.parametrize("name", ["cb", "cb_lat", "rmu", "rmu_paper", "rmu_mcu", "adaptive_rmu"])
def test_tokens_of_retain_texts_alone_stay_where_they_are(name) -> None:
    from method_trials import EXAMPLES

    tokens = {split: {t for each in EXAMPLES[split] for t in each.tokens} for split in ("forget", "retain")}
    alone = sorted(tokens["retain"] - tokens["forget"])
    assert alone
    rows = first_update(name, "1x4")["gpt_neox.embed_in.weight"]
    assert not rows[alone].any() and rows[sorted(tokens["forget"])].any()


def test_what_rounding_moved_counts_as_unchanged_and_what_training_moved_does_not() -> None:
    before = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    bound = ROUNDING * 2.0**-24 * 5
    now = (before + torch.tensor([[0.9, 0.0], [2.0, 0.0], [0.0, 0.0]]) * bound).requires_grad_()
    found = departed(now, before)
    assert torch.equal(found[0], before[0]) and torch.equal(found[1], now[1])
    (gradient,) = torch.autograd.grad(found.sum(), now)
    assert gradient[0].tolist() == [0.0, 0.0] and gradient[1].tolist() == [1.0, 1.0]
    with torch.autocast("cpu", torch.bfloat16):  # coarser arithmetic, wider bound
        assert torch.equal(departed(now + 0.01, before)[:2], before[:2])


def test_rounding_between_layouts_lies_within_the_bound() -> None:
    trial = trial_of("rr", moved=False)
    whole = trial.batches((0, 1, 2, 3))["forget"]
    for rows in (whole.input_ids[:1], whole.input_ids[:2].repeat(9, 1)):
        with torch.no_grad():
            states = [
                trial.loaded.model(ids, output_hidden_states=True).hidden_states for ids in (whole.input_ids, rows)
            ]
        for left, right in zip(*states):
            change = (left[0] - right[0]).norm(dim=-1) / left[0].norm(dim=-1)
            assert float(change.max()) <= ROUNDING * 2.0**-24
