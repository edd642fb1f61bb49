"""Step 11 in numbers: inputs inside, outside and half inside the directions of ΔW; random directions; real models."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from tiny_loaded import RELATIVES, tiny_loaded
from tiny_models import ARCHITECTURES, TEXTS

from brittle.diagnostics import row_space_projection as step
from brittle.mathematics.matrix_pair import MatrixPair
from brittle.models.observation import ActivationObservation, observe
from brittle.settings import BadInput

WIDTH, INNER = 48, 64


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair(change, component="mlp_expand", layer=0, name=None):
    base = torch.zeros_like(change)
    return MatrixPair(name or f"{layer}.{component}", layer, component, "mlp", base, base + change)


def texts(split, inputs, mask=None, inner=None, start=0):
    mask = torch.ones(inputs.shape[:2], dtype=torch.int64) if mask is None else mask
    inner = torch.ones(*inputs.shape[:2], INNER) if inner is None else inner
    indices = tuple(range(start, start + len(inputs)))
    return ActivationObservation(split, indices, mask, [], None, mlp_inputs_a=[inputs], contract_inputs_a=[inner])


def run(pairs, forget, retain, **changes):
    fitter = step.Fitter(step.Settings(**changes))
    for each in (*pairs, forget, retain):
        fitter.update(each)
    return fitter.finish()


def both(expand, forget, retain, contract=None):
    """Rows of the encoder and of the decoder, and the summary."""
    contract = random(WIDTH, INNER) if contract is None else contract
    findings = run([pair(expand), pair(contract, "mlp_contract")], texts("forget", forget), texts("retain", retain))
    return *findings.tables["row_space_projections"], findings.summary


def test_inputs_inside_the_row_space_project_to_1_and_orthogonal_ones_to_0():
    basis = torch.linalg.qr(random(WIDTH, 10)).Q
    change = random(INNER, 5, seed=1) @ basis[:, :5].T
    inside, outside = random(3, 7, 5, seed=2) @ basis[:, :5].T, random(4, 6, 5, seed=3) @ basis[:, 5:].T
    encoder, _, _ = both(change, inside, outside)
    assert encoder.forget_proj_ratio == pytest.approx(1, abs=1e-6)
    assert encoder.retain_proj_ratio == pytest.approx(0, abs=1e-6)
    assert encoder.projection_diff == pytest.approx(1, abs=1e-6)
    assert encoder.forget_proj_norm == pytest.approx(float(inside.norm(dim=-1).mean()), rel=1e-6)
    assert (encoder.forget_stronger, encoder.directions) == (True, 5)
    assert encoder.energy_share == pytest.approx(1)
    assert encoder.expected_ratio == pytest.approx(math.sqrt(5 / WIDTH))


def test_half_of_each_input_inside_gives_the_cosine():
    basis = torch.linalg.qr(random(WIDTH, 2)).Q
    change = torch.outer(random(INNER), basis[:, 0])
    inputs = random(3, 7, 1) * (3 * basis[:, 0] + 4 * basis[:, 1])
    encoder, _, summary = both(change, inputs, inputs[:2])
    for name in ("forget_proj_ratio", "retain_proj_ratio", "forget_proj_ratio_low", "forget_proj_ratio_high"):
        assert getattr(encoder, name) == pytest.approx(0.6, abs=1e-6)
    assert encoder.selectivity == pytest.approx(1)
    assert summary["projection_ratio"] == pytest.approx(1)
    assert summary["forget_more_affected"] is False


def test_the_ratio_is_that_of_the_means_and_matches_a_plain_svd():
    change, forget, retain = random(INNER, WIDTH, seed=4), random(3, 7, WIDTH, seed=5), 9 * random(2, 4, WIDTH, seed=6)
    contract, inner = random(WIDTH, INNER, seed=7), random(3, 7, INNER, seed=8)
    findings = run(
        [pair(contract, "mlp_contract"), pair(change)], texts("forget", forget, inner=inner),
        texts("retain", retain, inner=inner[:2, :4]),
    )  # fmt: skip
    encoder, decoder = findings.tables["row_space_projections"]
    assert (encoder.weight_type, decoder.weight_type) == ("encoder", "decoder")
    for row, matrix, inputs in ((encoder, change, forget), (decoder, contract, inner)):
        values, directions = torch.linalg.svd(matrix.double())[1:]
        inside = (inputs.double() @ directions[:20].T).norm(dim=-1).mean()
        assert row.forget_proj_norm == pytest.approx(float(inside), rel=1e-6)
        assert row.forget_proj_ratio == pytest.approx(float(inside / inputs.double().norm(dim=-1).mean()), rel=1e-6)
        assert row.energy_share == pytest.approx(float(values[:20].square().sum() / values.square().sum()), rel=1e-6)
    (layer,) = findings.tables["layer_projection_summary"]
    assert (layer.avg_forget_proj, layer.decoder_forget_proj) == (encoder.forget_proj_ratio, decoder.forget_proj_ratio)
    assert layer.avg_selectivity == pytest.approx(encoder.forget_proj_ratio / encoder.retain_proj_ratio)


def test_random_updates_and_random_directions_give_the_expected_ratio_on_isotropic_inputs():
    inputs = random(8, 50, WIDTH, seed=9)
    encoder, _, _ = both(random(INNER, WIDTH, seed=1), inputs, inputs)
    for name in ("forget_proj_ratio", "forget_random_ratio", "retain_random_ratio"):
        assert getattr(encoder, name) == pytest.approx(encoder.expected_ratio, rel=0.03)
    assert encoder.random_selectivity == pytest.approx(1)


def test_a_selective_update_stands_out_beside_its_random_control():
    direction = torch.nn.functional.normalize(random(WIDTH, seed=2), dim=0)
    forget, retain = random(9, 8, WIDTH, seed=3) + 9 * direction, random(9, 8, WIDTH, seed=4)
    encoder, _, summary = both(torch.outer(random(INNER), direction), forget, retain)
    assert encoder.selectivity_low > 4
    assert encoder.selectivity_low < encoder.selectivity < encoder.selectivity_high
    assert encoder.random_selectivity < 2
    assert summary["forget_more_affected"] is True


def test_scaling_the_update_or_all_inputs_changes_no_ratio():
    change, forget, retain = random(INNER, WIDTH), random(3, 7, WIDTH, seed=5), random(2, 4, WIDTH, seed=6)
    expected = both(change, forget, retain)[0]
    for found in (both(1e-3 * change, forget, retain)[0], both(change, 50 * forget, 50 * retain)[0]):
        assert found.forget_proj_ratio == pytest.approx(expected.forget_proj_ratio, rel=1e-5)
        assert found.selectivity == pytest.approx(expected.selectivity, rel=1e-5)


def test_no_change_gives_exactly_0_and_no_selectivity():
    zero = torch.zeros(INNER, WIDTH)
    encoder, _, summary = both(zero, random(2, 3, WIDTH), random(2, 3, WIDTH), contract=zero.T)
    assert (encoder.forget_proj_ratio, encoder.forget_proj_norm, encoder.directions, encoder.energy_share) == (
        0,
        0,
        0,
        0,
    )
    assert math.isnan(encoder.selectivity)
    assert math.isnan(summary["projection_ratio"])
    assert summary["forget_more_affected"] is False


def test_padding_batches_and_order_of_texts_change_nothing():
    change, contract = random(INNER, WIDTH), random(WIDTH, INNER)
    forget, inner = random(4, 7, WIDTH, seed=5), random(4, 7, INNER, seed=6)
    mask = (torch.arange(7) < torch.tensor([7, 5, 2, 1])[:, None]).long()
    retain = texts("retain", random(3, 6, WIDTH, seed=7))
    pairs = [pair(change), pair(contract, "mlp_contract")]
    expected = run(pairs, texts("forget", forget, mask, inner), retain)
    spoiled = torch.where(mask[..., None].bool(), forget, 1e6)
    order = [2, 0, 3, 1]
    for found in (
        run(pairs, texts("forget", spoiled, mask, inner), retain),
        run(pairs, texts("forget", forget[order], mask[order], inner[order]), retain),
        run(
            [*pairs, texts("forget", forget[3:, :2], mask[3:, :2], inner[3:, :2], start=3)],
            texts("forget", forget[:3], mask[:3], inner[:3]), retain,
        ),
    ):  # fmt: skip
        for one, other in zip(expected.tables["row_space_projections"], found.tables["row_space_projections"]):
            for key, value in vars(one).items():
                assert getattr(other, key) == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9)), key


@pytest.mark.parametrize("architecture", ARCHITECTURES + RELATIVES)
def test_inputs_of_the_mlp_are_what_its_matrices_multiply(architecture):
    """Captured inputs, put through the first expanding (contracting) module, give what that module gave."""
    loaded, seen, outputs = tiny_loaded(architecture), [], []
    loaded_block = loaded.anatomy.blocks(loaded.model)[1]
    for component in ("mlp_expand", "mlp_contract"):
        module = loaded_block.get_submodule(getattr(loaded.anatomy, component)[0])
        module.register_forward_hook(lambda module, _inputs, output: outputs.append((module, output)))

    class Keep:
        def update(self, observation):
            seen.append(observation)

    observe(loaded, loaded, {"forget": TEXTS[:2]}, [Keep()], sites=step.SITES)
    (observation,), expected = seen, outputs[:2]
    for inputs, (module, output) in zip((observation.mlp_inputs_a, observation.contract_inputs_a), expected):
        assert len(inputs) == 2
        assert inputs[1].shape[:2] == observation.mask.shape
        with torch.no_grad():
            torch.testing.assert_close(module(inputs[1]).flatten(), output.flatten(), rtol=1e-4, atol=1e-5)
    assert len(observation.hidden_a) == 3
    assert not any(module._forward_pre_hooks for module in loaded.model.modules())


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gpt2"])
def test_the_architectures_that_gave_no_number_before_give_finite_ones(architecture):
    a, b = tiny_loaded(architecture), tiny_loaded(architecture, seed=1)
    fitter = step.Fitter(step.Settings())
    for (name, base), (_, modified) in zip(a.model.named_parameters(), b.model.named_parameters()):
        place = a.anatomy.place(name)
        if place and base.dim() == 2:
            matrices = [matrix.detach().T if a.anatomy.transposed else matrix.detach() for matrix in (base, modified)]
            fitter.update(MatrixPair(name, place.layer, place.component, place.group, *matrices))
    observe(a, None, {"forget": TEXTS[:2], "retain": TEXTS[2:]}, [fitter], sites=step.SITES)
    rows = fitter.finish().tables["row_space_projections"]
    assert [row.layer for row in rows] == sorted([0, 1] * (3 if architecture == "llama" else 2))
    for row in rows:
        numbers = [value for value in vars(row).values() if isinstance(value, float)]
        assert all(math.isfinite(number) for number in numbers)
        assert 0 < row.retain_proj_ratio < 1
        assert 0 < row.forget_proj_ratio < 1
        assert row.directions == 20


def test_chosen_layers_alone_are_read_and_others_refused():
    pairs = [pair(random(INNER, WIDTH), layer=layer) for layer in (0, 1)]
    pairs += [pair(random(WIDTH, INNER), "mlp_contract", layer=layer) for layer in (0, 1)]
    batches = [
        dataclasses.replace(
            texts(split, random(2, 3, WIDTH)), mlp_inputs_a=[random(2, 3, WIDTH)] * 2,
            contract_inputs_a=[random(2, 3, INNER)] * 2,
        )
        for split in ("forget", "retain")
    ]  # fmt: skip
    findings = run(pairs, *batches, layers_to_analyze=(1,))
    assert {row.layer for row in findings.tables["row_space_projections"]} == {1}
    assert findings.summary["layers_analyzed"] == [1]
    with pytest.raises(BadInput, match="layer 2 is not among the model's layers 0 to 1"):
        run(pairs, *batches, layers_to_analyze=(1, 2))


def test_a_pass_without_the_sites_is_a_mistake():
    with pytest.raises(ValueError, match="sites"):
        run([], dataclasses.replace(texts("forget", random(1, 2, WIDTH)), contract_inputs_a=None), None)
