"""Attacks that teach nothing: each against weights worked out by hand, and against arms whose answer is known."""

from __future__ import annotations

import copy
from dataclasses import replace

import pandas
import pytest
import torch
from tiny_loaded import tiny_loaded

from brittle.attacks import direction_removal, few_shot, magnitude_pruning, quantization, update_rescaling, weight_noise
from brittle.contracts import AttackTarget, Evaluation
from brittle.mathematics.quantisation import four_bit_codes, round_to_nearest
from brittle.models.reweighting import all_parameters, block_matrices
from brittle.results.at_matched_t import Estimate
from brittle.results.at_strongest import strongest

SWEEPS = (weight_noise, quantization, magnitude_pruning, update_rescaling, direction_removal)


class Watched:
    """A target that keeps a copy of the weights at every evaluation."""

    def __init__(self, architecture: str = "gpt_neox") -> None:
        self.seen: list[dict[str, torch.Tensor]] = []
        self.prefixes: list[str] = []
        self.loaded, self.base = tiny_loaded(architecture, seed=1), tiny_loaded(architecture, seed=0)
        self.before = self.weights()
        self.target = AttackTarget(self.loaded, (), self.evaluate, tuple("abcdef"), self.base)

    def weights(self) -> dict[str, torch.Tensor]:
        return copy.deepcopy(all_parameters(self.loaded))

    def evaluate(self, step: int, examples_seen: int, strength: float = 0.0, prefix: str = "") -> Evaluation:
        self.seen.append(self.weights())
        self.prefixes.append(prefix)
        return Evaluation(step, examples_seen, {}, {}, strength)

    def run(self, module, seed: int = 0, **settings) -> list[Evaluation]:
        return module.attack(module.Settings(**settings), self.target, seed, lambda _: None)


@pytest.mark.parametrize("module", SWEEPS, ids=lambda module: module.NAME)
@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "gemma"])
def test_a_sweep_starts_from_the_models_own_weights_and_gives_them_back(module, architecture) -> None:
    watched = Watched(architecture)
    strengths = getattr(module.Settings(), module.STRENGTHS)
    evaluations = watched.run(module)
    assert [evaluation.strength for evaluation in evaluations] == [0, *strengths]
    assert [evaluation.step for evaluation in evaluations] == list(range(len(strengths) + 1))
    for weights in (watched.seen[0], watched.weights()):
        assert all(torch.equal(weights[name], watched.before[name]) for name in weights)
    again = Watched(architecture)
    again.run(module, **{module.STRENGTHS: strengths[-1:]})
    for name, weight in again.seen[-1].items():  # one strength alone gives what it gives after others
        assert torch.allclose(weight, watched.seen[-1][name], atol=1e-6)
    assert any(not torch.equal(watched.seen[-1][name], watched.before[name]) for name in watched.before)


def matrices(watched: Watched) -> dict[str, torch.Tensor]:
    return {name: watched.before[name] for name in block_matrices(watched.loaded)}


def test_noise_is_relative_to_the_matrix_and_the_same_for_a_seed() -> None:
    watched = Watched()
    watched.run(weight_noise, noise_levels=(0.1, 0.2))
    for name, before in matrices(watched).items():
        one, two = (watched.seen[step][name] - before for step in (1, 2))
        assert torch.allclose(two, 2 * one, atol=1e-6)
        ratio = float(one.norm() / before.norm())
        assert ratio == pytest.approx(0.1, rel=5 / before.numel() ** 0.5)
    other = Watched()
    other.run(weight_noise, seed=1, noise_levels=(0.1,))
    assert not torch.equal(other.seen[1][name], watched.seen[1][name])


def test_rounding_by_hand_and_against_the_codes() -> None:
    matrix = torch.tensor([[0.7, 0.26, -0.04], [0.0, 0.0, 0.0], [-2.0, 0.9, 0.5]])
    assert torch.allclose(round_to_nearest(matrix, 4)[0], torch.tensor([0.7, 0.3, 0.0]), atol=1e-6)
    assert torch.allclose(round_to_nearest(matrix, 2)[2], torch.tensor([-2.0, 0.0, 0.0]))
    assert not round_to_nearest(matrix, 8)[1].any()
    assert torch.allclose(round_to_nearest(3 * matrix, 4), 3 * round_to_nearest(matrix, 4))
    scale = matrix.abs().amax(dim=1, keepdim=True) / 7
    assert torch.allclose(round_to_nearest(matrix, 4), four_bit_codes(matrix) * scale)
    with pytest.raises(ValueError, match="2 to 8"):
        round_to_nearest(matrix, 9)


def test_pruning_cuts_the_smallest_and_no_other() -> None:
    watched = Watched()
    watched.run(magnitude_pruning, pruned_shares=(0.25,))
    for name, before in matrices(watched).items():
        after = watched.seen[1][name]
        cut = after == 0
        assert int(cut.sum()) == round(0.25 * before.numel())
        assert torch.equal(after[~cut], before[~cut])
        assert before[cut].abs().max() <= before[~cut].abs().min()


def test_rescaling_reaches_the_base_and_goes_beyond() -> None:
    watched = Watched()
    watched.run(update_rescaling, kept_shares=(0.0, 1.0, 1.5))
    for name, base in all_parameters(watched.base).items():
        before = watched.before[name]
        assert torch.allclose(watched.seen[1][name], base, atol=1e-7)
        assert torch.allclose(watched.seen[2][name], before, atol=1e-7)
        assert torch.allclose(watched.seen[3][name] - base, 1.5 * (before - base), atol=1e-6)


def test_taking_out_the_rank_of_an_update_gives_the_base_back() -> None:
    watched = Watched("gpt2")
    parameters, base = block_matrices(watched.loaded), block_matrices(watched.base)
    for name, parameter in parameters.items():
        left, right = torch.randn(parameter.shape[0], 2), torch.randn(2, parameter.shape[1])
        parameter.copy_(base[name] + left @ right)
    watched.run(direction_removal, directions=(1, 2))
    for name, before in block_matrices(watched.base).items():
        one, two = (watched.seen[step][name].T - before for step in (1, 2))  # stored the other way round
        assert torch.linalg.matrix_rank(one, rtol=1e-3) == 1
        assert float(two.norm()) < 1e-4 * float(before.norm()) + 1e-4


def test_fewer_examples_are_among_more_and_seeds_draw_others() -> None:
    watched, other = Watched(), Watched()
    watched.run(few_shot, shots=(1, 3))
    assert watched.prefixes[0] == ""
    assert watched.prefixes[2].startswith(watched.prefixes[1]) and watched.prefixes[2].count("\n") == 3
    other.run(few_shot, seed=5, shots=(3,))
    assert other.prefixes[1] != watched.prefixes[2]


# --- what is read of it --------------------------------------------------------------------------------------------


def points(**models: list[tuple[float, float, float]]) -> pandas.DataFrame:
    """Two seeds that agree; accuracies on T, V and benign questions by step."""
    rows = [
        {"model": name, "role": name if name in ("base", "filtered") else "unlearned", "attack": "weight_noise",
         "seed": seed, "step": step, "accuracy_t": t, "accuracy_v": v, "accuracy_retain": retain, "strength": step / 10}
        for name, steps in models.items() for seed in (1, 2) for step, (t, v, retain) in enumerate(steps)
    ]  # fmt: skip
    return pandas.DataFrame(rows)


def test_the_strongest_that_leaves_benign_answers_alone() -> None:
    table = points(
        base=[(1.0, 0.9, 1.0), (0.8, 0.8, 0.9)],
        filtered=[(0.25, 0.25, 1.0), (0.3, 0.2, 0.99)],
        hidden=[(0.3, 0.3, 1.0), (0.6, 0.6, 0.96), (0.9, 0.9, 0.9)],
        gone=[(0.2, 0.3, 1.0), (0.1, 0.2, 1.0)],
    )
    base, filtered, hidden, gone = strongest(table)
    assert (hidden.before, hidden.after.mean, hidden.strength) == (0.3, 0.6, 0.1)
    assert hidden.retain == 0.96
    assert hidden.excess == pytest.approx((0.6 - 0.25) / (0.95 - 0.25))
    assert (gone.strength, gone.after) == (0.0, Estimate(0.25, 0.25, 0.25))  # not attacking was best
    assert (filtered.excess, gone.excess, base.excess) == (0, 0, 1)
    assert strongest(table, epsilon=0.2)[2].after.mean == 0.9


def test_few_shot_counts_v_alone_and_without_references_there_is_no_scale() -> None:
    table = points(hidden=[(0.2, 0.2, 1.0), (0.9, 0.4, 1.0)])
    (row,) = strongest(table.assign(attack="few_shot"))
    assert row.after.mean == pytest.approx(0.4)
    assert row.excess is None
    assert replace(row, excess=None) == row
