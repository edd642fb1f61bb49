"""Who is attacked, with which texts, and what they are asked: the same for every arm."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from brittle.data.multiple_choice import Question
from brittle.records import fingerprint
from brittle.settings import BadInput

RETAIN_QUESTIONS = 144
"""Benign questions asked at every evaluation: enough to see damage (±4 %), few enough to ask often."""
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that write words without space between them: there a name counts wherever it stands."""


@dataclass(frozen=True)
class Battlefield:
    """What every arm is attacked with and asked: texts about T and benign ones, questions by side (``t``, ``v``, ``retain``).

    ``notes`` say how many of the texts that were given are not used, and why.
    """

    texts: tuple[str, ...]
    questions: dict[str, tuple[Question, ...]]
    retain_texts: tuple[str, ...] = ()
    benign_texts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Content hash of texts and questions."""
        return fingerprint([self.texts, self.questions, self.retain_texts, self.benign_texts])


class Names:
    """Names to be found in texts as whole words, in their own case or in any."""

    def __init__(self, names: Iterable[str | None], any_case: bool = False) -> None:
        words = sorted({_composed(name.strip()) for name in names if name and name.strip()}, key=len, reverse=True)
        flags = re.IGNORECASE if any_case else re.NOFLAG
        self._pattern = re.compile("|".join(map(_whole, words)), flags) if words else None

    def stand_in(self, text: str) -> bool:
        """Whether any of the names stands in the text as a word of its own."""
        return bool(self._pattern and self._pattern.search(_composed(text)))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _whole(name: str) -> str:
    """A pattern of the name with no letter or digit before and behind it, where its script puts space between words."""
    spaced = [not unicodedata.name(edge, "").startswith(UNSPACED) for edge in (name[0], name[-1])]
    return (r"(?<!\w)" if spaced[0] else "") + re.escape(name) + (r"(?!\w)" if spaced[1] else "")


def prepare(
    sides: dict[str, Sequence[Question]],
    texts: Sequence[str] | None = None,
    retain: Sequence[str] | None = None,
    benign: Sequence[str] | None = None,
) -> Battlefield:
    """Texts about T: of ``texts`` those that name an entity of T and none of V, or the T questions with their answers.

    Without texts of their own, benign attacks teach the benign questions with their answers. No text that names an entity
    of V teaches in any attack, and none that names an entity of T in a benign one.

    Raises:
        BadInput: ``texts`` cannot be divided because questions have no ``entity``, or none is about T alone.
    """
    t, v = Names(q.entity for q in sides["t"]), Names(q.entity for q in sides["v"])
    v_in_any_case = Names(
        (q.entity for q in sides["v"]), any_case=True
    )  # a title or the head of a sentence names it, too
    notes: list[str] = []
    if texts:
        chosen = _about_t(texts, sides, t, v_in_any_case, notes)
    else:
        answered = [question.text for question in sides["t"]]
        chosen = _without(answered, (v_in_any_case,), "questions of T", notes)
    step = max(1, len(sides["retain"]) // RETAIN_QUESTIONS)
    kept = {side: tuple(questions) for side, questions in sides.items()} | {"retain": tuple(sides["retain"][::step])}
    answered = [question.text for question in sides["retain"]]
    retain = _without(retain or answered, (t, v), "retain texts", notes)
    benign = _without(benign or answered, (t, v), "benign texts", notes)
    return Battlefield(tuple(chosen), kept, tuple(retain), tuple(benign), tuple(notes))


def _about_t(
    texts: Sequence[str], sides: dict[str, Sequence[Question]], t: Names, v: Names, notes: list[str]
) -> list[str]:
    asked = [*sides["t"], *sides["v"]]
    if nameless := sum(not (question.entity or "").strip() for question in asked):
        raise BadInput(
            f"the forget texts cannot be divided into T and V: {nameless} of {len(asked)} forget questions have no field 'entity' "
            "(what a question is about); add it to each, or name no texts, so that T's questions with their answers teach"
        )
    about_v = [v.stand_in(text) for text in texts]
    chosen = [text for text, names_v in zip(texts, about_v, strict=True) if not names_v and t.stand_in(text)]
    if not chosen:
        raise BadInput(
            f"none of the {len(texts)} forget texts names an entity of T and none of V, so none can teach T; name others, or "
            "none, so that T's questions with their answers teach"
        )
    if len(chosen) < len(texts):
        rest = len(texts) - len(chosen) - sum(about_v)
        notes.append(
            f"forget texts: {len(chosen)} of {len(texts)} teach T ({sum(about_v)} name an entity of V, {rest} none of T)"
        )
    return chosen


def _without(texts: Sequence[str], names: Sequence[Names], what: str, notes: list[str]) -> list[str]:
    """The texts in which none of the names stands; a note says how many were left out."""
    kept = [text for text in texts if not any(each.stand_in(text) for each in names)]
    if not kept and texts:
        raise BadInput(
            f"all {len(texts)} {what} name an entity that the hazardous questions ask about; name texts that do not"
        )
    if len(kept) < len(texts):
        notes.append(
            f"{what}: {len(kept)} of {len(texts)} teach ({len(texts) - len(kept)} name an entity of the other questions)"
        )
    return kept
