"""``brittle measure``: OpenUnlearning's measures of models, each beside a model that never saw what is to be forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brittle.commands.options import Environment, Given, SettingsTypes, shared
from brittle.evaluation.question_forms import question_template, template_of
from brittle.settings import BadInput, references_in, resolve, setting
from brittle.suites.measured import SUITES
from brittle.suites.tofu import SPLITS

_SHARED = question_template().metadata
TEMPLATE = _SHARED | {"help": f"{_SHARED['help']}; auto: as the suite words them"}


@dataclass(frozen=True)
class MeasureSettings:
    """Which models are measured on what."""

    suite: str = setting(
        "laboratory", "what is measured: the models' own laboratory, tofu or muse", choices=tuple(SUITES)
    )
    source: str | None = setting(
        None, "folder with the suite's files, or its data set on the hub (default: locuslab/TOFU, muse-bench/MUSE-News)"
    )
    split: str = setting("forget10", "which part of TOFU is to be forgotten", choices=SPLITS)
    retain_model: str | None = setting(
        None, "model that never saw what is to be forgotten, for forget quality and privacy leakage (default: of a "
        "laboratory its filtered model; none: leave these out)",
    )  # fmt: skip
    reference_model: str | None = setting(None, "model whose loss members' losses are set beside (default: none)")
    question_template: str = field(default="auto", metadata=TEMPLATE)
    answer_tokens: int | None = setting(
        None, "tokens of a free answer (default: tofu 200, muse 32, laboratory 8)", minimum=1
    )
    verbatim_tokens: int = setting(128, "tokens of a passage that are compared with what the model says", minimum=1)
    min_k_share: float = setting(0.4, "share of the tokens that min-k and min-k++ look at", above=0, maximum=1)
    gradients: bool = setting(True, "measure gradient norms, one backward pass a text")
    limit: int | None = setting(None, "questions, passages and texts of each kind, for a quick look", minimum=1)
    batch_size: int = setting(8, "rows per forward pass", minimum=1)
    max_length: int | None = setting(None, "most tokens of a row (default: what the model reads)", minimum=2)
    device: str = shared("device")
    dtype: str = shared("dtype")
    outroot: str = shared("outroot")
    force: bool = shared("force", help="run again even if the records are complete")
    page: str | None = shared("page", help="also write the table to this Markdown file")


def measure_settings(_only: str | None = None) -> SettingsTypes:
    """How models are measured."""
    return [(MeasureSettings, {})]


def measure(given: Given, environment: Environment) -> int:
    """Measure the models that have no complete record, print the table and where it lies."""
    from brittle.records import check_file, write_text
    from brittle.views.measures import table
    from brittle.views.tables import markdown, terminal

    models = references_in(given.pop("models", None) or "", "models")
    if not models:
        raise BadInput("measure needs a model: brittle measure MODEL")
    settings = resolve(MeasureSettings, given, environment)
    if settings.page:
        check_file(Path(settings.page))
    folder = run(models, settings)
    if settings.page:
        write_text(Path(settings.page), markdown(table(folder)) + "\n")
    print("\n".join(terminal(table(folder))))
    print(f"-> {folder}")
    return 0


def run(models: list[str], settings: MeasureSettings) -> Path:
    """Measure all models one after the other, then write the table; returns its folder."""
    from brittle.evaluation.memorisation import check_rouge
    from brittle.models.devices import resolve_device
    from brittle.records import check_place
    from brittle.runs import laboratory_models
    from brittle.runs.job import missing
    from brittle.runs.measuring import Comparison, Measurement
    from brittle.suites.measured import measuring_set

    check_rouge()
    resolve_device(settings.device)
    retain = _retain_model(models, settings)
    named = [*models, *filter(None, (retain, settings.reference_model))]
    shown = measuring_set(settings.suite, settings.source, settings.split, named).limited(settings.limit)
    how, outputs = _how(settings), Path(settings.outroot)

    def measurement(reference: str | None) -> Measurement | None:
        return (
            Measurement(settings.suite, shown, laboratory_models.find(reference), how, outputs) if reference else None
        )

    beside, reference = measurement(retain), measurement(settings.reference_model)
    measured = [each for each in map(measurement, models) if each]
    comparison = Comparison(settings.suite, measured, beside, reference, outputs)
    check_place(comparison.folder, comparison.identity.kind)
    unlike = {each.folder: each for each in (*measured, beside, reference) if each}
    for job in missing(list(unlike.values()), settings.force):
        job.carry_out(lambda _: None)
    for table in missing([comparison], settings.force):
        table.carry_out(lambda _: None)
    return comparison.folder


def _retain_model(models: list[str], settings: MeasureSettings) -> str | None:
    from brittle.suites.measured import world_of

    if settings.retain_model == "none":
        return None
    if settings.retain_model or settings.suite != "laboratory":
        return settings.retain_model
    world = world_of(models)
    return f"laboratory:filtered@{world.size}-{world.seed}"


def _how(settings: MeasureSettings) -> Any:
    from brittle.runs.measuring import How

    suite = SUITES[settings.suite]
    template = suite.template if settings.question_template == "auto" else template_of(settings.question_template)
    named: Mapping[str, Any] = {
        name: getattr(settings, name)
        for name in (
            "verbatim_tokens", "min_k_share", "gradients", "batch_size", "max_length", "device", "dtype",
        )
    }  # fmt: skip
    return How(template, settings.answer_tokens or suite.answer_tokens, suite.stops, **named)
