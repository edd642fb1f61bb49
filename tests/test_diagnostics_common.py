"""One set of tests for every file in ``diagnostics/``: contract, documented columns, and what must change nothing.

A new diagnostic is examined as soon as it is there; ``documented_columns.py`` has to say which columns are documented
and which of them are zero between identical models.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import typing

import numpy as np
import pandas
import pytest
import torch
from documented_columns import CHANGE, DOCUMENTED, DOCUMENTED_WITH_EVERY_OPTION, MAY_BE_EMPTY
from tiny_loaded import QUESTIONS, Asked
from tiny_models import TEXTS, tiny_model_folder

from brittle import discovery, tables
from brittle.contracts import Figure, Findings
from brittle.models.checkpoints import matrix_pairs
from brittle.models.lenses import score_through_lens
from brittle.models.likelihood import as_it_is, score
from brittle.models.loading import load
from brittle.models.observation import observe
from brittle.models.patching import PatchObservation, answer_log_probabilities, answer_rows
from brittle.models.references import locate
from brittle.models.sensitivity import observe_sensitivity
from brittle.models.tuned_lens import train
from brittle.records import Identity, plain, writing
from brittle.results.headlines import flattened
from brittle.runs import controls, observations
from brittle.runs.passes import PASSES
from brittle.views.signature import EXPECTED

PLUGINS = discovery.plugins("diagnostics")
NAMES = sorted(PLUGINS)
PAIRS = [name for name in NAMES if PLUGINS[name].constants["SCOPE"] == "pair"]
MANY = [*QUESTIONS, *(Asked(text[:30], ("a", "f", "i"), index) for index, text in enumerate(TEXTS))]
SPLITS = {
    "forget": [*TEXTS, "A fox."],
    "retain": ["The river runs to the sea.", TEXTS[0], "An amber resin in the cellar."],
    "benign": ["Question: where does the river run?", "The lazy dog reads.", "A filtered sea."],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two tiny models of each of two architectures, saved as the hub has them."""
    root = tmp_path_factory.mktemp("models")
    return {
        (architecture, seed): tiny_model_folder(root / f"{architecture}-{seed}", architecture, seed)
        for architecture in ("gpt_neox", "llama")
        for seed in (0, 1)
    }


@pytest.fixture(scope="module")
def models(folders):
    return {key: load(locate(str(folder)), device="cpu", dtype="fp32") for key, folder in folders.items()}


@pytest.fixture(params=["gpt_neox", "llama"])
def run(request, folders, models):
    """``run(name, ...)`` feeds a diagnostic as the workflow does and returns its findings."""
    return lambda name, **options: find(name, folders, models, request.param, **options)


def settings_of(name, every_option=False):
    module = PLUGINS[name].load()
    hints = typing.get_type_hints(module.Settings)
    switches = [field.name for field in dataclasses.fields(module.Settings) if hints[field.name] is bool]
    return module.Settings(**PLUGINS[name].variant, **dict.fromkeys(switches, True) if every_option else {})


def needs_of(module):
    return (module.NEEDS,) if isinstance(module.NEEDS, str) else module.NEEDS


def find(
    name, folders, models, architecture, other=1, batch_size=2, backwards=False, every_option=False, device="cpu"
) -> Findings:
    """The findings of one diagnostic; ``backwards`` turns the order of everything that it sees.

    ``device`` is that of weight pairs; the models are where they were loaded.
    """
    module = PLUGINS[name].load()
    fitter = module.Fitter(settings_of(name, every_option))
    turned = (lambda items: list(items)[::-1]) if backwards else list
    keys = (architecture, 0), (architecture, other)
    needs = needs_of(module)
    if "weights" in needs:
        everything = getattr(module, "EVERY_PARAMETER", False)
        for pair in turned(matrix_pairs(folders[keys[0]], folders[keys[1]], device, everything=everything)):
            fitter.update(pair)
    texts = {split: turned(SPLITS[split]) for split in SPLITS}
    if "activations" in needs:
        other_model, sites = models[keys[1]] if module.SCOPE == "pair" else None, getattr(module, "SITES", ())
        observe(models[keys[0]], other_model, texts, [fitter], batch_size, sites=sites)
    if "sensitivity" in needs:
        plan = dataclasses.replace(fitter.settings, batch_size=batch_size)
        observe_sensitivity(models[keys[0]], models[keys[1]], texts, [fitter], plan)
    if "questions" in needs:
        asked = turned(MANY)
        shown, plan = sum(SPLITS.values(), []), dataclasses.replace(fitter.settings, tuned_epochs=1)
        lens = train(models[keys[1]], shown, epochs=1) if "tuned" in name else None
        for part in (asked[:batch_size], asked[batch_size:]):
            if "linear" in name:
                fitter.update(score_through_lens(models[keys[1]], part, shown, plan))
                continue
            scores = score(models[keys[1]], part, "all", batch_size, translate=lens.translate if lens else as_it_is)
            found = (lens.divergence, lens.divergence_untuned) if lens else ((), ())
            fitter.update(dataclasses.replace(scores, lens_divergences=found))
    if "patches" in needs:
        rows = answer_rows(models[keys[0]], turned(MANY), 512)
        values = [answer_log_probabilities(models[keys[0]], model, rows, batch_size)
                  for model in (None, models[keys[1]], models[architecture, 1])]  # fmt: skip
        fitter.update(PatchObservation(tuple(rows), values[0][0], *values[1:], "a", "b", "filtered"))
    if "tables" in needs:
        rows = find("weight_comparison", folders, models, architecture, other, every_option=every_option, device=device)
        for row in turned(frame(rows, "per_layer").to_dict("records")):
            fitter.update(row)
    return fitter.finish()


def frame(findings, table):
    rows = findings.tables[table]
    return pandas.DataFrame([row if isinstance(row, dict) else vars(row) for row in rows])


def assert_same(found, expected, tolerance):
    assert found.tables.keys() == expected.tables.keys()
    for table in found.tables:
        pandas.testing.assert_frame_equal(
            frame(found, table), frame(expected, table), rtol=tolerance, atol=tolerance, check_exact=tolerance == 0
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_contract(name):
    plugin, module = PLUGINS[name], PLUGINS[name].load()
    assert plugin.summary.endswith(("?", "."))
    assert {"STEP", "PROGRAM", "NEEDS", "SCOPE"} <= plugin.constants.keys()
    assert "NAME" in plugin.constants or set(plugin.constants["NAMES"]) == set(plugin.constants["VARIANTS"])
    assert observations.needs_of(plugin) == needs_of(module)
    assert list(needs_of(module)) == sorted(needs_of(module), key=list(PASSES).index)
    assert module.SCOPE in ("pair", "model")
    assert module.Settings.__dataclass_params__.frozen
    assert all("help" in field.metadata for field in dataclasses.fields(module.Settings))
    assert all(isinstance(figure, Figure) for figure in module.FIGURES)
    assert name in DOCUMENTED, "say in documented_columns.py which columns of the new diagnostic are documented"
    assert name in CHANGE or module.SCOPE == "model", "say in documented_columns.py which columns measure change"


def test_listing_and_importing_diagnostics_needs_no_torch():
    modules = ", ".join(plugin.module for plugin in PLUGINS.values())
    heavy = "{'torch', 'transformers', 'pandas', 'scipy'}"
    code = f"import sys, {modules}; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("every_option", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_rows_columns_figures_and_summary(run, name, every_option):
    findings, module = run(name, every_option=every_option), PLUGINS[name].load()
    documented = DOCUMENTED[name] | (DOCUMENTED_WITH_EVERY_OPTION.get(name, {}) if every_option else {})
    assert findings.tables.keys() == documented.keys()
    for table, columns in documented.items():
        found = frame(findings, table)
        assert not found.empty
        assert found.columns.tolist()[: len(columns.split())] == columns.split()
        may_be_empty = [column for column in MAY_BE_EMPTY.get(name, ()) if column in found]
        assert np.isfinite(found.drop(columns=may_be_empty).select_dtypes("number")).all(axis=None)
    json.dumps(plain(findings.summary), allow_nan=False)
    assert findings.summary
    for headline in module.HEADLINES:
        assert headline.key in dict(flattened(findings.summary)) and headline.thesis in EXPECTED
    for figure in module.FIGURES:
        found = frame(findings, figure.table)
        for column, value in figure.where.items():
            assert (found[column] == value).any()
        if every_option:
            assert {figure.x, *figure.y, *([figure.by] if figure.by else [])} <= set(found.columns), figure.name


@pytest.mark.parametrize("name", NAMES)
def test_tables_on_disk_are_as_wide_as_documented_and_read_back_as_they_were(run, name, tmp_path):
    findings, figures = run(name), PLUGINS[name].load().FIGURES
    with writing(tmp_path / name, Identity(name, {}, {})) as draft:
        controls.write(draft, controls.joined(findings, figures, {"random": findings})[0], figures)
    assert tables.names_in(tmp_path / name) == sorted(DOCUMENTED[name])
    for table, columns in DOCUMENTED[name].items():
        own, wide = pandas.read_csv(tmp_path / name / f"{table}.csv"), frame(findings, table)
        assert own.columns.tolist()[: len(columns.split())] == columns.split()
        assert not {f"{column}{ending}" for column in own for ending in ("_low", "_random", "_benign")} & set(own)
        read = tables.read(tmp_path / name, table)
        kept = [column for column in wide if wide[column].notna().any()]
        pandas.testing.assert_frame_equal(read[kept], wide[kept], check_dtype=False, rtol=1e-12)
        drawn = {y for figure in figures if figure.table == table for y in figure.y} & {*kept}
        for column in drawn:
            assert read[f"{column}_random"].tolist() == pytest.approx(read[column].tolist(), nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_row_types_explain_every_column(run, name):
    module = PLUGINS[name].load()
    explained = {
        field.name
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__name__.endswith("Row")
        for field in dataclasses.fields(kind)
        if field.metadata.get("help")
    }
    findings = run(name, every_option=True)
    assert {column for table in findings.tables for column in frame(findings, table)} <= explained


@pytest.mark.parametrize("every_option", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_identical_models_give_exactly_zero_change_and_others_do_not(run, name, every_option):
    same, different = (run(name, other=other, every_option=every_option) for other in (0, 1))
    seen = 0
    for table in same.tables:
        for column in set(CHANGE[name]) & set(frame(same, table)):
            assert (frame(same, table)[column] == 0).all(), f"{table}.{column}"
            assert (frame(different, table)[column] != 0).any(), f"{table}.{column}"
            seen += 1
    assert seen
    json.dumps(plain(same.summary), allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_padding_order_and_batch_split_change_nothing(run, name):
    expected = run(name, batch_size=1)
    assert_same(run(name, batch_size=3), expected, 2e-6)
    assert_same(run(name, batch_size=2, backwards=True), expected, 2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_running_twice_gives_the_same_bits_whatever_the_global_seed(run, name):
    torch.manual_seed(1)
    first = run(name, every_option=True)
    torch.manual_seed(2)
    assert_same(run(name, every_option=True), first, 0)


def test_weight_comparison_in_numbers(run, folders):
    """The tables hang together: layers are root sums of squares of matrices, the summary of everything."""
    findings = run("weight_comparison", every_option=True)
    matrices, layers, components = (frame(findings, name) for name in ("per_matrix", "per_layer", "per_component"))
    assert (matrices.layer.is_monotonic_increasing, matrices.name.is_unique) == (True, True)
    for _, row in layers.iterrows():
        part = matrices[(matrices.layer == row.layer) & (matrices.group == row.group)]
        assert len(part) == row.count_mats
        assert (part.shape0 * part.shape1).sum() == part.elements.sum() == row.elements
        assert row.dW_fro_layer == pytest.approx(math.sqrt((part.dW_fro**2).sum()))
        assert row.dW_fro_layer_rel == pytest.approx(row.dW_fro_layer / math.sqrt((part.W_fro**2).sum()))
        assert row.max_dW_spectral_rel == pytest.approx(part.dW_spectral.max() / part.W_spectral.max())
        assert row.mean_dW_empirical_rank == pytest.approx(part.dW_empirical_rank.mean())
    assert (matrices.fro_norm_normalized**2 * matrices.elements).sum() == pytest.approx((matrices.dW_fro**2).sum())
    blocks = matrices[matrices.layer >= 0]
    total = math.sqrt((blocks.dW_fro**2).sum() / (blocks.W_fro**2).sum())
    assert findings.summary["relative_frobenius_norm"] == pytest.approx(total)
    assert findings.summary["changed_matrices"] == findings.summary["matrices"] == len(blocks)
    assert findings.summary["mlp"]["mean_stable_rank"] == pytest.approx(
        matrices[matrices.group == "mlp"].dW_stable_rank.mean()
    )
    for _, row in components.iterrows():
        part = matrices[matrices.component == row.component]
        assert row.n_layers == (1 if row.component in ("embedding", "unembedding") else 2)
        assert row.dW_stable_rank_std == pytest.approx(part.dW_stable_rank.std(ddof=0))
        assert (row.cosine_sim_min, row.cosine_sim_max) == (part.cosine_sim.min(), part.cosine_sim.max())
    coarse = frame(findings, "per_coarse_layer")
    assert coarse[coarse.layer >= 0].reset_index(drop=True).equals(layers)
    assert coarse[coarse.layer < 0].group.tolist() == matrices[matrices.layer < 0].group.tolist()
    assert matrices[matrices.layer < 0].component.tolist() == ["embedding", "unembedding"]


def test_a_random_update_has_the_expected_mlp_to_attention_ratio(folders):
    """Two independent models of one architecture differ by equal amounts per entry (GPT-NeoX, equal initial scale)."""
    findings = find("mlp_attn_analysis", folders, None, "gpt_neox")
    for _, row in frame(findings, "mlp_attn_summary").iterrows():
        assert row.ratio_mlp_attn == pytest.approx(row.expected_ratio, rel=0.05)
    assert findings.summary["expected_ratio"] == pytest.approx(math.sqrt(2 * 48 * 32 / (4 * 32 * 32)))


def test_no_attention_change_gives_no_ratio():
    module = PLUGINS["mlp_attn_analysis"].load()
    fitter = module.Fitter(module.Settings())
    for group, change in (("mlp", 2.0), ("attn", 0.0)):
        fitter.update(
            {"layer": 0, "group": group, "dW_fro_layer": change, "mean_dW_stable_rank": change, "elements": 8}
        )
    findings = fitter.finish()
    assert math.isnan(findings.tables["mlp_attn_summary"][0].ratio_mlp_attn)
    assert plain(findings.summary)["ratio_mlp_attn"] is None


def test_activation_norms_are_means_over_tokens(folders, models):
    """Against one unpadded forward pass per text."""
    rows = frame(find("activation_comparison", folders, models, "llama"), "activation_comparison")
    hidden = {}
    for seed in (0, 1):
        loaded = models["llama", seed]
        with torch.no_grad():
            outputs = [
                loaded.model(torch.tensor([loaded.tokenizer(t)["input_ids"]]), output_hidden_states=True).hidden_states[
                    1
                ]
                for t in SPLITS["retain"]
            ]
        hidden[seed] = torch.cat([output[0] for output in outputs]).double()
    row = rows[(rows.layer == 1) & (rows.split == "retain")].iloc[0]
    for name, states in (("model_a_norm", hidden[0]), ("model_b_norm", hidden[1]), ("mean_dh", hidden[1] - hidden[0])):
        assert row[f"{name}_L1"] == pytest.approx(float(states.abs().sum(1).mean()), rel=1e-5)
        assert row[f"{name}_L2"] == pytest.approx(float(states.square().sum(1).sqrt().mean()), rel=1e-5)


def test_the_lens_counts_what_the_scores_say(folders, models):
    findings = find("wmdp_logit_lens", folders, models, "gpt_neox")
    correct = score(models["gpt_neox", 1], MANY, depths="all").correct.sum(axis=1)
    rows = frame(findings, "wmdp_lens_results")
    assert rows.correct.tolist() == correct.tolist()
    assert (rows.total == len(MANY)).all()
    assert rows.accuracy.tolist() == pytest.approx((correct / len(MANY)).tolist())
    assert rows.delta_from_final.iloc[-1] == 0
    summary = findings.summary
    assert summary["final_layer_accuracy"] == rows.accuracy.iloc[-1]
    assert summary["best_layer_accuracy"] == rows.accuracy.max()
    assert summary["best_layer"] == rows.accuracy.idxmax()
    assert (summary["num_layers"], summary["lens"], summary["max_samples"]) == (2, "logit", 500)
    assert summary["model"] == models["gpt_neox", 1].name
