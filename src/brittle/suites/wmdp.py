"""WMDP-Bio and what stands beside it, as the hub publishes them: the documented texts to forget, to retain, and to compare."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

from brittle.data.corpora import hub_rows
from brittle.settings import BadInput

FORGET_SOURCE = ("cais/wmdp", "wmdp-bio", "test")

BENIGN_SOURCE = ("cais/mmlu", "all", "test")

BENIGN_SUBJECTS = ("anatomy", "college_biology", "high_school_biology", "human_aging", "medical_genetics", "nutrition")

RETAIN_SOURCE = ("Salesforce/wikitext", "wikitext-2-raw-v1", "train")

SHORTEST_RETAIN_TEXT = 50
"""WikiText lines of at most this many characters are headings and fragments."""


def hub_forget_texts(rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """The stems of the WMDP-Bio questions. ``rows`` of the same schema stand in for the hub."""
    rows = hub_rows(*FORGET_SOURCE) if rows is None else rows
    return [_field(row, ("question", "prompt"), FORGET_SOURCE[0], number) for number, row in enumerate(rows, 1)]


def hub_retain_texts(rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """The lines of WikiText-2 with more than 50 characters."""
    rows = hub_rows(*RETAIN_SOURCE) if rows is None else rows
    texts = (_field(row, ("text",), RETAIN_SOURCE[0], number) for number, row in enumerate(rows, 1))
    return [text for text in texts if len(text) > SHORTEST_RETAIN_TEXT]


def hub_benign_texts(forget: Sequence[str], rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """Stems of MMLU's harmless biology questions, as long as the ``forget`` stems: what mere topic and form do."""
    rows = hub_rows(*BENIGN_SOURCE) if rows is None else rows
    stems = [
        _field(row, ("question",), BENIGN_SOURCE[0], number)
        for number, row in enumerate(rows, 1)
        if _field(row, ("subject",), BENIGN_SOURCE[0], number) in BENIGN_SUBJECTS
    ]
    return matched_in_length(stems, forget)


def _field(row: Mapping[str, Any], names: Sequence[str], source: str, number: int) -> str:
    """The first of the named fields that a row of a hub data set has."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if not isinstance(value, str):
        raise BadInput(
            f"{source}, row {number}: no text under {' or '.join(names)}; the data set is not the one that was documented, "
            "so name local files instead"
        )
    return value.strip()


def matched_in_length(candidates: Sequence[str], like: Sequence[str]) -> list[str]:
    """Half of the candidates, so chosen that their lengths in words are spread as those of ``like``; in their order.

    At evenly spaced ranks of ``like`` the candidate nearest in length is taken that is still there.
    """
    lengths = sorted(len(text.split()) for text in like)
    left = sorted((len(text.split()), place) for place, text in enumerate(candidates))
    number = len(candidates) // 2
    chosen = []
    for rank in range(number):
        wanted = lengths[(2 * rank + 1) * len(lengths) // (2 * number)]
        after = bisect.bisect_left(left, (wanted, -1))
        near = min(range(max(after - 1, 0), min(after + 1, len(left))), key=lambda i: abs(left[i][0] - wanted))
        chosen.append(left.pop(near)[1])
    return [candidates[place] for place in sorted(chosen)]
