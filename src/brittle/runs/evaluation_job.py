"""Step 0 of one model as a job: what it knows, in general and of each side (:mod:`brittle.runs.evaluation`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import source
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.models.references import Located
from brittle.records import Identity, fingerprint, writing
from brittle.runs import evaluation
from brittle.runs.executor import Tick
from brittle.runs.session import Session


@dataclass(frozen=True)
class ModelEvaluation:
    """The questions of a session to one model, as a :class:`brittle.runs.job.Job`."""

    session: Session
    located: Located

    @property
    def identity(self) -> Identity:
        """The model, the questions and how they are asked, the texts, the code."""
        material = self.session.material
        code = source.digest_of(
            accuracy.__name__, "brittle.evaluation.open_answers", files=("brittle.runs.evaluation",)
        )
        read: dict[str, Any] = {"model": self.located.digest, "questions": material.asked, **self.session.ran}
        read |= {"forms": dict(material.forms), "source": code}
        return Identity(accuracy.NAME, read, {"texts": fingerprint([material.texts, material.held_out])})

    @property
    def folder(self) -> Path:
        """``<model>/evals``, unless the user chose another."""
        return self.session.place(self.session.outputs / self.located.name, accuracy.NAME)

    @property
    def size(self) -> int:
        """One record."""
        return 1

    def carry_out(self, tick: Tick) -> None:
        """Load the model, ask it, write the record."""
        with writing(self.folder, self.identity) as draft:
            evaluation.write_evaluation(draft, self.session.loaded(self.located), self.session.material)
            draft.note(**self.session.ran)
        tick(1)
