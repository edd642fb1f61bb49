"""Who is attacked, with which texts, and what they are asked: the same for every arm."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from brittle.data.multiple_choice import Question
from brittle.records import fingerprint
from brittle.settings import BadInput

RETAIN_QUESTIONS = 144
"""Benign questions asked at every evaluation: enough to see damage (±4 %), few enough to ask often."""
SHOWN = {"t": "T", "v": "V", "retain": "benign ones"}
HELD_OUT = 12
"""Held-out benign texts of each kind that are read at every evaluation."""
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
    held_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Benign texts by kind that teach in no attack: their likelihood says whether the model still works."""
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Content hash of texts and questions."""
        return fingerprint([self.texts, self.questions, self.retain_texts, self.benign_texts, self.held_out])


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
    held_out: Mapping[str, Sequence[str]] | None = None,
    asked: int | None = None,
) -> Battlefield:
    """Texts about T: of ``texts`` those that name an entity of T and none of V, or the T questions with their answers.

    Of ``held_out`` benign texts, the first of each kind are kept to see what an attack costs; none of them teaches.

    Without texts of their own, benign attacks teach the benign questions with their answers. No text that names an entity
    of V teaches in any attack, and none that names an entity of T in a benign one. ``asked``: how many questions of each side
    at most are asked, by :func:`whole_facts`; what teaches is the same.

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
    most = {side: len(questions) for side, questions in sides.items()} | {"retain": RETAIN_QUESTIONS}
    kept = {side: tuple(whole_facts(sides[side], min(asked or most[side], most[side]))) for side in sides}
    if asked:
        told = ", ".join(f"{len(kept[side])} of {len(sides[side])} of {word}" for side, word in SHOWN.items())
        notes.append(f"questions asked at every evaluation: {told}")
    answered = [question.text for question in sides["retain"]]
    apart = {text for part in (held_out or {}).values() for text in part}
    retain = _without([text for text in retain or answered if text not in apart], (t, v), "retain texts", notes)
    benign = _without(benign or answered, (t, v), "benign texts", notes)
    watched = {kind: tuple(part[:HELD_OUT]) for kind, part in (held_out or {}).items()}
    return Battlefield(tuple(chosen), kept, tuple(retain), tuple(benign), watched, tuple(notes))


def whole_facts(questions: Sequence[Question], number: int, seed: int = 0) -> list[Question]:
    """About ``number`` questions, each fact with all of its forms; entities (without any, subjects) take turns in giving one.

    In the order of the questions; all of them where there are no more. The last fact is taken whole, so a few more may come.
    """
    facts: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        facts.setdefault(question.fact or question.question, []).append(index)
    by_entity: dict[str, list[str]] = {}
    for name, places in facts.items():
        first = questions[places[0]]
        by_entity.setdefault(first.entity or first.subject, []).append(name)
    for entity, names in by_entity.items():
        random.Random(f"{seed} {entity}").shuffle(names)
    order = sorted(by_entity)
    random.Random(seed).shuffle(order)
    chosen: list[int] = []
    for turn in range(max(map(len, by_entity.values()), default=0)):
        for entity in order:
            if len(chosen) < number and turn < len(by_entity[entity]):
                chosen += facts[by_entity[entity][turn]]
    return [questions[index] for index in sorted(chosen)]


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
