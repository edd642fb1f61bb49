"""The sensitivity pass against linear maps whose Jacobian is known, and against transformers' own outputs."""

from __future__ import annotations

import copy
import dataclasses
import math
import types

import pytest
import torch
from tiny_loaded import RELATIVES, tiny_loaded
from tiny_models import ARCHITECTURES
from torch import nn

from brittle.models import perturbation
from brittle.models.sensitivity import in_float32, observe_sensitivity
from brittle.settings import BadInput

TEXTS = ["The quick brown fox jumps over the lazy dog.", "A fox.", "", "The amber resin is stored in the cellar."]
WIDTH = 8
PLAN = perturbation.Plan(0.01, (1, 2), 500, 100, 3, 100, 4, 100, 8, 64)


class Linear(nn.Module):
    """Logits = hidden = J e on every token: a model whose Lipschitz constant is the largest singular value of J."""

    def __init__(self, jacobian: torch.Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, WIDTH)
        self.jacobian, self.head = jacobian, nn.Linear(WIDTH, WIDTH, bias=False)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(0)))
            self.head.weight.copy_(torch.eye(WIDTH))

    def forward(self, inputs_embeds, use_cache):
        return types.SimpleNamespace(logits=self.head(inputs_embeds @ self.jacobian.T))


def linear(jacobian):
    model = Linear(jacobian)
    anatomy = types.SimpleNamespace(embeddings=lambda m: m.embedding, unembedding=lambda m: m.head)
    return types.SimpleNamespace(model=model, anatomy=anatomy, device="cpu", name="linear", digest="linear")


TOKENS = [3, 1, 4, 1, 5, 7, 2, 6]


class Collector:
    def __init__(self):
        self.seen = {}

    def update(self, observation):
        self.seen[observation.split, observation.text_index] = observation


def collect(model_a, model_b=None, texts=TEXTS, **changes):
    collector = Collector()
    observe_sensitivity(model_a, model_b, {"forget": texts}, [collector], dataclasses.replace(PLAN, **changes))
    return collector.seen


def same(left, right, tolerance=2e-6):
    for field in dataclasses.fields(left):
        one, other = (torch.as_tensor(getattr(side, field.name)) for side in (left, right))
        torch.testing.assert_close(one, other, rtol=tolerance, atol=0, equal_nan=True, msg=field.name)


@pytest.mark.parametrize("factor", [0.5, 3.0])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 1.0])
def test_an_isotropic_map_has_exactly_its_factor_at_every_noise(factor, epsilon):
    plan = dataclasses.replace(PLAN, epsilon=epsilon)
    found = perturbation.respond(linear(factor * torch.eye(WIDTH)), TOKENS, 0, plan)
    for change in (found.hidden_change, found.logit_change):
        torch.testing.assert_close(change / found.noise, torch.full((2, 4), factor).double(), rtol=1e-4, atol=0)
    assert found.noise.mean() == pytest.approx(epsilon * math.sqrt(len(TOKENS) * WIDTH), rel=0.15)


def test_any_linear_map_stays_below_its_largest_singular_value_and_does_not_depend_on_the_noise():
    jacobian = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(3))
    small, large = (
        perturbation.respond(linear(jacobian), TOKENS, 0, dataclasses.replace(PLAN, epsilon=e)) for e in (0.01, 0.1)
    )
    ratios = small.hidden_change / small.noise
    assert (ratios <= torch.linalg.matrix_norm(jacobian.double(), 2)).all()
    # E‖Jδ‖² = ‖J‖_F² ε² per token
    assert ratios.mean() == pytest.approx(float(jacobian.norm()) / math.sqrt(WIDTH), rel=0.15)
    torch.testing.assert_close(large.hidden_change / large.noise, ratios, rtol=1e-4, atol=0)
    torch.testing.assert_close(large.variance / small.variance, torch.full((2,), 100.0).double(), rtol=1e-3, atol=0)


def test_variance_and_gradient_of_a_linear_map_are_the_formulas():
    jacobian = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(3))
    loaded, plan = linear(jacobian), dataclasses.replace(PLAN, epsilon=0.1)
    found = perturbation.respond(loaded, TOKENS, 0, plan)
    for seed, variance in zip(plan.seeds, found.variance):
        noise = torch.stack([perturbation.noise_of(TOKENS, seed, number, WIDTH) for number in range(4)]).double()
        changes = 0.1 * noise @ jacobian.double().T
        assert float(variance) == pytest.approx(float(changes.var(dim=0).mean()), rel=1e-5)
    mean = jacobian.double().sum(0).norm() / WIDTH / math.sqrt(len(TOKENS))  # each token: (1/TV) Σ_v J_v
    assert found.gradient == pytest.approx(float(mean), rel=1e-5)
    assert found.embedding == pytest.approx(float(loaded.model.embedding.weight[TOKENS].detach().double().norm()))


def test_likelihood_gradient_is_softmax_less_target_through_the_jacobian():
    jacobian = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(4))
    loaded, tokens = linear(jacobian), [3, 1, 4, 2]
    found = perturbation.respond(loaded, tokens, 0, PLAN)
    error = (loaded.model.embedding.weight[tokens[:-1]].detach().double() @ jacobian.double().T).softmax(-1)
    error[range(3), tokens[1:]] -= 1
    assert found.likelihood_gradient == pytest.approx(float((error / 3 @ jacobian.double()).norm()), rel=1e-5)
    alone = perturbation.respond(loaded, tokens[:1], 0, PLAN)
    assert math.isnan(alone.likelihood_gradient)
    assert math.isfinite(alone.gradient)


def test_divergence_over_squared_noise_tends_to_half_the_trace_of_the_fisher_information():
    jacobian = 0.7 * torch.eye(WIDTH)
    loaded, seeds = linear(jacobian), tuple(range(150))
    plan = dataclasses.replace(PLAN, seeds=seeds, epsilon=0.003)
    found = perturbation.respond(loaded, TOKENS[:5], 0, plan)
    probabilities = (loaded.model.embedding.weight[TOKENS[:5]].detach().double() @ jacobian.double()).softmax(-1)
    trace = 0.7**2 * (1 - probabilities.square().sum(-1))  # tr(diag p − p pᵀ) through 0.7·I
    assert (found.divergence >= 0).all()
    assert found.divergence.mean() / 0.003**2 == pytest.approx(float(trace.mean()) / 2, rel=0.03)


def test_divergence_is_what_double_precision_says():
    clean, noisy = (torch.randn(5, 30, generator=torch.Generator().manual_seed(s)).log_softmax(-1) for s in (1, 2))
    expected = torch.nn.functional.kl_div(noisy.double(), clean.double(), log_target=True, reduction="sum") / 5
    assert perturbation._divergence(clean, noisy) == pytest.approx(float(expected), rel=1e-5)
    assert perturbation._divergence(clean, clean) == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES + RELATIVES)
def test_every_architecture_answers_as_transformers_does(architecture):
    loaded = tiny_loaded(architecture)
    tokens = loaded.tokenizer(TEXTS[0])["input_ids"]
    found = perturbation.respond(loaded, tokens, 0, PLAN)
    input_ids = torch.tensor([tokens])
    handle = loaded.anatomy.embeddings(loaded.model).register_forward_hook(
        lambda _module, _inputs, output: output + PLAN.epsilon * perturbation.noise_of(tokens, 2, 3, output.shape[-1])
    )
    with torch.no_grad():
        noisy = loaded.model(input_ids, output_hidden_states=True)
        handle.remove()
        clean = loaded.model(input_ids, output_hidden_states=True)
    hidden = (noisy.hidden_states[-1] - clean.hidden_states[-1]).norm()
    assert found.logit_change[1, 3] == pytest.approx(float((noisy.logits - clean.logits).norm()), rel=1e-3)
    assert found.hidden_change[1, 3] == pytest.approx(float(hidden), rel=1e-3)
    for value in dataclasses.astuple(found):
        assert (torch.as_tensor(value) > 0).all()
        assert torch.isfinite(torch.as_tensor(value)).all()


def test_batches_other_texts_and_their_order_change_nothing():
    loaded = tiny_loaded()
    expected = collect(loaded, batch_size=8)
    assert expected.keys() == {("forget", 0), ("forget", 1), ("forget", 3)}
    for key, observation in collect(loaded, batch_size=1).items():
        same(observation.a, expected[key].a, 1e-5)
    for (_, index), observation in collect(loaded, texts=TEXTS[::-1]).items():
        same(observation.a, expected["forget", 3 - index].a, 0)


def test_both_models_get_the_same_noise_and_another_seed_gets_another():
    loaded, other = tiny_loaded(), tiny_loaded(seed=1)
    observation = collect(loaded, other)["forget", 0]
    torch.testing.assert_close(observation.a.noise, observation.b.noise, rtol=1e-4, atol=0)
    assert (observation.model_a, observation.model_b) == (loaded.name, other.name)
    assert not torch.allclose(observation.a.logit_change[0], observation.a.logit_change[1], rtol=1e-3)
    alone = collect(loaded, seeds=(2,))["forget", 0].a
    torch.testing.assert_close(alone.logit_change[0], observation.a.logit_change[1], rtol=0, atol=0)
    assert collect(loaded)["forget", 0].b is None


def test_equal_models_respond_equally_bit_for_bit():
    observation = collect(tiny_loaded(), dataclasses.replace(tiny_loaded(), digest="a copy"))["forget", 0]
    same(observation.a, observation.b, 0)


def test_what_is_known_is_not_computed_again():
    loaded, known = tiny_loaded(), {}
    first, second = Collector(), Collector()
    observe_sensitivity(loaded, None, {"forget": TEXTS}, [first], PLAN, known)
    assert len(known) == 3
    observe_sensitivity(dataclasses.replace(loaded, model=None), None, {"forget": TEXTS}, [second], PLAN, known)
    assert all(second.seen[key].a is observation.a for key, observation in first.seen.items())


def test_the_plan_says_what_is_measured_on_which_text():
    found = collect(
        tiny_loaded(), lipschitz_texts=2, variance_texts=1, gradient_texts=4, lipschitz_perturbations=3,
        num_perturbations=5, max_samples=4,
    )  # fmt: skip
    assert [each.a.noise.shape[1] for each in found.values()] == [5, 3, 0]
    assert [bool(each.a.variance.isnan().any()) for each in found.values()] == [False, True, True]
    assert all(math.isfinite(each.a.gradient) for each in found.values())
    fewer = collect(tiny_loaded(), gradient_texts=1, max_samples=2)
    assert [math.isnan(each.a.gradient) for each in fewer.values()] == [False, True]
    same_copies = collect(tiny_loaded(), lipschitz_perturbations=3, variance_texts=0)["forget", 0].a
    torch.testing.assert_close(same_copies.noise, found["forget", 0].a.noise[:, :3], rtol=0, atol=0)


def test_half_precision_is_measured_in_float32_and_comes_back_bit_for_bit():
    loaded = tiny_loaded()
    half = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model).bfloat16(), digest="half")
    rounded = dataclasses.replace(loaded, model=copy.deepcopy(half.model).float(), digest="rounded")
    before = {name: tensor.clone() for name, tensor in half.model.state_dict().items()}
    observation = collect(half, rounded)["forget", 0]
    torch.testing.assert_close(observation.a.logit_change, observation.b.logit_change, rtol=1e-3, atol=0)
    for name, tensor in half.model.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, before[name]), name
    assert all(parameter.requires_grad for parameter in half.model.parameters())


def test_an_error_inside_gives_the_model_back():
    model = tiny_loaded().model.bfloat16()
    with pytest.raises(RuntimeError, match="inside"), in_float32(model):
        assert model.dtype == torch.float32
        raise RuntimeError("inside")
    assert model.dtype == torch.bfloat16


def test_noise_that_rounding_swallows_is_refused():
    with pytest.raises(BadInput, match="--epsilon 1e-09 drowns"):
        collect(tiny_loaded(), epsilon=1e-9)


@pytest.mark.parametrize("texts", [[], [""]])
def test_a_split_without_text_is_refused_before_any_model_runs(texts):
    broken = dataclasses.replace(tiny_loaded(), model=None)
    with pytest.raises(BadInput, match="no forget text"):
        collect(broken, texts=texts)
