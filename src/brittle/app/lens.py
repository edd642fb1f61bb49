"""The page *Lens*: one question read at every depth of up to three models, as it is (logit lens) or translated (tuned lens)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from brittle import progress
from brittle.app import choosing, shown
from brittle.app.loaded import Held, models
from brittle.bad_input import BadInput
from brittle.data.multiple_choice import Question
from brittle.figures.of_lens import heat_map
from brittle.records import fingerprint
from brittle.suites import laboratory

LENSES = ("logit", "tuned")
TEXTS = 300
"""Texts at most that a tuned lens learns from here: enough for small models, and minutes for large ones."""


@dataclass(frozen=True)
class Asked:
    """One question and how it is read."""

    question: Question
    known: bool
    """Whether the right choice was named."""
    lens: str
    texts: str


def page() -> None:
    """Choose models and a question, see at which layer the answer can be read."""
    shown.begin(
        "Lens",
        "At which layer can the answer be read? An answer that is there inside and gone at the end is hidden, not erased.",
    )
    references = choosing.chosen()
    asked = _form(references)
    if asked is None:
        return
    if not references:
        shown.problem("no model is chosen; choose one above, for example laboratory:base")
        return
    stop = st.empty()
    stop.button("Stop")
    for column, reference in zip(st.columns(len(references)), references):
        with column:
            shown.heading(reference)
            shown.attempt(partial(_show, reference, asked))
    stop.empty()
    shown.paragraph(
        "Each row is a layer and adds up to 100 % over the choices. A model that never knew is near guessing in every row. "
        "Dark inside and pale on top: the answer is there, and the last layers hide it.", "note",
    )  # fmt: skip


def _form(references: Sequence[str]) -> Asked | None:
    example = _example(references)
    with st.form("lens", border=False):
        question = st.text_area(
            "Question", key="question", bind="query-params", height=80, placeholder=example.question if example else ""
        )
        listed = st.text_area("Answer choices, one a line; * before the right one", key="choices", bind="query-params", height=110,
                              placeholder="\n".join(example.choices) if example else "")  # fmt: skip
        lens = st.selectbox(
            "Lens: hidden states as they are (logit), or after a translation learned on texts (tuned)",
            LENSES,
            key="lens",
            bind="query-params",
        )
        texts = st.text_input(
            "File of texts that the tuned lens learns from (a laboratory brings its own)",
            key="texts",
            bind="query-params",
        )
        sent = st.form_submit_button("Read", type="primary")
    if not sent:
        return None
    if not question.strip() and not listed.strip() and example is not None:
        return Asked(example, True, lens or "logit", texts.strip())
    lines = [line.strip() for line in listed.splitlines() if line.strip()]
    starred = [place for place, line in enumerate(lines) if line.startswith("*")]
    choices = tuple(line.removeprefix("*").strip() for line in lines)
    if not question.strip() or len(choices) < 2:
        shown.problem("a question and two answer choices or more are needed; write them above, a choice on each line")
        return None
    try:
        own = Question(question.strip(), choices, starred[0] if starred else 0, "")
    except ValueError as problem:
        shown.problem(f"{problem}; write different choices, one a line")
        return None
    return Asked(own, bool(starred), lens or "logit", texts.strip())


def _example(references: Sequence[str]) -> Question | None:
    """A hazardous question of the laboratory whose model was chosen, asked where nothing else is written."""
    for reference in references:
        if reference.startswith(laboratory.PREFIX):
            try:
                return laboratory.parse(reference)[1].questions()["forget"][0]
            except BadInput:
                continue
    return None


def _show(reference: str, asked: Asked) -> None:
    """Load the model, learn the lens if it is to be learned, ask at every depth, draw."""
    place = st.empty()
    place.caption("loading …")
    try:
        held = models().get(reference)
        choosing.remember(reference)
        with held.lock, progress.heard_by(partial(_tell, place)):
            shares = _shares(held, asked)
    finally:
        place.empty()
    right = asked.question.answer if asked.known else None
    shown.chart(
        heat_map(asked.question.choices, right, shares),
        f"answer choices by layer in {reference}",
        key=f"lens {reference}",
    )


def _tell(place: Any, work: progress.Work) -> None:
    place.progress(_share(work), "working")


def _share(work: progress.Work) -> float:
    return min(1.0, work.done / work.total) if work.total else 0.0


def _shares(held: Held, asked: Asked) -> list[list[float]]:
    """``[depths][choices]``: the choices' likelihoods, mean over their tokens, as shares."""
    import numpy

    from brittle.models.likelihood import as_it_is, score

    translate = as_it_is if asked.lens == "logit" else _tuned(held, asked).translate
    logs = score(held.model, [asked.question], depths="all", translate=translate).log_probabilities[:, 0, :]
    weights = numpy.exp(logs - logs.max(axis=-1, keepdims=True))
    shares: list[list[float]] = (weights / weights.sum(axis=-1, keepdims=True)).tolist()
    return shares


def _tuned(held: Held, asked: Asked) -> Any:
    """The model's tuned lens; learned once for each set of texts, and it leaves with the model."""
    from brittle.models import tuned_lens

    texts = _texts(held.reference, asked.texts)
    key = fingerprint(texts)
    if key not in held.lenses:
        held.lenses[key] = tuned_lens.train(held.model, texts)
    return held.lenses[key]


def _texts(reference: str, file: str) -> list[str]:
    """From the file that was named, else the laboratory's forget and retain texts in turn."""
    from brittle.data.corpora import read_texts

    if file:
        return read_texts(Path(file).expanduser(), limit=TEXTS)
    if reference.startswith(laboratory.PREFIX):
        texts = laboratory.parse(reference)[1].texts()
        return [text for pair in zip(texts["forget"], texts["retain"]) for text in pair][:TEXTS]
    raise BadInput(
        "a tuned lens learns from texts; name a file of texts above, such as data/retain.txt, or take the logit lens"
    )
