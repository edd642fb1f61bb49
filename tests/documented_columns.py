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
}
"""Tables and their first columns, in order, as the specification has them."""

DOCUMENTED_WITH_EVERY_OPTION = {
    "weight_comparison": {
        "per_matrix": f"{PER_MATRIX} dW_empirical_rank W_empirical_rank",
        "per_layer": f"{PER_LAYER} mean_dW_empirical_rank count_mats",
        "per_coarse_layer": f"{PER_LAYER} mean_dW_empirical_rank count_mats",
    },
}

CHANGE = {
    "weight_comparison": (
        "dW_fro", "dW_fro_rel", "dW_spectral", "dW_spectral_rel", "dW_stable_rank", "dW_empirical_rank", "diff_mean",
        "diff_std", "diff_abs_mean", "fro_norm_normalized", "dW_fro_layer", "dW_fro_layer_rel", "max_dW_spectral",
        "max_dW_spectral_rel", "mean_dW_stable_rank", "mean_dW_empirical_rank", "dW_fro_mean", "diff_abs_mean_max",
    ),
    "mlp_attn_analysis": ("mlp_frobenius", "attn_frobenius", "mlp_stable_rank", "attn_stable_rank"),
    "activation_comparison": ("mean_dh_L1", "mean_dh_L2"),
}  # fmt: skip
"""Columns that measure change: exactly 0 between identical models, above 0 somewhere between different ones."""
