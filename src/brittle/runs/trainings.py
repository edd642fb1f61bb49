"""Several trainings of each laboratory reference, over several worlds: built, compared with the base of the same number, and
written as one table, ``references.csv``, from which :mod:`brittle.results.trainings` says what a measure can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import progress
from brittle.models.references import Located
from brittle.records import check_file, column, write_text
from brittle.results.headlines import headlines, read
from brittle.results.reader import Reader
from brittle.results.record_files import read_records, read_summaries
from brittle.results.trainings import KINDS, TABLE
from brittle.runs import comparisons, executor, laboratory_models
from brittle.runs.chosen import chosen
from brittle.runs.diagnosis import Comparison
from brittle.runs.failures import Failure
from brittle.runs.material import Material, questions_by_side
from brittle.suites import laboratory
from brittle.suites.laboratory import Laboratory, numbered

if TYPE_CHECKING:
    import pandas

WORLDS = 3
"""Over as many worlds trainings are spread, as evenly as they go: five as 2, 2 and 1."""


@dataclass(frozen=True)
class Training:
    """One training of every kind: the models of one number in one world."""

    size: str
    world: int
    number: int

    def reference(self, kind: str) -> str:
        """The laboratory model of a kind."""
        return f"{laboratory.PREFIX}{numbered(kind, self.number)}@{self.size}-{self.world}"


@dataclass(frozen=True)
class Row:
    """``references.csv``: one measure of one model beside the base of its training."""

    pair: str = column("the base and the model that is compared with it")
    kind: str = column("what the model is: filtered, retrained or reinitialised")
    measure: str = column("DIAGNOSTIC.KEY of the diagnostic's summary")
    value: float = column("the measure; of a diagnostic of single models, that of the model by itself")
    world: int = column("seed of the world")
    training: int = column("number of the training in this world, from 0")


def spread(size: str, number: int, world: int) -> list[Training]:
    """``number`` trainings over :data:`WORLDS` worlds, the first of which is ``world``."""
    each = [number // WORLDS + (place < number % WORLDS) for place in range(WORLDS)]
    return [Training(size, world + place, own) for place, count in enumerate(each) for own in range(count)]


def build(trainings: Sequence[Training]) -> dict[str, Path]:
    """Train base, filtered, retrained and reinitialised of each where they are not there yet; their folders by reference."""
    folders: dict[str, Path] = {}
    for size, world in dict.fromkeys((each.size, each.world) for each in trainings):
        own = [each for each in trainings if (each.size, each.world) == (size, world)]
        names = {each.reference(kind): numbered(kind, each.number) for each in own for kind in ("base", *KINDS)}
        built = laboratory_models.build(Laboratory(size, world), list(names.values()))
        folders |= {reference: built[name] for reference, name in names.items()}
    return folders


def diagnose(trainings: Sequence[Training], outputs: Path) -> tuple[Path, list[Failure]]:
    """Compare the models of each training, side by side, below ``outputs/references``; write and return the table.

    What no complete record covers is measured; what fails is returned and its values are absent from the table.
    """
    check_file(outputs / TABLE)
    work = [_work(training, trainings, outputs / "references") for training in trainings]
    for session, parts in work:
        session.check(parts)
    workers = min(comparisons.side_by_side(*each) for each in work)
    failures: list[Failure] = []
    if workers < 2:
        for session, parts in work:
            with progress.work("references", len(parts), "part") as bar:
                comparisons.one_after_the_other(session, parts, bar.update, bar.tell)
            failures += session.failures
    else:
        tasks = [executor.Task(comparisons.share, each, len(each[1])) for each in work]
        for some in executor.run(tasks, "references", "part", workers):
            failures += some
    write_text(outputs / TABLE, table(trainings, outputs / "references").to_csv(index=False))
    return outputs / TABLE, failures


def table(trainings: Sequence[Training], outputs: Path) -> pandas.DataFrame:
    """The rows of :class:`Row` from the records; what was not measured has none."""
    import pandas

    reader = Reader(outputs)
    summaries: dict[str, Any] = dict(read_summaries(reader, read_records(reader)))
    rows = []
    for plugin, headline in headlines():
        for training in trainings:
            base = laboratory_models.located_name(training.reference("base"))
            for kind in KINDS:
                other = laboratory_models.located_name(training.reference(kind))
                folder = f"{base}__to__{other}" if plugin.constants["SCOPE"] == "pair" else other
                value = read(summaries.get(f"{folder}/{plugin.name}", {}), headline.key)
                if value is not None:
                    pair = f"{training.reference('base')} → {training.reference(kind)}"
                    measure = f"{plugin.name}.{headline.key}"
                    rows.append(Row(pair, kind, measure, value.value, training.world, training.number))
    return pandas.DataFrame(rows, columns=list(Row.__dataclass_fields__))


def _work(
    training: Training, trainings: Sequence[Training], outputs: Path
) -> tuple[Comparison, list[comparisons.Part]]:
    """The comparisons of one training. The yardstick of causal depth is another training's filtered model: beside itself the
    filtered model would show 1 whatever it does; a world with one training has none."""
    own = Laboratory(training.size, training.world)
    base, *others = (laboratory_models.find(training.reference(kind)) for kind in ("base", *KINDS))
    same = [each for each in trainings if each.world == training.world]
    following = same[(same.index(training) + 1) % len(same)]
    filtered: Located | None = None
    if following != training:
        filtered = laboratory_models.find(following.reference("filtered"))
    session = Comparison(
        outputs, Material(own.probes(), questions_by_side(**own.questions()), own=own), overrides=laboratory.DIAGNOSED,
        only=[plugin.name for plugin, _ in chosen(laboratory.DIAGNOSED)], random=False, filtered=filtered,
    )  # fmt: skip
    return session, [part for other in others for part in ((base, other), (other,))]
