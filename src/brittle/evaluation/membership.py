"""Can it be told from a model whether it was trained on a text?

Each score is low where a text looks like one that was trained on. The area under the ROC curve is the probability that a text
held out scores higher than a member (a tie counts half): 0.5 where nothing can be told. *Privacy leakage* sets it beside the area
of a model that never saw the members (MUSE, Shi et al. 2024): 0 where both are alike.

Tokens' log-probabilities are in nats; a text's loss is −their mean.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

MIN_K = 0.4
"""The share of tokens that min-k looks at in MUSE and OpenUnlearning; the paper of min-k found 0.2 the best on WikiMIA."""
SMALLEST_VARIANCE = 1e-6
"""Below it a token's distribution is as good as certain, and min-k++ divides by this instead (as OpenUnlearning does)."""


def loss(log_probabilities: np.ndarray) -> float:
    """−mean log-probability of ``[tokens]``, nats per token (Yeom et al. 2018)."""
    return float(-log_probabilities.mean())


def loss_over_compressed_size(log_probabilities: np.ndarray, text: str) -> float:
    """The loss divided by the bytes that zlib compresses the text to (Carlini et al. 2021).

    The paper counts bits: a constant factor of 8, which changes no area.
    """
    return loss(log_probabilities) / len(zlib.compress(text.encode("utf-8")))


def min_k(log_probabilities: np.ndarray, share: float = MIN_K) -> float:
    """−mean of the least likely ``share`` of the tokens, at least one (Shi et al. 2024, 2310.16789)."""
    lowest = np.sort(log_probabilities)[: max(1, int(len(log_probabilities) * share))]
    return float(-lowest.mean())


def min_k_plus_plus(
    log_probabilities: np.ndarray, means: np.ndarray, variances: np.ndarray, share: float = MIN_K
) -> float:
    """:func:`min_k` of ``(log p − μ)/σ``, with mean and variance of log p over the vocabulary under p at each place.

    Source: Zhang et al. 2024 (2404.02936).
    """
    return min_k((log_probabilities - means) / np.sqrt(np.maximum(variances, SMALLEST_VARIANCE)), share)


def beyond_reference(own: float, of_the_reference: float) -> float:
    """The loss less that of a reference model (Carlini et al. 2022 as MIMIR and OpenUnlearning have it)."""
    return own - of_the_reference


def over_reference(own: float, of_the_reference: float) -> float:
    """The loss over that of a reference model, as MUSE's code has it."""
    return own / of_the_reference


def area(members: np.ndarray, held_out: np.ndarray) -> float:
    """The probability that a text held out scores higher than a member; NaN where one of the groups is empty."""
    from sklearn.metrics import roc_auc_score

    if not len(members) or not len(held_out):
        return math.nan
    labels = np.repeat([0, 1], [len(members), len(held_out)])
    return float(roc_auc_score(labels, np.concatenate([members, held_out])))


def privacy_leakage(own: float, of_the_retain_model: float) -> float:
    """MUSE's PrivLeak as a share (published in per cent), from areas as :func:`area` counts them: below 0 where members still
    look trained on (the published tables' sign; −1 is the most), above 0 where they look less so than texts held out; 0 where unseen.

    As in the code of MUSE and OpenUnlearning the areas count the other way round: ``(1 − own)/(1 − retain model's) − 1``.
    NaN where the retain model's area is 1.
    """
    return relative_difference(1 - own, 1 - of_the_retain_model)


def relative_difference(own: float, of_the_retain_model: float) -> float:
    """``(own − retain model's)/retain model's``: MUSE's formula as printed, with members as the positive class.

    Above 0 where members still look trained on. OpenUnlearning has it beside PrivLeak. NaN where it would divide by 0.
    """
    return (own - of_the_retain_model) / of_the_retain_model if of_the_retain_model else math.nan
