"""What the specification says of each diagnostic's tables; the common tests hold every diagnostic to it."""

from __future__ import annotations

PER_MATRIX = (
    "name layer group shape0 shape1 dW_fro W_fro dW_fro_rel dW_spectral W_spectral dW_spectral_rel "
    "dW_stable_rank W_stable_rank"
)  # fmt: skip
PER_LAYER = (
    "layer group dW_fro_layer W_fro_layer dW_fro_layer_rel max_dW_spectral max_W_spectral max_dW_spectral_rel "
    "mean_dW_stable_rank"
)  # fmt: skip
ACTIVATIONS = (
    "layer split model_a_norm_L1 model_a_norm_L2 model_b_norm_L1 model_b_norm_L2 mean_dh_L1 mean_dh_L2"
)  # fmt: skip

SEPARATION = (
    "layer cosine_distance euclidean_distance linear_discriminability_auc variance_ratio forget_centroid_norm "
    "retain_centroid_norm"
)  # fmt: skip

DOCUMENTED = {
    "weight_comparison": {
        "per_matrix": PER_MATRIX,
        "per_layer": f"{PER_LAYER} count_mats",
        "per_coarse_layer": f"{PER_LAYER} count_mats",
        "per_component": "component n_layers elements",
    },
    "mlp_attn_analysis": {
        "mlp_attn_summary": "layer mlp_frobenius attn_frobenius ratio_mlp_attn mlp_stable_rank attn_stable_rank"
    },
    "activation_comparison": {"activation_comparison": ACTIVATIONS},
    "wmdp_logit_lens": {"wmdp_lens_results": "layer accuracy correct total"},
    "wmdp_tuned_lens": {"wmdp_lens_results": "layer accuracy correct total"},
    "wmdp_linear_lens": {"wmdp_lens_results": "layer accuracy correct total"},
    "causal_depth": {"causal_depth": "layer log_probability drop drop_filtered"},
    "null_space_analysis": {
        "null_space_results": "name component effective_rank top10_variance_ratio max_singular_value "
        "singular_value_decay subspace_alignment grassmann_distance singular_value_ratio"
    },
    "mlp_nullspace": {
        "mlp_nullspace_metrics": "name layer type shape original_eff_rank updated_eff_rank rank_increase "
        "colspace_projection_ratio nullspace_projection_ratio nullspace_dimension update_norm original_norm "
        "relative_update_size",
        "layer_nullspace_summary": "layer avg_colspace_ratio avg_nullspace_ratio avg_rank_increase "
        "encoder_nullspace_ratio decoder_nullspace_ratio num_matrices",
    },
    "singular_value_spectra": {
        "elbow_summary": "component layer name shape elbow_a elbow_b elbow_dw elbow_shift",
        "spectra": "name layer component matrix index singular_value relative_singular_value",
    },
    "row_space_projection": {
        "row_space_projections": "layer weight_type forget_proj_ratio retain_proj_ratio forget_proj_norm "
        "retain_proj_norm projection_diff forget_stronger",
        "layer_projection_summary": "layer avg_forget_proj avg_retain_proj avg_diff",
    },
    "lipschitzness": {
        "lipschitzness_summary": "model data avg_lipschitz std_lipschitz avg_gradient_norm std_gradient_norm "
        "avg_output_variance std_output_variance"
    },
    "linear_probes": {"probe_results": "layer test_accuracy train_accuracy selectivity auc majority_baseline"},
    "activation_separation": {
        "separation_metrics_model_a": SEPARATION,
        "separation_metrics_model_b": SEPARATION,
        "separation_changes": "layer",
    },
    "activation_covariance": {
        "covariance_metrics": "layer forget_eff_rank_a forget_eff_rank_b retain_eff_rank_a retain_eff_rank_b "
        "forget_entropy_a forget_entropy_b retain_entropy_a retain_entropy_b forget_wasserstein retain_wasserstein "
        "forget_top10_change retain_top10_change"
    },
    "representation_similarity": {"representation_similarity": "layer split linear_cka"},
}
"""Tables and their first columns, in order, as the specification has them."""

DOCUMENTED_WITH_EVERY_OPTION = {
    "weight_comparison": {
        "per_matrix": f"{PER_MATRIX} dW_empirical_rank W_empirical_rank",
        "per_layer": f"{PER_LAYER} mean_dW_empirical_rank count_mats",
        "per_coarse_layer": f"{PER_LAYER} mean_dW_empirical_rank count_mats",
    },
}

MAY_BE_EMPTY = {"causal_depth": ("erased_share", "drop_filtered_again")}
"""Columns without a value where the docstring says so."""

CHANGE = {
    "causal_depth": ("drop", "drop_mean", "drop_std", "drop_low", "drop_high"),
    "weight_comparison": (
        "dW_fro", "dW_fro_rel", "dW_spectral", "dW_spectral_rel", "dW_stable_rank", "dW_empirical_rank", "diff_mean",
        "diff_std", "diff_abs_mean", "fro_norm_normalized", "dW_fro_layer", "dW_fro_layer_rel", "max_dW_spectral",
        "max_dW_spectral_rel", "mean_dW_stable_rank", "mean_dW_empirical_rank", "dW_fro_mean", "diff_abs_mean_max",
    ),
    "mlp_attn_analysis": ("mlp_frobenius", "attn_frobenius", "mlp_stable_rank", "attn_stable_rank"),
    "activation_comparison": ("mean_dh_L1", "mean_dh_L2"),
    "null_space_analysis": (
        "effective_rank", "top10_variance_ratio", "max_singular_value", "singular_value_decay", "grassmann_distance",
        "geodesic_distance",
    ),
    "mlp_nullspace": (
        "colspace_projection_ratio", "nullspace_projection_ratio", "update_norm", "relative_update_size",
        "colspace_energy_share", "nullspace_energy_share", "input_nullspace_energy_share", "avg_colspace_ratio",
        "avg_nullspace_ratio", "encoder_nullspace_ratio", "decoder_nullspace_ratio", "avg_nullspace_energy_share",
        "avg_input_nullspace_energy_share", "changed_matrices",
    ),
    "singular_value_spectra": ("elbow_dw", "elbow_depth_dw"),
    "row_space_projection": (
        "forget_proj_ratio", "retain_proj_ratio", "forget_proj_norm", "retain_proj_norm", "projection_diff",
        "projection_diff_low", "projection_diff_high", "expected_ratio", "forget_random_ratio", "retain_random_ratio",
        "directions", "energy_share", "avg_forget_proj", "avg_retain_proj", "avg_diff", "decoder_forget_proj",
        "decoder_retain_proj", "decoder_expected_ratio",
    ),
    "lipschitzness": (
        "lipschitz_change", "lipschitz_change_std", "lipschitz_change_low", "lipschitz_change_high",
        "likelihood_gradient_change", "divergence_change",
    ),
    "activation_separation": (
        "cosine_distance_change", "variance_ratio_change", "cosine_distance_change_benign",
        "variance_ratio_change_benign", "cosine_distance_change_matched", "variance_ratio_change_matched",
        "cosine_distance_change_low", "cosine_distance_change_high",
    ),
    "activation_covariance": (
        "forget_wasserstein", "retain_wasserstein", "forget_top10_change", "retain_top10_change",
        "forget_relative_wasserstein", "retain_relative_wasserstein", "forget_log_change", "retain_log_change",
        "forget_wasserstein_mean", "forget_wasserstein_std",
    ),
    "representation_similarity": (
        "mean_shift", "relative_mean_shift", "cosine_distance", "mean_shift_std", "mean_shift_low", "mean_shift_high",
    ),
}  # fmt: skip
"""Columns that measure change: exactly 0 between identical models, above 0 somewhere between different ones."""
