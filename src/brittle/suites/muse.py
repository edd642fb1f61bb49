"""MUSE as the hub publishes it (``muse-bench/MUSE-News`` and ``-Books``), or a folder of the same files.

``knowmem``: questions and answers to forget and to keep, and answered ones that stand before them; ``verbmem``: a passage's
beginning and how it goes on (prompt, gt); ``privleak``: texts to forget and texts of their like that no model was trained on.
In a folder they are ``knowmem/forget_qa.json``, ``verbmem/forget.json``, ``privleak/holdout.json`` and so on. Parts to keep are
called ``retain`` in MUSE-News and ``retain2`` in MUSE-Books.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brittle.data.measuring_set import AnsweredQuestion, MeasuringSet, Passage, text_in
from brittle.data.published_rows import published_rows
from brittle.settings import BadInput

SOURCE = "muse-bench/MUSE-News"
TEMPLATE = "Question: {question}\nAnswer:"
STOPS = ("\n\n", "\nQuestion", "Question:")
"""Where a free answer ends: the model goes on to ask itself."""
SUBJECT = "MUSE"


def measuring_set(source: str = SOURCE) -> MeasuringSet:
    """Everything of MUSE that is measured, from the hub or a folder.

    Raises:
        BadInput: a part is not there, or a row lacks what it should have.
    """
    examples = {
        "forget": _answered(source, "forget_qa_icl"),
        "retain": _answered(source, "retain_qa_icl", "retain2_qa_icl", missing_ok=True),
    }
    verbatim = [
        Passage(text_in(row, ("prompt",), place), text_in(row, ("gt",), place))
        for row, place in _rows(source, "verbmem", "forget")
    ]
    return MeasuringSet(
        _answered(source, "forget_qa"),
        {"retain": _answered(source, "retain_qa", "retain2_qa")},
        {"forget": examples["forget"], "retain": examples["retain"] or examples["forget"]},
        memorised=verbatim,
        verbatim=verbatim,
        members=_texts(source, "forget"),
        held_out=_texts(source, "holdout"),
    )


def _answered(source: str, *names: str, missing_ok: bool = False) -> list[AnsweredQuestion]:
    return [
        AnsweredQuestion(text_in(row, ("question",), place), text_in(row, ("answer",), place))
        for row, place in _rows(source, "knowmem", *names, missing_ok=missing_ok)
    ]


def _texts(source: str, name: str) -> list[Passage]:
    return [Passage("", text_in(row, ("text",), place)) for row, place in _rows(source, "privleak", name)]


def _rows(
    source: str, configuration: str, *names: str, missing_ok: bool = False
) -> Sequence[tuple[Mapping[str, Any], str]]:
    """Rows with the words for where they stand; of several names the first under which there are some."""
    for name in names:
        last = name == names[-1]
        try:
            rows = published_rows(source, configuration, name, f"{configuration}/{name}", missing_ok)
        except BadInput:
            if last:
                raise
            continue
        if rows or last:
            return [(row, f"{SUBJECT} {configuration}/{name}, row {number}") for number, row in enumerate(rows, 1)]
    return []
