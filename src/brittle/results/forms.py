"""What the tables that the report reads must hold (:mod:`brittle.results.reader`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from brittle.results.reader import Form

if TYPE_CHECKING:
    import pandas

MOST_CHOICES = 1000
RUN = ("model", "attack", "seed", "step")
RECOVERY = Form(
    ("model", "role", "attack"), ("seed", "step"), ("accuracy_t", "accuracy_v", "accuracy_retain"),
    optional={
        "strength": "number", "tokens_seen": "number", "examples_seen": "number", "benign_likelihood": "number",
        "benign_rise": "number",
    }, key=RUN,
)  # fmt: skip
ANSWERS = Form(
    ("model", "side", "fact"), ("seed", "step", "choice_predicted", "choice_correct"),
    key=("model", "attack", "seed", "step", "side", "fact"),
)  # fmt: skip
TRAJECTORY = Form(
    ("model", "attack"), ("seed", "step"), numbers=("cosine_to_base", "share_undone", "distance_to_base"),
    optional={"role": "text"}, key=RUN, rest="number",
)  # fmt: skip
DIVERGED = Form(("model", "attack"), ("seed", "step"), numbers=("strength",))
PER_LAYER = Form(
    ("layer", "group"), ("count_mats",),
    numbers=("dW_fro_layer", "W_fro_layer", "dW_fro_layer_rel", "mean_dW_stable_rank"), key=("layer", "group"),
)  # fmt: skip
PER_MATRIX = Form(("group",), numbers=("dW_fro", "W_fro", "dW_stable_rank"))
ACTIVATIONS = Form(("layer", "split"), numbers=("model_a_norm_L2", "mean_dh_L2"), key=("layer", "split"))
BENIGN_LIKELIHOOD = Form(("kind",), ("text",), numbers=("nats_per_token",), key=("kind", "text"))
LENS = Form(("layer",), shares=("accuracy",), key=("layer",))


def askable(answers: pandas.DataFrame) -> pandas.Series:
    """Which rows of answers name choices that exist: within the options, where those stand there."""
    highest = answers[["choice_predicted", "choice_correct"]].max(axis=1)
    if "choices" not in answers:
        return highest < MOST_CHOICES

    def number(text: str) -> int:
        try:
            options = json.loads(text) if text else []
        except (ValueError, RecursionError):
            return 0
        return len(options) if isinstance(options, list) and all(isinstance(each, str) for each in options) else 0

    return highest < answers["choices"].map(number)
