"""What a step reads of a model: likelihoods, hidden states, the latent adversary, the states before training."""

from __future__ import annotations

import pytest
import torch
from tiny_loaded import RELATIVES, tiny_loaded
from tiny_models import ARCHITECTURES, TEXTS, tiny_tokenizer

from brittle.training.adversary import helpful_perturbation
from brittle.training.batches import Example, collate, tokenise
from brittle.training.loop import totals_of
from brittle.training.reference import reference_states
from brittle.training.step import HEAD, Step
from brittle.training.terms import divergence_from_reference

UNEQUAL = ["A fox.", *TEXTS, "The river"]  # in a batch of two, the first row is padded, not the last
EXAMPLES = tokenise(tiny_tokenizer(), UNEQUAL, 32)
DEPTH = 3


@pytest.fixture(params=["gpt_neox", "llama"])
def loaded(request):
    return tiny_loaded(request.param, num_hidden_layers=DEPTH)


def step_of(loaded, kind=Step, **details) -> Step:
    batches = {"forget": collate(EXAMPLES, range(len(EXAMPLES)), 0)}
    return kind(loaded.model, batches, totals_of([batches]), anatomy=loaded.anatomy, **details)


@torch.no_grad()
def likelihood_of(step: Step) -> float:
    return float(step.negative_log_likelihood("forget"))


@pytest.fixture
def unread(loaded):
    """Fails the test if the model runs a block deeper than the second, or its unembedding."""

    def refuse(*_):
        raise AssertionError("a deeper part of the model was run")

    deeper = [*loaded.anatomy.blocks(loaded.model)[2:], loaded.anatomy.unembedding(loaded.model)]
    handles = [module.register_forward_pre_hook(refuse) for module in deeper]
    yield
    for handle in handles:
        handle.remove()


def test_likelihood_is_what_transformers_computes(loaded) -> None:
    step = step_of(loaded)
    batch = step.batches["forget"]
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    expected = loaded.model(batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
    torch.testing.assert_close(step.negative_log_likelihood("forget"), expected)


def test_hidden_states_are_the_outputs_of_the_blocks(loaded) -> None:
    step = step_of(loaded)
    batch = step.batches["forget"]
    full = loaded.model(batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True)
    found = step.hidden_states("forget", [1, 0])
    for layer in (0, 1):  # entry 0 of transformers' tuple is the embedding; its last entry has passed the final norm
        torch.testing.assert_close(found[layer], full.hidden_states[layer + 1])


def test_the_forward_pass_ends_at_the_deepest_block_read(loaded, unread) -> None:
    assert sorted(step_of(loaded).hidden_states("forget", [0, 1])) == [0, 1]


def test_reading_leaves_no_hook_behind(loaded) -> None:
    step = step_of(loaded)
    step.hidden_states("forget", [0, 1])
    with step.perturbed(1, torch.zeros(1)):
        step.hidden_states("forget", [1])
    assert all(not module._forward_hooks for module in loaded.anatomy.blocks(loaded.model))


def test_a_perturbation_is_part_of_the_block_it_enters_and_of_all_deeper_ones(loaded) -> None:
    step = step_of(loaded)
    clean = step.hidden_states("forget", [0, 1, 2])
    perturbation = torch.randn(clean[1].shape, generator=torch.Generator().manual_seed(0))
    with step.perturbed(1, perturbation):
        changed = step.hidden_states("forget", [0, 1, 2])
    assert torch.equal(changed[0], clean[0])
    torch.testing.assert_close(changed[1], clean[1] + perturbation)
    assert float((changed[2] - clean[2] - perturbation).detach().abs().max()) > 0.1


def test_token_mean_skips_padding_and_counts_the_whole_optimizer_step() -> None:
    short = [Example(tokens, (False,) + (True,) * (len(tokens) - 1)) for tokens in ((5, 6), (7, 8, 9))]
    batches = {"forget": collate(short, [0, 1], 0)}
    step = Step(torch.nn.Identity(), batches, totals_of([batches, batches]))
    values = torch.tensor([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0]])
    # The 9 stands on padding: 1 + 2 + 3 + 4 + 5 = 15, over the 5 + 5 tokens of two micro-batches.
    assert float(step.token_mean("forget", values)) == pytest.approx(1.5)


def test_random_directions_are_unit_vectors_that_depend_on_seed_and_layer_alone(loaded) -> None:
    first, again, other = step_of(loaded, seed=1), step_of(loaded, seed=1, number=5), step_of(loaded, seed=2)
    direction = first.random_direction(0)
    assert float(direction.norm()) == pytest.approx(1)
    assert torch.equal(direction, again.random_direction(0))
    for different in (first.random_direction(1), other.random_direction(0)):
        assert float((direction - different).norm()) > 0.1
    positive = first.positive_direction(0)
    assert float(positive.norm()) == pytest.approx(1) and bool((positive >= 0).all())
    assert torch.equal(positive, again.positive_direction(0)) and not torch.equal(positive, other.positive_direction(0))


# --- the latent adversary --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_adversary_helps_the_model_to_recall(loaded, layer, steps) -> None:
    step = step_of(loaded)
    clean = likelihood_of(step)
    with step.perturbed(layer, helpful_perturbation(step, layer, 0.02, steps)):
        helped = likelihood_of(step)
    with step.perturbed(layer, 0.02 * random_signs(step)):
        by_chance = likelihood_of(step)
    assert helped < clean - 2 * abs(by_chance - clean)


def random_signs(step) -> torch.Tensor:
    shape = (*step.batches["forget"].input_ids.shape, step.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).sign()


def test_more_steps_of_the_adversary_help_more(loaded) -> None:
    step, losses = step_of(loaded), []
    for steps in (1, 10):
        with step.perturbed(1, helpful_perturbation(step, 1, 0.3, steps)):
            losses.append(likelihood_of(step))
    assert losses[1] < losses[0]


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_every_step_of_the_adversary_is_shorter_than_the_radius(loaded, steps) -> None:
    tried, losses = [], []

    class Watched(Step):
        def perturbed(self, layer, perturbation):
            tried.append(perturbation.detach().clone())
            return super().perturbed(layer, perturbation)

        def negative_log_likelihood(self, split):
            loss = super().negative_log_likelihood(split)
            losses.append(float(loss.detach()))
            return loss

    step = step_of(loaded, kind=Watched)
    tried.append(helpful_perturbation(step, 1, 0.05, steps))
    with step.perturbed(1, tried[-1]):
        step.negative_log_likelihood("forget")
    lengths = [float((after - before).abs().max()) for before, after in zip(tried, tried[1:])]
    assert len(losses) == steps + 1  # before the first step, and after each
    assert 0 < max(lengths) < 0.05
    assert losses[-1] == min(losses) < losses[0]


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_adversary_stays_within_its_radius(loaded, steps) -> None:
    perturbation = helpful_perturbation(step_of(loaded), 1, 0.1, steps)
    largest = float(perturbation.abs().max())
    # One step is half the radius; with two or more the radius can be reached, and then it holds.
    assert largest == pytest.approx(0.05 if steps == 1 else 0.1)
    assert not perturbation.requires_grad


@pytest.mark.parametrize("steps", [1, 3])
def test_a_relative_radius_goes_by_the_size_of_each_tokens_state(loaded, steps) -> None:
    step, share = step_of(loaded), 0.5 if steps == 1 else 1.0
    states = step.hidden_states_alone("forget", 1).detach()
    real = step.batches["forget"].attention_mask.bool()[:, :-1]  # the last token predicts nothing
    sizes = states.square().mean(-1).sqrt()
    found = helpful_perturbation(step, 1, 0.1, steps, relative=True).abs().amax(-1)
    assert bool((found <= 0.1 * sizes * (1 + 1e-5)).all())
    torch.testing.assert_close(found[:, :-1][real][:2], 0.1 * share * sizes[:, :-1][real][:2])
    found = helpful_perturbation(step, 1, 0.1, steps, relative=True, per_token=True).norm(dim=-1)
    assert bool((found <= 0.1 * states.norm(dim=-1) * (1 + 1e-5)).all())
    found = helpful_perturbation(step, 1, 0.3, steps, per_token=True).norm(dim=-1)
    assert float(found.max()) == pytest.approx(0.3 * share, rel=1e-4)


def test_the_ball_lowers_the_loss_and_the_adversary_of_retain_texts_raises_theirs(loaded) -> None:
    step = step_of(loaded)
    clean = likelihood_of(step)
    for raises in (False, True):
        with step.perturbed(1, helpful_perturbation(step, 1, 0.2, 4, per_token=True, raises=raises)):
            assert (likelihood_of(step) > clean) is raises


def test_an_adversary_that_does_not_help_is_remarked_on_once(loaded, capsys) -> None:
    class Stubborn(Step):
        """Nothing is better than no perturbation."""

        def perturbed(self, layer, perturbation):
            self.added = perturbation
            return super().perturbed(layer, perturbation)

        def negative_log_likelihood(self, split):
            return 2.0 + self.added.square().sum()

    step = step_of(loaded, remarks={})
    helpful_perturbation(step, 1, 0.02, 3)
    assert step.remarks == {}
    step = step_of(loaded, kind=Stubborn, remarks={})
    for steps in (1, 3):
        helpful_perturbation(step, 1, 0.1, steps)
    assert step.remarks == {"the latent adversary did not lower the forget loss": 2}
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("step 1: the latent adversary did not lower the forget loss") == 1
    assert "change --lat-eps (see --lat-radius)" in said


def test_the_adversary_leaves_the_model_alone(loaded) -> None:
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    helpful_perturbation(step_of(loaded), 1, 0.1, 3)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())
    assert all(torch.equal(before[name], value) for name, value in loaded.model.state_dict().items())


def test_the_adversary_gains_nothing_on_padding(loaded) -> None:
    step = step_of(loaded)
    padding = step.batches["forget"].attention_mask == 0
    assert padding.any()
    assert not helpful_perturbation(step, 1, 0.1, 3)[padding].any()


# --- the states before training --------------------------------------------------------------------------------------


@pytest.fixture
def cached(loaded, tmp_path, monkeypatch):
    """Builds reference states of the examples in a cache of this test's own; two examples a batch, so widths differ."""
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))

    def build(examples=EXAMPLES, layers=(0, 1), digest="untouched"):
        return reference_states(
            loaded.model, loaded.anatomy, {"retain": examples}, layers,
            digest=digest, padding=0, device="cpu", batch_size=2,
        )  # fmt: skip

    return build


def spoil(model) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)


def retain_batch(positions):
    return collate(EXAMPLES, positions, 0)


def test_reference_states_are_those_of_the_untouched_model(loaded, cached) -> None:
    batch = retain_batch([4, 1, 0, 2])  # neither the order nor the neighbours in which they were computed
    step = Step(loaded.model, {"retain": batch}, totals_of([{"retain": batch}]), anatomy=loaded.anatomy)
    with torch.no_grad():
        expected = step.hidden_states("retain", [0, 1])
    states = cached()
    spoil(loaded.model)
    for layer in (0, 1):
        masked = expected[layer] * batch.attention_mask[..., None]
        torch.testing.assert_close(states("retain", batch, layer), masked, atol=1e-5, rtol=1e-4)


def test_reference_states_are_computed_once(loaded, cached) -> None:
    batch = retain_batch([1, 3])
    first = cached()("retain", batch, 1)
    spoil(loaded.model)
    assert torch.equal(cached()("retain", batch, 1), first)


@pytest.mark.parametrize("change", [{"digest": "spoiled"}, {"examples": EXAMPLES[:4]}, {"layers": (1,)}])
def test_another_model_other_examples_or_layers_are_another_cache(loaded, cached, change) -> None:
    batch = retain_batch([1, 3])
    first = cached()("retain", batch, 1)
    spoil(loaded.model)
    assert not torch.allclose(cached(**change)("retain", batch, 1), first)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *RELATIVES])
def test_reference_logits_are_those_of_the_untouched_model(architecture, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))
    loaded = tiny_loaded(architecture)
    with torch.no_grad():
        loaded.anatomy.unembedding(loaded.model).weight *= 10  # logits large enough to feel a cap
    states = reference_states(
        loaded.model, loaded.anatomy, {"forget": EXAMPLES}, [HEAD], digest=architecture, padding=0, device="cpu"
    )
    step = step_of(loaded, reference=states)
    real = step.batches["forget"].attention_mask.bool()
    torch.testing.assert_close(
        step.reference_logits("forget")[real], step.forward("forget")[real], rtol=1e-4, atol=1e-3
    )
    assert float(divergence_from_reference(step, "forget").detach()) == pytest.approx(0, abs=1e-5)
