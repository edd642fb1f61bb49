"""Activation norms that are to stay: a hand value, zero where nothing moved, the same for every way to split a batch."""

from __future__ import annotations

import pytest
import torch
from method_trials import EXAMPLES, trial_of
from tiny_loaded import tiny_loaded

from brittle.training.batches import collate
from brittle.training.loop import totals_of
from brittle.training.norms import mean_norms, norm_change
from brittle.training.step import Step


def steps_over(loaded, parts) -> list[Step]:
    batches = [{"forget": collate(EXAMPLES["forget"], part, 0)} for part in parts]
    totals = totals_of(batches)
    return [Step(loaded.model, each, totals, anatomy=loaded.anatomy, share=1 / len(parts)) for each in batches]


@pytest.fixture
def loaded():
    return tiny_loaded("gpt_neox", num_hidden_layers=2)


def test_before_training_nothing_has_changed(loaded) -> None:
    before = mean_norms(loaded.model, loaded.anatomy, EXAMPLES["forget"], 0, "cpu", batch_size=3)
    assert before.shape == (len(EXAMPLES["forget"]), 2)  # one row for each piece of a text
    (step,) = steps_over(loaded, [(0, 1, 2, 3)])
    assert float(norm_change(step, before).detach()) == pytest.approx(0, abs=1e-9)


def test_value_worked_out_from_the_states(loaded) -> None:
    """Texts whose norms were 1 larger at layer 0 and 2 smaller at layer 1: 1² + 2² for each text, so 5."""
    now = mean_norms(loaded.model, loaded.anatomy, EXAMPLES["forget"], 0, "cpu")
    (step,) = steps_over(loaded, [(0, 1, 2, 3)])
    assert float(norm_change(step, now + torch.tensor([1.0, -2.0])).detach()) == pytest.approx(5, rel=1e-4)
    tokens = torch.tensor([EXAMPLES["forget"][1].tokens])
    states = loaded.model(tokens, output_hidden_states=True).hidden_states[1]
    assert float(now[1, 0]) == pytest.approx(float(states.norm(dim=-1).mean()), rel=1e-4)


def test_the_same_however_the_batch_is_split() -> None:
    trial = trial_of("ga")
    before = mean_norms(trial.loaded.model, trial.loaded.anatomy, EXAMPLES["forget"], 0, "cpu") + torch.rand(
        len(EXAMPLES["forget"]), 1
    )
    values = [
        sum(float(norm_change(step, before).detach()) for step in steps_over(trial.loaded, parts))
        for parts in ([(0, 1, 2, 3)], [(0, 1), (2, 3)], [(3,), (2,), (1,), (0,)])
    ]
    assert values == pytest.approx([values[0]] * 3, rel=1e-4)
