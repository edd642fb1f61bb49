"""One diagnostic by name, for the documented programs and ``brittle diagnose``: the pipeline's own path and records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import discovery
from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import load_questions
from brittle.data.splits import split_by_entity
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.settings import BadInput
from brittle.workflows import knowledge, laboratory
from brittle.workflows.compare import Comparison, Material

if TYPE_CHECKING:
    from brittle.commands import DiagnoseSettings

EVALUATION = accuracy.NAME


def diagnose(name: str, settings: DiagnoseSettings, given: Mapping[str, Any]) -> Path:
    """Run one diagnostic (or ``evals``) and return the folder of its results."""
    if name == EVALUATION:
        scope, needs = "model", "questions"
    else:
        plugin = discovery.find("diagnostics", name)
        scope, needs = plugin.constants["SCOPE"], plugin.constants["NEEDS"]
    names = ("model_a", "model_b") if scope == "pair" else ("model",)
    missing = [f"--{key.replace('_', '-')}" for key in names if not getattr(settings, key)]
    if missing:
        raise BadInput(f"{name} needs {' and '.join(missing)}: a hub id, a folder or laboratory:NAME")
    references = [getattr(settings, key) for key in names]
    session = Comparison(
        Path(settings.outroot), _material(settings, references[0], needs), settings.device, settings.dtype,
        settings.device, settings.dtype, settings.force, given, (name, *(["weight_comparison"] if needs == "tables" else [])),
    )  # fmt: skip
    located = [laboratory.find(reference) for reference in references]
    return (session.pair(*located) if scope == "pair" else session.model(*located)) / name


def _material(settings: DiagnoseSettings, reference: str, needs: str) -> Material:
    """Only what this diagnostic reads: files that it does not need may be missing."""
    texts: dict[str, list[str]] = {}
    questions: dict[str, Any] = {}
    own = laboratory.parse(reference)[1] if reference.startswith(laboratory.PREFIX) else None
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
            retain = accuracy.sample_uniformly(retain) if len(retain) > 1000 else retain
            questions = {"t": forget.t, "v": forget.v, "retain": retain}
    return Material(texts, questions)
