"""A training that changes nothing says so, afterwards and with --probe before; one that unlearns does not."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from method_trials import EXAMPLES
from tiny_loaded import tiny_loaded

from brittle.command_line import main
from brittle.models.adapters import add_adapters, merged
from brittle.models.construction import save
from brittle.models.weight_distance import update_of, update_of_adapters
from brittle.places import read_summary
from brittle.results.at_matched_t import MatchedRecovery, estimate
from brittle.results.chance import ChanceTest
from brittle.results.no_effect import effect
from brittle.results.outlook import Outlook, Walked, expected
from brittle.results.verdicts import AtMatchedT, at_matched_t
from brittle.runs import unlearning, unlearning_plan
from brittle.training import pulls, walk
from brittle.training.batches import collate
from brittle.training.loop import LoopSettings
from brittle.views import probe as shown
from brittle.views import terminal

BASE = "laboratory:base@tiny-0"


def trained(forget: float = 0.0, retain: float = 0.0, benign: float = 0.0, **more: Any) -> dict[str, Any]:
    """A summary in which held-out texts rose by so many nats per token."""
    rises = {"forget": forget, "retain": retain, "benign": benign}
    before = {f"{split}_nll_before": 1.0 for split in rises}
    return before | {f"{split}_nll": 1.0 + rise for split, rise in rises.items()} | {"collapsed": False} | more


@pytest.mark.parametrize(
    ("summary", "nothing"),
    [
        (trained(), True),
        (trained(0.04), True),
        (trained(0.06), False),
        (trained(-0.3), True),  # learned better
        (trained(0.30, retain=0.28), True),  # no more than other texts lost
        (trained(0.30, benign=0.28), True),
        (trained(0.30, retain=-0.28), False),
        (trained(forget_answers_lost=4, forget_answers_won=0), True),  # 1/16
        (trained(forget_answers_lost=5, forget_answers_won=0), False),  # 1/32
        (trained(forget_answers_lost=7, forget_answers_won=1), False),  # 9/256
        (trained(forget_answers_lost=6, forget_answers_won=1), True),  # 8/128
        (trained(0.06, forget_answers_lost=0, forget_answers_won=0), False),  # either is enough
        (trained(8.0, retain=8.0, collapsed=True), False),
        ({"forget_answers_lost": 1, "forget_answers_won": 0}, True),
        ({"retain_nll_before": 1.0, "retain_nll": 1.0, "collapsed": False}, None),
    ],
)  # fmt: skip
def test_the_criterion(summary: dict[str, Any], nothing: bool | None) -> None:
    assert effect(summary).nothing_unlearned is nothing


def test_the_sign_test_by_hand() -> None:
    assert effect({"forget_answers_lost": 4, "forget_answers_won": 0}).p == pytest.approx(1 / 16)
    assert effect({"forget_answers_lost": 7, "forget_answers_won": 1}).p == pytest.approx(9 / 256)
    assert effect({"forget_answers_lost": 0, "forget_answers_won": 0}).p == 1.0
    assert math.isnan(effect({}).p)


def test_the_outlook_by_hand() -> None:
    """Of a model whose weights are 50 long and were moved by 2 in one step."""

    def outlook(summary: dict[str, Any], at_most: float, broke: str = "") -> Outlook:
        walked = Walked(10, (2.0,), at_most, 0.0, broke)
        return expected(summary | {"update_norm": 2.0, "update_share": 0.04}, walked).outlook

    assert outlook(trained(0.006, retain=0.001), 18.0) is Outlook.NOT_YET  # 9 times as far: 0.045
    assert outlook(trained(0.006, retain=0.001), 22.0) is Outlook.UNDER_WAY  # 11 times: 0.055
    assert outlook(trained(0.006, retain=0.001), 0.4) is Outlook.NOTHING  # 0.8 % of the weights' length
    assert outlook(trained(0.9, benign=0.5), 2.0) is Outlook.TOO_FAST
    assert outlook(trained(0.9, benign=0.49), 2.0) is Outlook.UNDER_WAY
    assert outlook(trained(), 2.0, "no number") is outlook(trained(collapsed=True), 2.0) is Outlook.TOO_FAST
    none = Walked(10, (0.0, 0.0), 0.0, 0.0)
    assert none.way == 0.0
    assert expected(trained(update_norm=0.0, update_share=0.0), none).outlook is Outlook.NOTHING


def test_shares_of_the_weights_have_two_digits() -> None:
    from brittle.views.training import share

    shares = (0.0, 2.1237e-4, 0.0512, 0.234, 12.0, math.nan)
    assert [*map(share, shares)] == ["0%", "0.021%", "5.1%", "23%", "1200%", "an unknown share"]


def test_the_way_of_a_whole_run_by_hand() -> None:
    """The cosine has factors 1 and ½ over two steps, and 1, ¾ and ¼ over three."""
    at_most, at_least = walk.whole_way([2.0], LoopSettings(2, 1e-3))
    assert at_most == pytest.approx(3.0) and at_least == pytest.approx(2 * math.hypot(1, 0.5))
    assert walk.whole_way([2.0, 1.5], LoopSettings(3, 1e-3))[0] == pytest.approx(4.0)
    assert Walked(3, (2.0, 1.5), 4.0, 0.0).way == pytest.approx(4 / 3.5)
    assert walk.whole_way([], LoopSettings(3, 1e-3)) == (0.0, 0.0)


@pytest.mark.parametrize("parts", [((0, 1, 2, 3),), ((0, 1), (2, 3))], ids=["one batch", "accumulated"])
def test_pulls_are_the_gradients_of_single_terms(parts) -> None:
    loaded = tiny_loaded()
    micro = [{split: collate(EXAMPLES[split], part, 0) for split in ("forget", "retain")} for part in parts]
    fixed = next(iter(loaded.model.parameters()))

    def objective(step):
        likelihood = {split: step.negative_log_likelihood(split) for split in ("forget", "retain")}
        return {"forget": -likelihood["forget"], "retain": 3 * likelihood["retain"], "none": torch.tensor(2.0)}

    found = pulls.pulls(loaded.model, micro, objective, LoopSettings(4, 1e-3), device="cpu", anatomy=loaded.anatomy)
    assert fixed.grad is None and not loaded.model.training
    assert found.gradient_norms["none"] == 0.0
    whole = {split: collate(EXAMPLES[split], (0, 1, 2, 3), 0) for split in ("forget", "retain")}
    for split, weight in (("forget", -1.0), ("retain", 3.0)):
        batch = whole[split]
        logits = loaded.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.mT, batch.input_ids[:, 1:], reduction="none")
        loss = weight * (losses * batch.counted[:, 1:]).sum() / batch.counted[:, 1:].sum()
        slopes = torch.autograd.grad(loss, list(loaded.model.parameters()))
        assert found.terms[split] == pytest.approx(float(loss.detach()), rel=1e-5)
        assert found.gradient_norms[split] == pytest.approx(math.hypot(*(float(s.norm()) for s in slopes)), rel=1e-4)


def test_state_norms_are_medians_over_real_tokens() -> None:
    loaded = tiny_loaded()
    batch = collate(EXAMPLES["forget"], (0, 1), 0)
    found = pulls.state_norms(loaded.model, loaded.anatomy, [batch], [0, 1], "cpu")
    with torch.no_grad():
        states = loaded.model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
        ).hidden_states
    real = batch.attention_mask.bool()
    assert batch.padded
    assert found[0] == pytest.approx(float(states[1].norm(dim=-1)[real].median()), rel=1e-5)


def test_the_update_of_adapters_is_that_of_the_merged_model(tmp_path: Path) -> None:
    loaded = tiny_loaded()
    save(loaded.model, loaded.tokenizer, tmp_path / "base", None)
    wrapper = add_adapters(loaded.model, loaded.anatomy, 2, 4.0, seed=1)
    with torch.no_grad():
        for name, parameter in wrapper.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
    alone = update_of_adapters(wrapper)
    whole = update_of(merged(wrapper), tmp_path / "base")
    assert alone.norm == pytest.approx(whole.norm, rel=1e-4) and alone.norm > 0.1
    assert alone.base == pytest.approx(whole.base, rel=1e-6) and 0 < alone.relative < 1


FAMILIES = {
    "rmu": {"max_steps": 10}, "rr": {"max_steps": 20}, "ga": {"max_steps": 60}, "npo": {"max_steps": 60},
    "max_update": {"max_steps": 60},
}  # fmt: skip
"""One method of each family, and how many steps of its preset are enough to see it."""


def made(outdir: Path, method: str, **changes: Any) -> Path:
    flags = {"model": BASE, "method": method, "preset": "laboratory", "device": "cpu", "outdir": str(outdir)}
    chosen = unlearning_plan.plan(flags | changes)
    return unlearning.make_model(chosen, lambda _: None)


@pytest.mark.parametrize("method", FAMILIES)
def test_a_tiny_learning_rate_unlearns_nothing_and_says_so(method: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "none", method, lr=1e-8, max_steps=5)
    summary, lines = read_summary(folder), " ".join(terminal.describe(folder))
    assert summary["nothing_unlearned"] is True and not summary["collapsed"]
    assert 0 < summary["update_share"] < 1e-4 and summary["forget_answers_lost"] <= 1
    assert set(summary["gradient_norms"]) == {"first", "last"}
    assert (
        "nothing was unlearned: forget texts" in lines and "a higher --lr (it is 1e-08) or more steps (now 5)" in lines
    )
    folder = made(tmp_path / "preset", method, **FAMILIES[method])
    summary, lines = read_summary(folder), " ".join(terminal.describe(folder))
    assert summary["nothing_unlearned"] is False and "last" not in summary["gradient_norms"]
    assert "nothing was unlearned" not in lines and summary["update_share"] > 0.01
    assert summary["accuracy_t"] <= summary["accuracy_t_before"]


def test_a_target_shorter_than_the_states_is_said(tmp_path: Path) -> None:
    lines = terminal.describe(made(tmp_path, "rmu", lr=1e-7, max_steps=5, steering_coeff=2.0))
    told = next(line for line in lines if "hidden states" in line)
    assert "at layer 1" in told and "their target (--steering-coeff) is 2 long, 0.0" in told
    assert any("gradient norms: forget" in line and "retain 0 at the first step" in line for line in lines)


def test_what_is_asked_later_is_judged_like_what_is_asked_at_once(tmp_path: Path) -> None:
    folder = made(tmp_path, "rmu", lr=1e-7, max_steps=5, no_eval=True)
    first = read_summary(folder)
    assert first["nothing_unlearned"] is True and "accuracy_t" not in first
    made(tmp_path, "rmu", lr=1e-7, max_steps=5)
    later, at_once = read_summary(folder), read_summary(made(tmp_path / "other", "rmu", lr=1e-7, max_steps=5))
    assert later == at_once and later["accuracy_t_before"] == later["accuracy_t"]


def probed(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    given = ["--model", BASE, "--preset", "laboratory", "--device", "cpu", "--outdir", "models", "--probe"]
    with pytest.raises(SystemExit) as ended:
        main("unlearn", [*given, *flags])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_probe_says_what_a_run_will_do_and_writes_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    lines = probed(capsys, "--method", "rmu", "--lr", "1e-6", "--steering-coeff", "2")
    assert lines.startswith("5 of 100 steps taken, nothing written\n")
    assert f"outlook: {shown.OUTLOOKS[Outlook.NOTHING]}" in lines and "or more steps (now 100)" in lines
    assert "gradient norms: forget" in lines and "after 5, on the same texts" in lines and " 2 long, 0.0" in lines
    lines = probed(capsys, "--method", "rmu")
    assert f"outlook: {shown.OUTLOOKS[Outlook.UNDER_WAY]}" in lines and "to try" not in lines
    lines = probed(capsys, "--method", "ga_simple", "--lr", "1000", "--max-steps", "3")
    assert f"outlook: {shown.OUTLOOKS[Outlook.TOO_FAST]}" in lines and "a lower --lr (it is 1000)" in lines
    lines = probed(capsys, "--method", "rmu", "--eval-split", "0", "--no-eval")
    assert "was not measured" in lines and "nan" not in lines
    assert list(tmp_path.iterdir()) == []


def test_a_probe_of_adapters_measures_what_they_add(tmp_path: Path) -> None:
    from brittle.runs import probe

    flags = {
        "model": BASE,
        "method": "npo",
        "preset": "laboratory",
        "device": "cpu",
        "outdir": str(tmp_path),
        "lora_rank": 4,
    }
    summary, walked = probe.probe(unlearning_plan.plan(flags | {"max_steps": 5, "no_eval": True}))
    assert max(walked.moved) <= summary["update_norm"] <= math.fsum(walked.moved) * (1 + 1e-6)
    assert walked.way == pytest.approx(1.0) and not list(tmp_path.iterdir())


def test_the_first_steps_of_a_probe_are_those_of_the_run(tmp_path, monkeypatch) -> None:
    from brittle.runs import probe

    flags = {
        "model": BASE,
        "method": "npo",
        "preset": "laboratory",
        "device": "cpu",
        "outdir": str(tmp_path),
        "max_steps": 3,
    }
    chosen = unlearning_plan.plan(flags)
    summary, walked = probe.probe(chosen)
    whole = read_summary(unlearning.make_model(chosen, lambda _: None))
    assert len(walked.moved) == walked.steps == 3 and walked.way == pytest.approx(1.0)
    for name in ("forget_nll", "retain_nll", "accuracy_v", "update_norm"):
        assert summary[name] == whole[name]
    assert summary["gradient_norms"]["first"] == whole["gradient_norms"]["first"]


def test_what_never_left_does_not_come_back() -> None:
    chance = ChanceTest(1.0, 0.001, 0.25, 0.2, 0.3, 24, 0.001, "texts")
    control = ChanceTest(0.25, 0.5, 0.25, 0.2, 0.3, 24, 0.001, "texts")
    row = MatchedRecovery(
        "relearning", "m", "unlearned", 1, 1, 5, 1.0, first_v=0.3, v=estimate([0.9]), chance=chance, excess=0.9,
        best_excess=0.9, first_excess=0.1,
    )  # fmt: skip
    filtered = MatchedRecovery("relearning", "f", "filtered", 1, 1, 5, 1.0, v=estimate([0.25]), chance=control)
    assert at_matched_t(row, filtered) is AtMatchedT.CAME_BACK
    same = {"first_v": 0.9, "first_excess": 0.9}
    assert at_matched_t(dataclasses.replace(row, **same), filtered) is AtMatchedT.NOT_REMOVED
    later = dataclasses.replace(row, excess=0.4, **same)
    assert at_matched_t(later, filtered) is AtMatchedT.NOT_REMOVED
