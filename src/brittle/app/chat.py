"""The page *Chat*: one prompt to up to three models, whose texts come side by side, token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from brittle.app import choosing, colours, imports, shown
from brittle.app.loaded import Held, models
from brittle.bad_input import BadInput
from brittle.models.generation_settings import GenerationSettings
from brittle.views import html
from brittle.views.tables import Content, Share, Table

ENDED = {
    "end of text": "the text ended",
    "max tokens": "as many tokens as asked for",
    "context full": "the context is full",
}


@dataclass
class Answer:
    """What one model says to the prompt, as far as it is known."""

    reference: str
    held: Held | None = None
    problem: str = ""
    cut: str = ""
    tokens: list[Any] = field(default_factory=list)
    """:class:`brittle.models.generation.Token`."""
    asked: list[Any] = field(default_factory=list)
    """The prompt's own tokens."""
    choices: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ended(self) -> str:
        """Why it ended; stopped where no token says so."""
        last = self.tokens[-1].ended if self.tokens else ""
        return ENDED.get(last, "stopped")


@dataclass(frozen=True)
class Asked:
    """What was sent."""

    prompt: str
    choices: tuple[str, ...]
    template: bool
    settings: GenerationSettings


def page() -> None:
    """Choose models, write a prompt, see what each goes on with."""
    shown.begin(
        "Chat",
        "The same prompt to several models, side by side. The darker a word's ground, the less the model expected it.",
    )
    references = choosing.chosen()
    asked = _form()
    if asked is not None:
        st.session_state["answers"] = [Answer(reference) for reference in references]
        if not references:
            shown.problem("no model is chosen; choose one above, for example laboratory:base")
            return
        _ask(asked, st.session_state["answers"])
    elif st.session_state.get("answers"):
        answers = st.session_state["answers"]
        for answer, place in zip(answers, _columns(answers)):
            place.show(answer, running=False)
        _choices(answers)


def _form() -> Asked | None:
    """What is asked; None until it is sent."""
    with st.form("ask", border=False):
        prompt = st.text_area(
            "Prompt", key="prompt", bind="query-params", height=100, placeholder="text that the models go on with"
        )
        listed = st.text_area(
            "Answer choices, one a line (optional): how likely each model finds them",
            key="choices",
            bind="query-params",
            height=80,
        )
        with st.expander("Settings"):
            defaults = GenerationSettings()
            left, right = st.columns(2)
            most = left.number_input("Most new tokens", 1, 100_000, 64, key="tokens", bind="query-params")
            heat = right.number_input(
                "Temperature (0: the likeliest token)",
                0.0,
                10.0,
                defaults.temperature,
                0.1,
                key="temperature",
                bind="query-params",
            )
            top_p = left.number_input("Top p", 0.01, 1.0, defaults.top_p, 0.05, key="top_p", bind="query-params")
            seed = right.number_input("Seed of what is drawn", 0, 2**31, defaults.seed, key="seed", bind="query-params")
            template = st.checkbox(
                "Put the prompt into the tokenizer's chat template", key="template", bind="query-params"
            )
        sent = st.form_submit_button("Send", type="primary")
    if not sent:
        return None
    choices = tuple(line.strip() for line in listed.splitlines() if line.strip())
    return Asked(prompt, choices, template, GenerationSettings(int(most), heat, top_p, defaults.top_k, int(seed)))


def _ask(asked: Asked, answers: Sequence[Answer]) -> None:
    """Load every model, then let them speak in turns of one token; a click on *Stop* ends it and keeps what was said."""
    stop = st.empty()
    stop.button("Stop")  # any click runs the page anew, which ends this run at the next token
    places = _columns(answers)
    running: dict[int, Iterator[Any]] = {}
    for number, answer in enumerate(answers):
        places[number].status("loading …")
        try:
            running[number] = _begin(asked, answer)
        except BadInput as problem:
            answer.problem = str(problem)
        except (OSError, MemoryError, RuntimeError) as problem:
            answer.problem = shown.words_of(problem)
        places[number].show(answer, running=number in running)
    _choices(answers)
    while running:
        for number in list(running):
            if not _next(answers[number], running[number]):
                del running[number]
            places[number].show(answers[number], running=number in running)
    stop.empty()


def _begin(asked: Asked, answer: Answer) -> Iterator[Any]:
    """Load the model and read the prompt; the tokens that follow are not begun."""
    imports.models()
    from brittle.models import generation

    if not asked.prompt.strip():
        raise BadInput("the prompt is empty; write what the model is to go on with")
    answer.held = held = models().get(answer.reference)
    choosing.remember(answer.reference)
    with held.lock:
        said = [{"role": "user", "content": asked.prompt}]
        prompt = generation.prepare(held.model, said if asked.template else asked.prompt, asked.settings.max_tokens)
        if prompt.cut:
            answer.cut = f"the prompt is longer than the context: its first {prompt.cut} tokens were left out: {prompt.cut_text[:200]}"
        answer.asked = generation.surprise(held.model, asked.prompt)
        if asked.choices:
            answer.choices = generation.choice_probabilities(held.model, asked.prompt, asked.choices)
    return generation.stream(held.model, prompt, asked.settings)


def _next(answer: Answer, tokens: Iterator[Any]) -> bool:
    """One token more; whether there may be another."""
    assert answer.held is not None
    began = time.monotonic()
    try:
        with answer.held.lock:
            answer.tokens.append(next(tokens))
    except StopIteration:
        return False
    except BadInput as problem:
        answer.problem = str(problem)
        return False
    except (OSError, MemoryError, RuntimeError) as problem:
        answer.problem = shown.words_of(problem)
        return False
    answer.seconds += time.monotonic() - began
    return not answer.tokens[-1].ended


class _Place:
    """The column of one model."""

    def __init__(self, name: str) -> None:
        shown.heading(name)
        self.text, self.below = st.empty(), st.empty()

    def status(self, words: str) -> None:
        """What is being done; the app's own words."""
        self.below.caption(words)

    def show(self, answer: Answer, running: bool) -> None:
        """What is known so far."""
        if answer.problem:
            with self.text.container():
                shown.problem(answer.problem)
            if not answer.tokens:
                self.below.empty()
                return
        else:
            self.text.html(f'<div class="report"><div class="said">{colours.marked(answer.tokens)}</div></div>')
        if running:
            self.below.caption(f"{len(answer.tokens)} tokens …")
            return
        with self.below.container():
            speed = f", {len(answer.tokens) / answer.seconds:.0f} a second" if answer.seconds > 0 else ""
            st.caption(f"{len(answer.tokens)} tokens{speed}; {answer.ended}. {colours.mean_words(answer.tokens)}")
            if answer.cut:
                shown.remark(answer.cut)
            if answer.asked:
                with st.expander(f"How it reads the prompt: {colours.mean_words(answer.asked)}"):
                    shown.markup(f'<div class="said">{colours.marked(answer.asked)}</div>')


def _columns(answers: Sequence[Answer]) -> list[_Place]:
    places = []
    for column, answer in zip(st.columns(max(1, len(answers))), answers):
        with column:
            places.append(_Place(answer.reference))
    shown.markup(colours.legend())
    return places


def _choices(answers: Sequence[Answer]) -> None:
    """How likely every model finds each answer choice, beside each other."""
    told = [answer for answer in answers if answer.choices]
    if not told:
        return
    rows: list[list[Content]] = [
        [choice.text, *(Share(answer.choices[place].share) for answer in told)]
        for place, choice in enumerate(told[0].choices)
    ]
    shown.heading("How likely each answer choice is")
    shown.markup(html.table(Table(("choice", *(answer.reference for answer in told)), rows)))
    shown.paragraph(
        "Shares of the choices' likelihoods, mean over their tokens; all choices together are 100 %.", "note"
    )
