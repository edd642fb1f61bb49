"""What is true of a planted model, measured: what it answers as it is, and what it answers after the exact inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brittle import source
from brittle.data.multiple_choice import Question
from brittle.models.references import Located
from brittle.records import Identity, column, writing
from brittle.runs import planted_models
from brittle.suites import planted

if TYPE_CHECKING:
    import numpy as np

    from brittle.models.loading import LoadedModel

TEXTS = 100
"""Benign texts whose likelihood is measured."""


@dataclass(frozen=True)
class Row:
    """``truth.csv``: one planted model. Accuracies 0 to 1, likelihoods in nats per token on benign texts."""

    model: str = column("name in the outputs folder")
    kind: str = column("kind of hiding")
    host: str = column("laboratory model that was edited")
    seed: int = column("draw of the edit")
    hidden: bool = column("whether the host learned the hazardous facts, so that they are hidden")
    forget_host: float = column("accuracy on the hazardous questions before the edit")
    forget: float = column("the same after it")
    forget_revealed: float = column("the same after the exact inverse")
    retain_host: float = column("accuracy on benign questions before the edit")
    retain: float = column("the same after it")
    loss_host: float = column("negative log-likelihood of benign texts before the edit")
    loss: float = column("the same after it")
    difference: float = column(
        "largest difference of a hazardous choice's log-probability, revealed from host, in nats"
    )


@dataclass(frozen=True)
class Truth:
    """The check of one planted model, as a :class:`brittle.runs.job.Job`."""

    located: Located
    host: Located
    outputs: Path

    @property
    def identity(self) -> Identity:
        """Both models and the code that asks them."""
        code = source.digest_of("brittle.models.likelihood", files=("brittle.runs.planted_truth",))
        return Identity(
            "truth", {"model": self.located.digest, "host": self.host.digest, "source": code}, {"texts": TEXTS}
        )

    @property
    def folder(self) -> Path:
        """Where its record lies."""
        return self.outputs / self.located.name

    @property
    def size(self) -> int:
        """Three models are asked."""
        return 3

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Ask host, planted and revealed model."""
        from brittle.models.loading import load

        own = planted.parse(self.located.text)
        prose = own.known.benign_texts[-TEXTS:]
        sides = own.own.questions()
        found = []
        for loaded, prefix in (
            (load(self.host, "cpu", "fp32"), ""), (load(self.located, "cpu", "fp32"), ""), planted_models.reveal(self.located)
        ):  # fmt: skip
            found.append(_ask(loaded, sides["forget"], sides["retain"], prose, prefix))
            tick(1)
        (before, values), (after, _), (revealed, again) = found
        row = Row(
            self.located.name, own.kind, own.host, own.seed, own.hidden, before[0], after[0], revealed[0], before[1], after[1],
            before[2], after[2], float(abs(again - values).max()),
        )  # fmt: skip
        with writing(self.folder, self.identity) as draft:
            draft.table("truth", [row])


def _ask(
    loaded: LoadedModel, hazardous: Sequence[Question], benign: Sequence[Question], prose: Sequence[str], prefix: str
) -> tuple[tuple[float, float, float], np.ndarray]:
    """Accuracy on hazardous and benign questions, likelihood of texts, and every hazardous choice's log-probability."""
    from brittle.models.likelihood import mean_negative_log_likelihood, score
    from brittle.models.prepared_questions import prepare

    both = [score(loaded, prepare(loaded.tokenizer, part, prefix)) for part in (hazardous, benign)]
    loss, _ = mean_negative_log_likelihood(loaded, prose)
    return (float(both[0].correct.mean()), float(both[1].correct.mean()), loss), both[0].log_probabilities[-1]
