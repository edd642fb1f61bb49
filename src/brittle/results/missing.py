"""What was not measured, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brittle.results.roles import ORDER

if TYPE_CHECKING:
    import pandas

PAIR_DIAGNOSTICS = {
    "weight_comparison": "weight changes", "activation_comparison": "activation changes",
    "mlp_attn_analysis": "MLP against attention", "null_space_analysis": "null space and subspaces",
    "activation_separation": "activation separation", "activation_covariance": "activation covariance",
    "mlp_nullspace": "MLP null-space alignment", "row_space_projection": "row-space projection",
    "lipschitzness": "local Lipschitz constants", "causal_depth": "causal depth",
    "representation_similarity": "likeness of hidden states", "singular_value_spectra": "singular-value spectra",
}  # fmt: skip
MODEL_DIAGNOSTICS = {
    "evals": "evaluation", "linear_probes": "linear probes",
    "wmdp_logit_lens": "logit lens", "wmdp_tuned_lens": "tuned lens", "wmdp_linear_lens": "linear lens",
}  # fmt: skip


def not_measured(
    outputs: Path,
    roles: Collection[str],
    labels: Mapping[str, str],
    pairs: Mapping[str, str],
    recovery: pandas.DataFrame | None,
    answers: pandas.DataFrame | None,
) -> list[str]:
    """What an outputs folder lacks, one line each; what models and pairs are called, by their folders."""
    lines = [f"no {role} model" for role in ORDER if role not in roles]
    nowhere = []
    for kinds, places in ((PAIR_DIAGNOSTICS, pairs), (MODEL_DIAGNOSTICS, labels)):
        for folder, words in kinds.items():
            without = [label for place, label in places.items() if not any((outputs / place / folder).glob("*"))]
            if len(without) == len(places):
                nowhere.append(words)
            elif without:
                lines.append(f"{words} of {', '.join(without)}")
    lines += [", ".join(nowhere)] if nowhere else []
    if recovery is None:
        lines.append("recovery under attack")
    elif answers is None:
        lines.append("answers under attack, so V is not tested against chance")
    attacked = set(recovery["model"]) if recovery is not None else set(labels)
    spared = [label for name, label in labels.items() if name not in attacked]
    return lines + ([f"recovery under attack of {', '.join(spared)}"] if spared else [])
