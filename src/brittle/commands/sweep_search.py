"""A search by Optuna over a sweep's models: what to make next, and what the ones that are made scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from brittle.commands.sweep_model import SweepModel
from brittle.results.ranking import ranked
from brittle.results.ranking_records import Models
from brittle.sweeps.driver import Entry, Status
from brittle.sweeps.optuna_search import Study
from brittle.sweeps.space import Given


@dataclass
class Search:
    """Between a study and the driver: asks the one for the other, and tells it what came out."""

    study: Study
    model_of: Callable[[Given], SweepModel]
    gpus_of: Callable[[SweepModel], int]
    score: str | None
    """By what models are ranked; None: by what was measured."""
    models: list[SweepModel] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """Trials by their model's title: a configuration that is chosen twice is made once."""

    def before(self) -> list[SweepModel]:
        """The models that the study knows of from earlier runs."""
        self.models = list({model.title: model for model in map(self.model_of, self.study.known())}.values())
        return self.models

    def more(self) -> Entry | None:
        """The next model; one that is finished already is told at once."""
        while (asked := self.study.ask()) is not None:
            number, given = asked
            model = self.model_of(given)
            waiting = self.numbers.setdefault(model.title, [])
            waiting.append(number)
            if len(waiting) > 1:  # it is being made
                continue
            if model.title not in {each.title for each in self.models}:
                self.models.append(model)
            entry = Entry(model, gpus=self.gpus_of(model))
            if model.finished():
                entry.status = Status.BEFORE
                self.ended(entry)
            return entry
        return None

    def ended(self, entry: Entry) -> None:
        """Tell the study what a model scored; of one that failed, is damaged or was not measured, that it gave nothing."""
        if not isinstance(entry.job, SweepModel):
            return
        good = entry.status in (Status.DONE, Status.BEFORE, Status.OTHERS)
        found = score_of(entry.job, self.score) if good else None
        for number in self.numbers.pop(entry.job.title, []):
            self.study.tell(number, found)


def score_of(model: SweepModel, name: str | None) -> float | None:
    """What a model is ranked by, the higher the better; None where it is damaged or was not measured."""
    from_attacks = name not in (None, "mmlu_minus_wmdp", "benign_minus_hazardous")
    folder: Path = model.plan.folder
    models = Models()
    models.read([folder], [model.outputs] if from_attacks else [])
    ranking = ranked(models.judged(), name)
    for row in ranking.runs.to_dict("records"):
        if row["name"] == folder.name and row["rank"] == row["rank"]:  # NaN: it has none
            return float(row["score"]) * (1 if ranking.score.higher else -1)
    return None
