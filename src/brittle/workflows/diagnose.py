"""One diagnostic by name, for the documented programs and ``brittle diagnose``: the pipeline's own path and records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.data.corpora import read_texts, text_column
from brittle.data.multiple_choice import load_questions
from brittle.data.splits import split_by_entity
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.records import digest_of_file
from brittle.settings import LARGEST_SEED, BadInput, fields_of, setting
from brittle.workflows import knowledge, laboratory
from brittle.workflows.compare import Comparison
from brittle.workflows.material import Material, reads_texts

EVALUATION = accuracy.NAME


@dataclass(frozen=True)
class DiagnoseSettings:
    """A single diagnostic on models that the user names."""

    model: str | None = setting(None, "model (diagnostics of one model)")
    model_a: str | None = setting(None, "base model of a comparison")
    model_b: str | None = setting(None, "the model compared with it")
    outroot: str = setting("outputs", "folder for results", environment="OUTROOT")
    device: str = setting("auto", "auto (best GPU), cuda, cuda:N, mps or cpu")
    dtype: str = setting(
        "auto",
        "number type; weights are cast to it before they are subtracted (auto: as stored)",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    forget_text: str | None = setting(
        None, "texts of the hazardous domain (default: data/forget.txt; a laboratory brings its own)"
    )
    retain_text: str | None = setting(None, "benign texts (default: data/retain.txt)")
    text_column: str | None = text_column()
    forget_questions: str | None = setting(
        None, "hazardous questions: wmdp-bio or a file (a laboratory brings its own)"
    )
    retain_questions: str | None = setting(None, "benign questions: mmlu or a file")
    outdir: str | None = setting(
        None, "folder for this diagnostic's tables (default: derived from --outroot and the models)"
    )
    plot_outdir: str | None = setting(None, "folder for its figures (default: as documented, beside the tables)")
    title: str | None = setting(None, "line under the figures' titles (default: the models)")
    seed: int = setting(42, "seed of what is sampled, such as benign questions", minimum=0, maximum=LARGEST_SEED)
    control: str = setting(
        "none", "an independent retraining of model A: its own comparison stands beside this one", environment="CONTROL"
    )
    filtered: str = setting(
        "none", "model that never saw the data, the yardstick of causal_depth", environment="FILTERED"
    )
    random_control: bool = setting(
        True, "measure a random update of the same size beside the comparison", environment="RANDOM_CONTROL"
    )
    benign_text: str | None = setting(
        None, "benign texts of the forget texts' form and length (default: data/benign.txt if there is one)",
        environment="BENIGN_TEXT",
    )  # fmt: skip
    force: bool = setting(False, "run again even if the record is complete")


def diagnose(name: str, settings: DiagnoseSettings, given: Mapping[str, Any]) -> Path:
    """Run one diagnostic (or ``evals``) and return the folder of its results."""
    if name == EVALUATION:
        scope, needs, own = "model", {"questions"}, set()
    else:
        plugin = _variant(discovery.find("diagnostics", name), given)
        name = plugin.name
        scope = plugin.constants["SCOPE"]
        needs = needs_of([name])
        own = {field.name for field in fields_of(plugin.load().Settings)}
    if unused := sorted(given.keys() - own - vars(settings).keys()):
        raise BadInput(f"--{unused[0].replace('_', '-')} is not used by {name} (see its --help)")
    first = ["weight_comparison"] if needs == {"tables"} and not given.get("per_layer_csv") else []
    session = Comparison(
        Path(settings.outroot), Material({}, {}), settings.device, settings.dtype, settings.device, settings.dtype,
        settings.force, given, (name, *first), Path(settings.outdir) if settings.outdir else None,
        Path(settings.plot_outdir) if settings.plot_outdir else None, settings.title, random=settings.random_control, standing=first,
    )  # fmt: skip
    if table := given.get("per_layer_csv"):
        folder = _folder_of_table(Path(table))
        session.tables(folder, Path(table), {"table": digest_of_file(Path(table))})
        session.raise_failures()
        return session.place(folder, name)
    names = ("model_a", "model_b") if scope == "pair" else ("model",)
    missing = [f"--{key.replace('_', '-')}" for key in names if not getattr(settings, key)]
    if missing:
        raise BadInput(f"{name} needs {' and '.join(missing)}: a hub id, a folder or laboratory:NAME")
    references = [getattr(settings, key) for key in names]
    session.material = material(settings, references[0], needs)
    located = [laboratory.find(reference) for reference in references]
    name_yardsticks(session, settings)
    folder = session.pair(*located) if scope == "pair" else session.model(*located)
    session.raise_failures()
    return session.place(folder, name)


def name_yardsticks(session: Comparison, settings: DiagnoseSettings) -> None:
    """Tell the session which models the user named to measure against."""
    named = {"control": settings.control, "filtered": settings.filtered}
    for kind, reference in named.items():
        if reference and reference != "none":
            setattr(session, kind, laboratory.find(reference))


def needs_of(names: Collection[str]) -> set[str]:
    """The kinds of observation that any of these diagnostics is shown, and ``texts`` if it reads any."""
    plugins = [discovery.find("diagnostics", name) for name in names]
    needs = [plugin.constants["NEEDS"] for plugin in plugins]
    kinds = {kind for each in needs for kind in ([each] if isinstance(each, str) else each)}
    return kinds | ({"texts"} if any(map(reads_texts, plugins)) else set())


def _variant(plugin: discovery.Plugin, given: Mapping[str, Any]) -> discovery.Plugin:
    """Of the diagnostics that one file declares, the one that the flags ask for (``--lens tuned``)."""
    for other in discovery.plugins("diagnostics").values():
        chosen = {key: given[key] for key in other.variant if key in given}
        if other.module == plugin.module and chosen and chosen == other.variant:
            return other
    return plugin


def texts_from(
    forget: str | None, retain: str | None, benign: str | None, column: str | None = None
) -> dict[str, list[str]]:
    """Texts from files, by default those that create_datasets.py writes; ``benign`` only where there is a file."""
    named = {"forget": forget or "data/forget.txt", "retain": retain or "data/retain.txt"}
    if benign or Path("data/benign.txt").is_file():
        named["benign"] = benign or "data/benign.txt"
    return {split: read_texts(path, column) for split, path in named.items()}


def _folder_of_table(table: Path) -> Path:
    """The comparison that a table of step 1 belongs to: ``<comparison>/weight_comparison/per_layer.csv``."""
    if not table.is_file():
        raise BadInput(f"--per-layer-csv: there is no file {table}; step 1 writes it (collect_weight_comparison.py)")
    return table.resolve().parent.parent


def material(settings: DiagnoseSettings, reference: str, needs: Collection[str]) -> Material:
    """Only what this diagnostic reads: files that it does not need may be missing."""
    texts: dict[str, list[str]] = {}
    questions: dict[str, Any] = {}
    own = laboratory.behind(reference)
    shown = "texts" in needs
    named = settings.forget_text or settings.retain_text
    if own and not named:
        texts = dict(own.probes()) if shown else dict(own.texts())
    elif shown or named:
        benign = settings.benign_text if shown else None
        texts = texts_from(settings.forget_text, settings.retain_text, benign, settings.text_column)
    if {"questions", "patches"} & set(needs):
        if own and not settings.forget_questions and not settings.retain_questions:
            questions = dict(knowledge.questions_for(reference) or {})
        else:
            forget = split_by_entity(load_questions(settings.forget_questions or "wmdp-bio"))
            retain = load_questions(settings.retain_questions or "mmlu")
            retain = accuracy.sample_uniformly(retain, 1000, settings.seed) if len(retain) > 1000 else retain
            questions = {"t": forget.t, "v": forget.v, "retain": retain}
    return Material(texts, questions)
