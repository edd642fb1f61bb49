"""What is left of a model that has unlearned: the harmonic mean of nine numbers (TOFU, Maini et al. 2024).

Probability, ROUGE-L recall and truth ratio, each on questions that must stay, on their neighbours, and on what lies far away.
The harmonic mean is near the least of them: a model that lost one thing is not saved by the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

NUMBERS = ("probability", "rouge_l_recall", "truth_ratio")
"""Of each set of questions that must stay."""


def model_utility(numbers: Mapping[str, float]) -> float:
    """The harmonic mean of numbers from 0 to 1; 0 where one is 0, NaN where one was not measured or there is none."""
    from scipy.stats import hmean

    return float(hmean(list(numbers.values()))) if numbers else math.nan
