"""Which facts of a suite a model knows: asked once, in every form, and kept; only what is right in all of them counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import leases, progress, source
from brittle.models.references import Located
from brittle.percentages import percent
from brittle.records import Identity, fingerprint, parents_of, writing
from brittle.runs.job import missing
from brittle.settings import home
from brittle.suites.countries import Fact

TABLE = "facts"


@dataclass(frozen=True)
class KnownFacts:
    """Facts put to a model, as a :class:`brittle.runs.job.Job`."""

    located: Located
    facts: tuple[Fact, ...]
    device: str = "auto"

    @property
    def identity(self) -> Identity:
        """The model, the questions, the code that asks them."""
        asked = fingerprint([[question.question, question.choices, question.answer] for question in self._questions()])
        code = source.digest_of("brittle.evaluation.multiple_choice_accuracy")
        return Identity("known facts", {"model": self.located.digest, "questions": asked, "source": code}, {})

    @property
    def folder(self) -> Path:
        """In the cache, named by what it depends on."""
        return home() / "known_facts" / f"{self.located.name}-{self.identity.fingerprint[:8]}"

    @property
    def size(self) -> int:
        """Questions."""
        return len(self._questions())

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Ask them all; one row per fact, the forms beside each other."""
        from brittle.evaluation.multiple_choice_accuracy import answered
        from brittle.models import room
        from brittle.models.loading import load

        room.check_fits([self.located], self.device)
        with writing(self.folder, self.identity) as draft:
            right = iter(answered(load(self.located, self.device), self._questions()))
            draft.table(TABLE, [_row(fact, [next(right) for _ in fact.questions()]) for fact in self.facts])
        tick(self.size)

    def rows(self) -> list[dict[str, Any]]:
        """The table: fact, relation, ``form_1`` … (1 where it was answered right) and ``known``; asked for first if need be."""
        import pandas

        with parents_of(self.folder), leases.held(self.folder, wait=True):  # two commands may need the same
            if missing([self]):
                progress.say(f"asking {self.located.text} {self.size} questions about {len(self.facts)} facts, once")
                self.carry_out(lambda _steps: None)
        table = pandas.read_csv(self.folder / f"{TABLE}.csv")
        return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]

    def _questions(self) -> list[Any]:
        return [question for fact in self.facts for question in fact.questions()]


def known(asked: KnownFacts) -> tuple[list[Fact], list[str]]:
    """The facts that were answered right in every form, and lines that say how many were, by side and relation."""
    rows = asked.rows()
    kept = [fact for fact, row in zip(asked.facts, rows, strict=True) if row["known"]]
    lines = [
        f"{len(kept)} of {len(rows)} facts count; {len(rows) - len(kept)} are dropped, since {asked.located.text} does not answer them "
        "right in every form"
    ]
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for fact, row in zip(asked.facts, rows, strict=True):
        parts.setdefault((fact.side, fact.relation), []).append(row)
    lines += [_line(side, relation, parts[side, relation]) for side, relation in sorted(parts)]
    return kept, lines


def _line(side: str, relation: str, rows: Sequence[dict[str, Any]]) -> str:
    forms = [name for name in rows[0] if name.startswith("form_")]
    each = ", ".join(percent(sum(row[form] for row in rows) / len(rows)) for form in forms)
    return f"  {side} {relation}: right in {each} by form; {sum(row['known'] for row in rows)} of {len(rows)} count"


def _row(fact: Fact, right: Sequence[bool]) -> dict[str, Any]:
    forms = {f"form_{number}": int(each) for number, each in enumerate(right, 1)}
    return {"fact": fact.name, "relation": fact.relation, **forms, "known": int(all(right))}
