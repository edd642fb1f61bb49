"""One diagnostic by name, for the documented programs and ``brittle diagnose``: the pipeline's own path and records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.commands.options import DATA, Environment, Given, SettingsTypes, carried, next_step, of_plugins, shared
from brittle.commands.pipeline_settings import CompareSettings
from brittle.data.corpora import text_column
from brittle.data.multiple_choice import answers_from
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.evaluation.question_forms import num_questions, question_format, question_template
from brittle.models.references import Located
from brittle.records import read_record
from brittle.runs import laboratory_models
from brittle.runs.chosen import check_layers, chosen, flag, from_environment, refuse_unknown
from brittle.runs.diagnosis import Comparison
from brittle.runs.material import Material, questions_of, texts_of
from brittle.runs.observations import read_by, reads_records
from brittle.settings import LARGEST_SEED, BadInput, fields_of, near_path, references_in, resolve, setting
from brittle.suites import laboratory

EVALUATION = accuracy.NAME


@dataclass(frozen=True)
class DiagnoseSettings:
    """A single diagnostic on models that the user names."""

    model: str | None = setting(None, "model (diagnostics of one model)")
    model_a: str | None = setting(None, "base model of a comparison")
    model_b: str | None = setting(None, "the model compared with it")
    outroot: str = shared("outroot")
    device: str = shared("device")
    dtype: str = shared(
        "dtype", help="number type; weights are cast to it before they are subtracted (auto: as stored)"
    )
    forget_text: str | None = shared("forget_text")
    retain_text: str | None = shared("retain_text")
    text_column: str | None = text_column()
    forget_questions: str | None = shared("forget_questions")
    retain_questions: str | None = shared("retain_questions")
    question_format: str = question_format()
    question_template: str = question_template()
    answers_from: int | None = answers_from()
    num_questions: int = num_questions()
    outdir: str | None = setting(
        None, "folder for this diagnostic's tables (default: derived from --outroot and the models)"
    )
    plot_outdir: str | None = setting(None, "folder for its figures (default: as documented, beside the tables)")
    title: str | None = setting(None, "line under the figures' titles (default: the models)")
    seed: int = setting(42, "seed of what is sampled, such as benign questions", minimum=0, maximum=LARGEST_SEED)
    control: str = shared(
        "control", help="an independent retraining of model A: its own comparison stands beside this one"
    )
    filtered: str = shared(
        "filtered",
        default="none",
        help="model that never saw the data, the yardstick of causal_depth, or two with a comma between them",
    )
    random_control: bool = shared(
        "random_control", help="measure a random update with the same singular values beside the comparison"
    )
    benign_text: str | None = shared("benign_text")
    force: bool = shared("force")


def diagnose_models(given: Given, environment: Environment) -> int:
    """Run the diagnostic, and say where its results lie."""
    name = given.pop("name")
    settings = resolve(DiagnoseSettings, given, environment)
    folder = diagnose(name, settings, given, environment)
    for line in answer(folder, settings):
        print(line)
    print(f"-> {folder}")
    return 0


def diagnose_settings(only: str | None = None) -> SettingsTypes:
    """The models and texts, and the diagnostics' own settings."""
    types = of_plugins("diagnostics", only and {only})
    return [(DiagnoseSettings, {}), *((settings_type, {} if only else used_by) for settings_type, used_by in types)]


def lacking(given: Given) -> list[str]:
    """The required settings that are not given: a name, and the models that this diagnostic looks at."""
    name = given.get("name")
    if not name:
        return ["name"]
    plugin = discovery.plugins("diagnostics").get(name)
    if (not plugin and name != EVALUATION) or given.get("per_layer_csv"):
        return []
    own = fields_of(plugin.load().Settings) if plugin else []
    if given.keys() - {"name"} - {field.name for field in (*own, *fields_of(DiagnoseSettings))}:
        return []  # a flag that this diagnostic does not use is refused first, with the nearest
    pair = plugin is not None and plugin.constants["SCOPE"] == "pair"
    return [key for key in (("model_a", "model_b") if pair else ("model",)) if not given.get(key)]


def diagnose(
    name: str, settings: DiagnoseSettings, given: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Path:
    """Run one diagnostic (or ``evals``) and return the folder of its results."""
    from brittle.models.devices import resolve_device

    resolve_device(settings.device)
    if name == EVALUATION:
        scope, data, own, after = "model", {"questions", "benign questions"}, [], False
    else:
        plugin = _variant(discovery.find("diagnostics", name), given)
        name, scope, data, after = plugin.name, plugin.constants["SCOPE"], read_by([plugin]), reads_records(plugin)
        own = fields_of(plugin.load().Settings)
    refuse_unknown(given, {*(field.name for field in own), *vars(settings)}, name)
    given = {**from_environment(own, environment), **given}
    first = ["weight_comparison"] if after and not given.get("per_layer_csv") else []
    session = session_of(settings, given, (name, *first), first)
    if table := given.get("per_layer_csv"):
        if settings.model_a or settings.model_b:
            raise BadInput("--per-layer-csv names the table already; leave --model-a and --model-b out")
        if not Path(table).is_file():
            raise BadInput(
                f"--per-layer-csv: there is no file {table}{near_path(Path(table))}; step 1 writes it "
                "(collect_weight_comparison.py)"
            )
        folder = session.tables(Path(table))
        session.raise_failures()
        return session.place(folder, name)
    names = ("model_a", "model_b") if scope == "pair" else ("model",)
    missing = [flag(key) for key in names if not getattr(settings, key)]
    if missing:
        raise BadInput(
            f"{name} needs {' and '.join(missing)}: a hub id, a folder, a GGUF file, laboratory:NAME or smollm2:base"
        )
    folder = carry_out(session, settings, [str(getattr(settings, key)) for key in names], data)
    session.raise_failures()
    for key in sorted(unread(scope, data) & given.keys()):
        progress.say(f"note: {name} does not read {flag(key)}")
    return session.place(folder, name)


def answer(folder: Path, settings: DiagnoseSettings) -> list[str]:
    """What a finished diagnostic found, what to compare it with and how to read it, then the next step."""
    from brittle.views import step_answers

    name = str((read_record(folder) or {}).get("kind"))
    lines = [f"{name}:", *step_answers.answer(folder, name)]
    if settings.model_a and settings.model_b:
        words = ["brittle", "compare", settings.model_a, settings.model_b, "--outroot", settings.outroot]
        words += carried(settings, CompareSettings, (*DATA, "filtered", "control"))
        return [*lines, next_step(*words, aside="all that your data allow, and a report")]
    if settings.model:
        words = ["brittle", "diagnose", name, *carried(settings, DiagnoseSettings)]
        return [*lines, f"{next_step(*words, '--model', 'OTHER')}, of the base and of a model to compare with"]
    return [*lines, f"next: see the figures and tables in {folder}"]


def unread(scope: str, data: Collection[str]) -> set[str]:
    """The settings that a diagnostic of this scope that reads these data does not read."""
    asks, benign = "questions" in data, "benign questions" in data
    read_if = {
        ("model",): scope == "model",
        ("model_a", "model_b", "control", "random_control"): scope == "pair",
        ("filtered",): "filtered" in data,
        ("forget_text", "retain_text", "benign_text", "text_column"): "texts" in data or benign,
        ("forget_questions", "question_template", "answers_from"): asks,
        ("retain_questions", "num_questions", "question_format"): asks and benign,
    }
    return {name for names, read in read_if.items() if not read for name in names}


def session_of(
    settings: DiagnoseSettings, given: Mapping[str, Any], only: Sequence[str], standing: Sequence[str] = ()
) -> Comparison:
    """A session that runs these diagnostics alone; the first goes where the user wants it, those standing are read."""
    return Comparison(
        Path(settings.outroot), Material({}, {}), settings.device, settings.dtype, settings.device, settings.dtype,
        settings.force, given, only, Path(settings.outdir) if settings.outdir else None,
        Path(settings.plot_outdir) if settings.plot_outdir else None, settings.title, random=settings.random_control,
        standing=standing,
    )  # fmt: skip


def carry_out(
    session: Comparison, settings: DiagnoseSettings, references: Sequence[str], data: Collection[str]
) -> Path:
    """Find the models, refuse what can be refused, then run a session on one model or a pair."""
    list(chosen(session.overrides, session.only))
    session.material = material(settings, references[0], data)
    located = tuple(laboratory_models.find(reference) for reference in references)
    name_yardsticks(session, settings, located)
    check_layers(session.overrides, session.only, *located)
    session.check([located])
    return session.pair(*located) if len(located) > 1 else session.model(*located)


def name_yardsticks(session: Comparison, settings: DiagnoseSettings, located: Sequence[Located]) -> None:
    """Tell the session which models the user named to measure against.

    BadInput if one of them is a model that it is to be measured against: it would say nothing.
    """
    named = {"control": (settings.control, located), "filtered": (settings.filtered, located[:1])}
    for kind, (reference, others) in named.items():
        if not reference or reference == "none":
            continue
        each = references_in(reference, f"--{kind}") if kind == "filtered" else [reference]
        for place, text in zip((kind, f"{kind}_again"), each):
            found = laboratory_models.find(text)
            if same := next((other for other in others if other.digest == found.digest), None):
                raise BadInput(f"--{kind} {text} is the same model as {same.text}; name another or leave it out")
            setattr(session, place, found)


def _variant(plugin: discovery.Plugin, given: Mapping[str, Any]) -> discovery.Plugin:
    """Of the diagnostics that one file declares, the one that the flags ask for (``--lens tuned``)."""
    for other in discovery.plugins("diagnostics").values():
        chosen = {key: given[key] for key in other.variant if key in given}
        if other.module == plugin.module and chosen and chosen == other.variant:
            return other
    return plugin


def material(settings: DiagnoseSettings, reference: str, data: Collection[str]) -> Material:
    """Only what this diagnostic reads: files that it does not need may be missing, and nothing else is downloaded."""
    texts: dict[str, list[str]] = {}
    questions: tuple[Any, ...] = ({},)
    own = laboratory.behind(reference)
    files = settings.forget_text, settings.retain_text, settings.benign_text
    if "texts" in data:
        texts = texts_of(own, *files, settings.text_column)
    elif "benign questions" in data and (own or any(files)):  # an evaluation also takes the likelihood of texts
        texts = own.texts() if own and not any(files) else texts_of(own, *files, settings.text_column)
    if "questions" in data:
        questions = questions_of(own, settings, settings.seed, "benign questions" in data)
    return replace(Material(texts, *questions), own=own)
