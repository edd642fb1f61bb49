"""What a comparison can be shown where the user named no more: nothing is downloaded, nothing is asked for that is not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.data.files import DOCUMENTED_TEXTS
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.runs.chosen import chosen
from brittle.runs.material import Material, questions_of, texts_of
from brittle.runs.observations import read_by

TEXTS, QUESTIONS, BENIGN = "texts", "questions", "benign questions"
FLAGS = {
    TEXTS: "--forget-text FILE --retain-text FILE",
    QUESTIONS: "--forget-questions FILE (or wmdp-bio, from the hub)",
    BENIGN: "--retain-questions FILE (or mmlu, from the hub)",
}
"""How each kind of data is named."""


def kinds(settings: Any) -> set[str]:
    """The kinds of data that the settings of a pipeline name, or that lie where ``brittle create-datasets`` leaves them."""
    texts = any((settings.forget_text, settings.retain_text, settings.benign_text))
    found = (
        {TEXTS} if texts or all(Path(DOCUMENTED_TEXTS[split]).is_file() for split in ("forget", "retain")) else set()
    )
    found |= {QUESTIONS} if settings.forget_questions else set()
    return found | ({BENIGN} if settings.retain_questions else set())


def needed(name: str) -> set[str]:
    """The kinds of data that a diagnostic, or step 0, reads."""
    if name == accuracy.NAME:
        return {QUESTIONS, BENIGN}
    return read_by([discovery.find("diagnostics", name)]) & {TEXTS, QUESTIONS}


def possible(overrides: Mapping[str, Any], there: Collection[str]) -> list[str]:
    """The diagnostics, and step 0, that need no other data, in their order."""
    names = [plugin.name for plugin, _ in chosen(overrides)] + [accuracy.NAME]
    return [name for name in names if needed(name) <= set(there)]


def material(settings: Any, seed: int = 42) -> Material:
    """The texts and questions that are there; what is not is empty."""
    there = kinds(settings)
    files = settings.forget_text, settings.retain_text, settings.benign_text
    texts = texts_of(None, *files, settings.text_column) if TEXTS in there else {}
    if QUESTIONS not in there:
        return Material(texts, {})
    return Material(texts, *questions_of(None, settings, seed, BENIGN in there))


def more_data(overrides: Mapping[str, Any], there: Collection[str]) -> list[str]:
    """What each kind of data that is not there would add, a line each; nothing where all is there."""
    rest = [name for name in possible(overrides, FLAGS) if not needed(name) <= set(there)]
    lines = []
    for missing in sorted(
        {tuple(sorted(needed(name) - set(there))) for name in rest}, key=lambda each: (len(each), each)
    ):
        flags = " ".join(FLAGS[kind] for kind in missing)
        names = [name for name in rest if needed(name) - set(there) == set(missing)]
        lines += [f"  with {flags}:", *(f"    {name}: {_summary(name)}" for name in names)]
    return ["more data would add:", *lines] if lines else []


def _summary(name: str) -> str:
    if name == accuracy.NAME:
        return (accuracy.__doc__ or "").partition("\n")[0]
    return discovery.find("diagnostics", name).summary
