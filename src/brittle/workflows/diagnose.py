"""One diagnostic by name, for the documented programs and ``brittle diagnose``: the pipeline's own path and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import load_questions
from brittle.data.splits import split_by_entity
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.records import digest_of_file
from brittle.settings import BadInput, fields_of, setting
from brittle.workflows import knowledge, laboratory
from brittle.workflows.compare import Comparison, Material

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
    forget_questions: str | None = setting(
        None, "hazardous questions: wmdp-bio or a file (a laboratory brings its own)"
    )
    retain_questions: str | None = setting(None, "benign questions: mmlu or a file")
    outdir: str | None = setting(
        None, "folder for this diagnostic's tables (default: derived from --outroot and the models)"
    )
    plot_outdir: str | None = setting(None, "folder for its figures (default: as documented, beside the tables)")
    title: str | None = setting(None, "line under the figures' titles (default: the models)")
    seed: int = setting(42, "seed of what is sampled, such as benign questions")
    force: bool = setting(False, "run again even if the record is complete")


def diagnose(name: str, settings: DiagnoseSettings, given: Mapping[str, Any]) -> Path:
    """Run one diagnostic (or ``evals``) and return the folder of its results."""
    if name == EVALUATION:
        scope, needs, own = "model", "questions", set()
    else:
        plugin = discovery.find("diagnostics", name)
        scope, needs = plugin.constants["SCOPE"], plugin.constants["NEEDS"]
        own = {field.name for field in fields_of(plugin.load().Settings)}
    if unused := sorted(given.keys() - own - vars(settings).keys()):
        raise BadInput(f"--{unused[0].replace('_', '-')} is not used by {name} (see its --help)")
    first = ["weight_comparison"] if needs == "tables" and not given.get("per_layer_csv") else []
    session = Comparison(
        Path(settings.outroot), Material({}, {}), settings.device, settings.dtype, settings.device, settings.dtype,
        settings.force, given, (name, *first), Path(settings.outdir) if settings.outdir else None,
        Path(settings.plot_outdir) if settings.plot_outdir else None, settings.title,
    )  # fmt: skip
    if table := given.get("per_layer_csv"):
        folder = _folder_of_table(Path(table))
        session.tables(folder, Path(table), {"table": digest_of_file(Path(table))})
        return session.place(folder, name)
    names = ("model_a", "model_b") if scope == "pair" else ("model",)
    missing = [f"--{key.replace('_', '-')}" for key in names if not getattr(settings, key)]
    if missing:
        raise BadInput(f"{name} needs {' and '.join(missing)}: a hub id, a folder or laboratory:NAME")
    references = [getattr(settings, key) for key in names]
    session.material = _material(settings, references[0], needs)
    located = [laboratory.find(reference) for reference in references]
    return session.place(session.pair(*located) if scope == "pair" else session.model(*located), name)


def _folder_of_table(table: Path) -> Path:
    """The comparison that a table of step 1 belongs to: ``<comparison>/weight_comparison/per_layer.csv``."""
    if not table.is_file():
        raise BadInput(f"--per-layer-csv: there is no file {table}; step 1 writes it (collect_weight_comparison.py)")
    return table.resolve().parent.parent


def _material(settings: DiagnoseSettings, reference: str, needs: str) -> Material:
    """Only what this diagnostic reads: files that it does not need may be missing."""
    texts: dict[str, list[str]] = {}
    questions: dict[str, Any] = {}
    own = laboratory.behind(reference)
    if needs in ("activations", "questions"):
        paths = {"forget": settings.forget_text, "retain": settings.retain_text}
        for split, path in paths.items():
            if path or not own:
                if needs == "activations" or path:
                    texts[split] = read_texts(path or f"data/{split}.txt")
            else:
                texts[split] = own.texts()[split]
    if needs == "questions":
        if own and not settings.forget_questions and not settings.retain_questions:
            questions = dict(knowledge.questions_for(reference) or {})
        else:
            forget = split_by_entity(load_questions(settings.forget_questions or "wmdp-bio"))
            retain = load_questions(settings.retain_questions or "mmlu")
            retain = accuracy.sample_uniformly(retain, 1000, settings.seed) if len(retain) > 1000 else retain
            questions = {"t": forget.t, "v": forget.v, "retain": retain}
    return Material(texts, questions)
