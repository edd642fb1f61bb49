"""Does a model find the truth likelier than its near misses, and does it look like one that never saw the facts?

Every answer has a length-normalised probability ``p(a|q)^(1/|a|) = exp(−mean nats per token)``. A *truth ratio* sets wrong answers
beside the right one in other words: ``R = wrong / right``; 1 where both are alike, towards 0 where the model knows. The paper
of TOFU (Maini et al. 2024) takes the arithmetic mean over the wrong answers' probabilities, its published forget quality and
OpenUnlearning the geometric one, so both are here by names of their own. Forget quality is the p value of a two-sample
Kolmogorov-Smirnov test between the ratios of a model and those of one that never saw the facts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def probability(log_probabilities: np.ndarray) -> np.ndarray:
    """``p^(1/|y|)``, 0 to 1, from mean log-probabilities in nats per token, of any shape."""
    found: np.ndarray = np.exp(log_probabilities)
    return found


def probability_among_choices(log_probabilities: np.ndarray) -> np.ndarray:
    """The right answer's probability as a share of all answers', ``[questions]``, 0 to 1.

    Of ``log_probabilities [questions, answers]`` the first column is the right answer, −inf one that is not there. In nats per
    token they give what TOFU's and OpenUnlearning's code report for real authors and world facts; in nats per whole answer
    what the paper writes, which does not normalise by length there.
    """
    shares: np.ndarray = np.exp(log_probabilities[:, 0] - np.logaddexp.reduce(log_probabilities, axis=1))
    return shares


def ratio_of_the_paper(right: np.ndarray, wrong: Sequence[np.ndarray]) -> np.ndarray:
    """``R = mean(p_wrong) / p_right`` per question: the arithmetic mean over the wrong answers (TOFU, section 2.2.2).

    ``right [questions]`` and the questions' ``wrong`` answers are mean log-probabilities in nats per token.
    """
    return np.array([np.exp(each - own).mean() for own, each in zip(right, wrong, strict=True)])


def ratio_of_openunlearning(right: np.ndarray, wrong: Sequence[np.ndarray]) -> np.ndarray:
    """``R = exp(mean(log p_wrong)) / p_right`` per question: the geometric mean, as in OpenUnlearning.

    TOFU's own code takes the inverse of this one for forget quality.
    """
    return np.array([np.exp(each.mean() - own) for own, each in zip(right, wrong, strict=True)])


def likeness_to_a_guess(ratios: np.ndarray) -> float:
    """``mean(min(R, 1/R))``, 0 to 1: 1 where truth and near misses are alike. How forget questions are summed up."""
    return float(np.minimum(ratios, 1 / np.maximum(ratios, np.finfo(float).tiny)).mean())


def preference_for_the_truth(ratios: np.ndarray) -> float:
    """``mean(max(0, 1 − R))``, 0 to 1: 1 where only the truth is likely. How questions that must stay are summed up."""
    return float(np.maximum(0, 1 - ratios).mean())


def forget_quality(ratios: np.ndarray, of_the_retain_model: np.ndarray) -> float:
    """The p value, 0 to 1, of a two-sided two-sample Kolmogorov-Smirnov test between two models' truth ratios.

    1 where they are distributed alike; small where a model can be told from one that never saw the facts. The test sees ranks
    only: R and 1/R, which TOFU's code and OpenUnlearning hand to it, give the same.
    """
    from scipy.stats import ks_2samp

    return float(ks_2samp(ratios, of_the_retain_model).pvalue)
