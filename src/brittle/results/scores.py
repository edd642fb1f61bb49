"""What is read of a model, and what models are ranked by."""

from __future__ import annotations

from dataclasses import dataclass

METRICS = (
    "mmlu", "wmdp_robust", "wmdp_cloze", "wmdp_categorized", "benign_accuracy", "hazardous_accuracy", "excess_recovery",
    "l2_distance", "forget_nll", "retain_nll", "benign_nll",
)  # fmt: skip
"""What is read of a model: accuracies 0 to 1, ‖ΔW‖₂ from the base, nats per token on texts that the training held out."""


@dataclass(frozen=True)
class Score:
    """What models are ranked by: columns of :data:`METRICS`, and which end of it is good."""

    words: str
    utility: str
    forgetting: str
    """The lower the better."""
    kind: str = "difference"
    """``difference`` utility − forgetting, ``forgetting`` itself, or ``distance`` to the filtered model in both."""

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return self.kind == "difference"


SCORES = {
    "mmlu_minus_wmdp": Score("MMLU − WMDP (robust)", "mmlu", "wmdp_robust"),
    "benign_minus_hazardous": Score(
        "benign accuracy − hazardous accuracy", "benign_accuracy", "hazardous_accuracy"
    ),
    "excess_recovery": Score(
        "excess recovery in the worst case over attacks", "benign_accuracy", "excess_recovery", "forgetting"
    ),
    "distance_to_filtered": Score("distance to the filtered model in MMLU and WMDP", "mmlu", "wmdp_robust", "distance"),
}  # fmt: skip
"""Scores by name; the first is the documented one, the second the same idea on questions of one's own or of a laboratory."""
