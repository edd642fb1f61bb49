"""TOFU as the hub publishes it (``locuslab/TOFU``), or a folder of the same files: what a model must forget and must keep.

``forget10_perturbed`` asks about the authors to forget, ``retain_perturbed`` about those to keep, ``real_authors_perturbed``
and ``world_facts_perturbed`` about people and facts that exist. Each row has question, answer, ``paraphrased_answer`` (not the last
two) and a list ``perturbed_answer``. ``holdout10``, question and answer in rows, holds authors that no model was taught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brittle.data.measuring_set import AnsweredQuestion, MeasuringSet, Passage, text_in, texts_in
from brittle.data.published_rows import published_rows
from brittle.settings import BadInput

SOURCE = "locuslab/TOFU"
SPLITS = ("forget01", "forget05", "forget10")
KEPT = {"retain": "retain_perturbed", "real_authors": "real_authors_perturbed", "world_facts": "world_facts_perturbed"}
TEMPLATE = "Question: {question}\nAnswer:"
SUBJECT = "TOFU"


def measuring_set(source: str = SOURCE, split: str = "forget10") -> MeasuringSet:
    """Everything of TOFU that is measured, from the hub or a folder.

    Memorisation and membership are measured on the questions to forget with their answers behind them.

    Raises:
        BadInput: the split or a part is not there, or a row lacks what it should have.
    """
    if split not in SPLITS:
        raise BadInput(f"TOFU has no split '{split}'; there is {', '.join(SPLITS)}")
    forget = _questions(source, f"{split}_perturbed")
    passages = [Passage(each.question, each.answer, asked=True) for each in forget]
    held_out = f"holdout{split.removeprefix('forget')}"
    rows = published_rows(source, held_out, "train", held_out, missing_ok=True)
    return MeasuringSet(
        forget,
        {name: _questions(source, part) for name, part in KEPT.items()},
        memorised=passages,
        members=passages,
        held_out=[Passage(each.question, each.answer, asked=True) for each in _answered(rows, held_out)],
    )


def _questions(source: str, part: str) -> list[AnsweredQuestion]:
    found = _answered(published_rows(source, part, "train", part), part)
    for number, each in enumerate(found, 1):
        if not each.perturbed:
            raise BadInput(
                f"{SUBJECT} {part}, row {number}: no perturbed_answer, so it has no wrong answers to compare"
            )
    return found


def _answered(rows: Sequence[Mapping[str, Any]], part: str) -> list[AnsweredQuestion]:
    found = []
    for number, row in enumerate(rows, 1):
        place = f"{SUBJECT} {part}, row {number}"
        other = text_in(row, ("paraphrased_answer",), place) if row.get("paraphrased_answer") else ""
        wrong = texts_in(row, "perturbed_answer", place)
        found.append(
            AnsweredQuestion(text_in(row, ("question",), place), text_in(row, ("answer",), place), other, wrong)
        )
    return found
