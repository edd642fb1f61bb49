"""What one step holds at its peak, counted without numbers: against hand-worked values and properties."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_models import ARCHITECTURES, tiny_model

from brittle import discovery
from brittle.models.adapters import add_adapters
from brittle.models.anatomy import anatomy_of
from brittle.runs.unlearning_training import _rehearsed
from brittle.settings import with_overrides
from brittle.training import memory
from brittle.training.hyperparameters import TrainingSettings
from brittle.training.rehearsal import MAPPED, Held, Ledger, Rehearsed, rehearse, rehearse_reading

METHODS = discovery.plugins("methods")
SHORT = TrainingSettings(batch_size=8, max_length=64)
WIDTH, INNER, HEADS = 32, 128, 4


def rehearsed(
    method="grad_diff", training=SHORT, half=False, architecture="gpt_neox", layers=4, **overrides
) -> Rehearsed:
    module = METHODS[method].load()
    model = tiny_model(architecture, num_hidden_layers=layers, **overrides)
    if training.lora_rank:
        add_adapters(model, anatomy_of(model.config), training.lora_rank, training.lora_alpha)
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    settings = with_overrides(
        module.Settings, {"layer_id": tuple(layer + module.NEEDS.first_layer for layer in (0, 1))}
    )
    return rehearse(model, anatomy_of(model.config), training, module, settings, half)


def test_a_block_keeps_what_counting_by_hand_says() -> None:
    """Of every token in float32: what two norms give out (2 d) with mean and scale each (4), queries, keys and values as
    projected (3 d), queries and keys as turned (2 d), attention's output (d) and one number a head, the MLP's inner values
    before and after the activation (8 d), and the stream that goes on (d)."""
    tokens = 2 * SHORT.batch_size * SHORT.max_length
    by_hand = 4 * tokens * (17 * WIDTH + HEADS + 4)
    more, less = (rehearsed(layers=layers, intermediate_size=INNER) for layers in (4, 3))
    assert more.most - less.most == by_hand


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("method", ["grad_diff", "npo", "rmu"])
def test_twice_the_batch_takes_twice_the_activations(method: str, half: bool) -> None:
    one, two = (rehearsed(method, replace(SHORT, batch_size=rows), half).most for rows in (16, 32))
    copies = rehearsed(method, replace(SHORT, batch_size=16), half).gradients  # no more than all weights in bfloat16
    assert 2 * one - copies <= two <= 2 * one


def test_the_gradients_are_those_of_the_blocks_that_the_loss_reads() -> None:
    model = tiny_model(num_hidden_layers=4)
    read = sum(p.numel() for n, p in model.named_parameters() if "embed_in" in n or "layers.0" in n or "layers.1" in n)
    found = rehearsed("rmu")
    assert found.reached == read and found.gradients == 4 * read
    assert rehearsed().reached == sum(p.numel() for p in model.parameters())


def test_what_saves_memory_is_seen() -> None:
    long = replace(SHORT, batch_size=32)
    whole = rehearsed(training=long).most
    assert rehearsed(training=replace(long, gradient_checkpointing=True)).most < 0.8 * whole
    assert rehearsed(training=replace(long, loss_chunk=64)).most < 0.9 * whole
    assert rehearsed(training=long, half=True).most < 0.9 * whole
    adapters = rehearsed(training=replace(long, lora_rank=2))
    assert adapters.reached < 0.3 * rehearsed().reached and adapters.gradients == 4 * adapters.reached
    fused, eager = (rehearsed(attn_implementation=kind).most for kind in ("sdpa", "eager"))
    assert eager > 1.2 * fused


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_can_be_rehearsed_and_the_model_is_untouched(method: str) -> None:
    assert rehearsed(method, replace(SHORT, batch_size=2, max_length=8), half=True, layers=3).most > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_rehearsed(architecture: str) -> None:
    found = rehearsed(training=replace(SHORT, batch_size=2), architecture=architecture)
    assert found.most > found.gradients > 0


def test_the_model_keeps_its_numbers_and_has_no_gradients() -> None:
    model, module = tiny_model(), METHODS["npo"].load()
    before = {name: p.clone() for name, p in model.named_parameters()}
    rehearse(model, anatomy_of(model.config), SHORT, module, module.Settings(), True)
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())
    assert not model.training


def test_the_ledger_counts_a_storage_once_from_its_first_moment_to_its_last() -> None:
    kept = torch.zeros(100)
    with Ledger([kept]) as ledger:
        one = torch.zeros(1000)
        assert ledger.held == 4000
        view, _known = one.view(10, 100), kept[:5]
        two = view + 1
        assert ledger.held == 8000
        del one, view
        assert ledger.held == 4000
        three = two * 2
        del two, three
    assert ledger.held == 0 and ledger.most == 8000


def test_the_plan_with_a_rehearsal_adds_up_to_its_peak() -> None:
    model = tiny_model()
    found = rehearsed(layers=2)
    parts = memory.parts(model, SHORT, False, found)
    weights = 4 * sum(p.numel() for p in model.parameters())
    assert sum(parts.values()) == pytest.approx(3 * weights + found.most, rel=1e-6)  # AdamW keeps two numbers a weight
    line = memory.plan(model, SHORT, False, found)
    assert "activations and logits" in line and "without activations" not in line
    assert "without activations" in memory.plan(model, SHORT, False)


def looks_at_numbers(_settings, step):
    """What a model's code does that decides by values: OPT under torch 2.9, for one."""
    return {"loss": step.forward("forget").sum() * float(step.forward("retain").detach().sum())}


def test_a_plan_says_why_it_has_no_activations(monkeypatch) -> None:
    model, module = tiny_model(), METHODS["grad_diff"].load()
    monkeypatch.setattr(module, "loss", looks_at_numbers)
    loaded = SimpleNamespace(model=model, anatomy=anatomy_of(model.config), device="cuda:0")
    run = SimpleNamespace(loaded=loaded, examples={"forget": [SimpleNamespace(tokens=range(8))]})
    chosen = SimpleNamespace(training=SHORT, module=module, method=module.Settings())
    found, why_not = _rehearsed(chosen, run, "no")
    assert found is None
    said = "without activations: this model cannot be rehearsed (DataDependentOutputException: aten._local_scalar_dense"
    assert said in memory.plan(model, SHORT, False, found, why_not)
    loaded.device = "cpu"
    assert _rehearsed(chosen, run, "no") == (None, "")


def test_reading_takes_logits_and_keeps_no_activations() -> None:
    """Of 8 rows of 63 predicted tokens: logits, their copy and their log-softmax; in chunks only those of a chunk."""
    model = tiny_model()
    anatomy, logits = anatomy_of(model.config), 4 * 8 * 63 * 320
    whole, chunked = (
        rehearse_reading(model, anatomy, 8, 64, lambda step: step.token_losses("texts"), chunk) for chunk in (0, 16)
    )
    assert 3 * logits <= whole.most < 4 * logits and chunked.most < whole.most / 2
    assert (whole.heap, whole.mapped) == (whole.most, 0)


def test_large_tensors_are_counted_apart_from_those_in_the_heap() -> None:
    with Ledger() as ledger:
        small = torch.zeros(MAPPED // 4 - 1)
        large = torch.zeros(MAPPED // 4)
        del small
        small = torch.zeros(4)
        del large, small
    assert ledger.found() == Held(2 * MAPPED - 4, heap=MAPPED - 4, mapped=MAPPED) and ledger.held == 0


def test_plans_are_near_the_peaks_that_a_gpu_measured_and_are_still_what_is_planned(monkeypatch) -> None:
    """``benchmarks/on_gpu.py measure`` and ``plan`` wrote the file; a fifth is what a plan may be off."""
    root = Path(__file__).parent.parent / "benchmarks"
    rows = [json.loads(line) for line in (root / "results" / "gpu.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["what"] == "training"]
    assert len(rows) > 50 and {row["size"] for row in rows} == {"160M", "1B", "7B"}
    assert all(abs(row["planned_gib"] / row["peak_gib"] - 1) <= 0.2 for row in rows)
    monkeypatch.syspath_prepend(str(root))
    import on_gpu

    for case in (case for case in on_gpu.cases("160M") if case.method == "rmu" and not case.options):
        (row,) = (row for row in rows if on_gpu.described(case).items() <= row.items())
        assert on_gpu.planned(case) == pytest.approx(row["planned_gib"], rel=0.02)
