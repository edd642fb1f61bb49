"""How much of a text does a model bring back, token by token and word by word?

From one pass over a text, whether the likeliest token is the text's own at each place (``right``):
*exact memorisation* is the share of places where it is; *extraction strength* is the share of the text that follows by itself
once its beginning is given: with k the shortest beginning from which greedy decoding brings back all the rest, ``1 − k/|y|``
(Carlini et al. 2021; Wang et al. 2024). Every place after k must be right, so one pass tells what decoding would do.

ROUGE-L is the longest common subsequence of words between text and continuation, over the text's words (recall: TOFU,
with Porter's stemmer) or as the harmonic mean of that and its share of the continuation's words (F1: MUSE, without).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from brittle.settings import BadInput


def exact_memorisation(right: np.ndarray) -> float:
    """The share of tokens that are the likeliest where they stand, 0 to 1; ``right [tokens]`` bool, at least one."""
    return float(np.mean(right))


def extraction_strength(right: np.ndarray) -> float:
    """``1 − k/|y|``, 0 to 1: 1 where all of the text follows unasked, 0 where not even its last token does."""
    wrong = np.flatnonzero(~np.asarray(right, dtype=bool))
    return 1 - (int(wrong[-1]) + 1 if wrong.size else 0) / len(right)


def extraction_strength_of_openunlearning(right: np.ndarray) -> float:
    """The same as its code counts: k stops one token short of the end, so that no text has less than ``1/|y|``."""
    return max(extraction_strength(right), 1 / len(right))


def rouge_l_recall(text: str, said: str) -> float:
    """The share of the text's words that stand in the continuation in their order, 0 to 1, words stemmed (TOFU)."""
    return float(_scorer(True).score(text, said)["rougeL"].recall)


def rouge_l(text: str, said: str) -> float:
    """F1 of ROUGE-L, 0 to 1, words as they stand (MUSE)."""
    return float(_scorer(False).score(text, said)["rougeL"].fmeasure)


def check_rouge() -> None:
    """Refuse in one line where the library is not installed."""
    try:
        import rouge_score  # noqa: F401
    except ImportError:
        raise BadInput(
            "ROUGE needs rouge-score, which is not installed; install it with: uv sync --extra benchmarks"
        ) from None


@cache
def _scorer(stemmed: bool) -> Any:
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=stemmed)
