"""What columns and their values are called in figures, and which columns are compared and so share a scale."""

from __future__ import annotations

COLUMNS = {
    "area": "ROC area",
    "layer": "layer (depth)", "component": "kind of weight matrix", "data": "texts", "index": "singular value (0 is the largest)",
    "group": "part of the block",
    "dW_fro_rel": "relative update ‖ΔW‖/‖W‖", "dW_fro_layer_rel": "relative update ‖ΔW‖/‖W‖",
    "max_dW_spectral_rel": "relative spectral norm", "mean_dW_stable_rank": "stable rank of ΔW",
    "mean_W_stable_rank": "stable rank of W", "mean_dW_empirical_rank": "empirical rank of ΔW", "dW_stable_rank": "stable rank of ΔW",
    "mean_dh_L1": "mean ‖Δh‖₁ per token", "mean_dh_L2": "mean ‖Δh‖₂ per token",
    "model_a_norm_L1": "‖h‖₁ of model A", "model_b_norm_L1": "‖h‖₁ of model B",
    "model_a_norm_L2": "‖h‖₂ of model A", "model_b_norm_L2": "‖h‖₂ of model B",
    "forget_relative_wasserstein": "forget texts: relative spectral distance",
    "retain_relative_wasserstein": "retain texts: relative spectral distance",
    "forget_log_change": "forget texts: change of log spectrum", "retain_log_change": "retain texts: change of log spectrum",
    "forget_eff_rank_a": "effective rank, model A", "forget_eff_rank_b": "effective rank, model B",
    "forget_entropy_a": "spectral entropy (nats), model A", "forget_entropy_b": "spectral entropy (nats), model B",
    "cosine_distance": "cosine distance of the means", "linear_discriminability_auc": "AUC of a linear classifier",
    "variance_ratio": "variance between over within", "cosine_distance_change": "change of cosine distance",
    "linear_discriminability_auc_change": "change of AUC", "variance_ratio_change": "change of variance ratio",
    "drop": "drop of the answer's log-likelihood, B inside", "drop_filtered": "the same, filtered inside",
    "accuracy": "questions answered", "test_accuracy": "accuracy on held-out texts", "selectivity": "accuracy above the larger class",
    "auc": "AUC on held-out texts", "avg_lipschitz": "response of the logits to noise",
    "avg_likelihood_gradient": "slope of the likelihood", "avg_divergence": "divergence of predictions (nats)",
    "mlp_frobenius": "‖ΔW‖ of the MLP", "attn_frobenius": "‖ΔW‖ of attention", "ratio_mlp_attn": "MLP over attention",
    "mlp_stable_rank": "stable rank, MLP", "attn_stable_rank": "stable rank, attention",
    "encoder_nullspace_ratio": "share outside W, encoder", "decoder_nullspace_ratio": "share outside W, decoder",
    "avg_rank_increase": "rank added to W", "nullspace_energy_share": "energy outside W's outputs",
    "input_nullspace_energy_share": "energy outside W's inputs", "effective_rank": "effective rank of ΔW",
    "top10_variance_ratio": "energy in ten directions", "subspace_alignment": "alignment of leading directions",
    "grassmann_distance": "distance of leading subspaces", "linear_cka": "likeness (linear CKA)",
    "relative_mean_shift": "shift of the mean, relative", "avg_forget_proj": "forget inputs: share read by ΔW",
    "avg_retain_proj": "retain inputs: share read by ΔW", "avg_selectivity": "forget over retain",
    "relative_singular_value": "singular value over the largest", "elbow_a": "bend of W", "elbow_b": "bend of W modified",
    "elbow_dw": "bend of ΔW", "share_unmoved": "weights that did not move", "share_same_4bit_code": "weights with one 4-bit code",
}  # fmt: skip
"""Every column that a declared figure shows."""

VALUES = {
    "attn": "attention", "mlp": "MLP", "qkv": "query, key, value", "proj": "attention output", "mlp_expand": "MLP in",
    "mlp_contract": "MLP out", "forget": "forget texts", "retain": "retain texts", "embed": "embedding", "ln": "norms",
}  # fmt: skip
"""Values of grouping columns; others stand as they are."""

COMPARED = tuple(map(frozenset, (
    ("model_a_norm_L1", "model_b_norm_L1"), ("model_a_norm_L2", "model_b_norm_L2"),
    ("forget_relative_wasserstein", "retain_relative_wasserstein"), ("forget_log_change", "retain_log_change"),
    ("forget_eff_rank_a", "forget_eff_rank_b"), ("forget_entropy_a", "forget_entropy_b"), ("drop", "drop_filtered"),
    ("mlp_frobenius", "attn_frobenius"), ("mlp_stable_rank", "attn_stable_rank"),
    ("encoder_nullspace_ratio", "decoder_nullspace_ratio"), ("nullspace_energy_share", "input_nullspace_energy_share"),
    ("avg_forget_proj", "avg_retain_proj"), ("elbow_a", "elbow_b", "elbow_dw"), ("share_unmoved", "share_same_4bit_code"),
    ("mean_dW_stable_rank", "mean_W_stable_rank"),
)))  # fmt: skip
"""Columns that are read against each other when they stand in one figure."""


def words(column: str) -> str:
    """A column's name as an axis label."""
    return COLUMNS.get(column, column.replace("_", " "))


def value_words(value: object) -> str:
    """A value of a grouping column as a legend shows it."""
    return VALUES.get(str(value), str(value).replace("_", " "))
