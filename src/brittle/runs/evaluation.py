"""What a model knows: the questions that belong to a reference, and the accuracies on them.

A laboratory model is asked about its own world, T and V apart. Other models are asked MMLU (1,000 questions, uniform
over subjects) and WMDP-Bio from the hub, by letters, or a local question file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brittle.data.multiple_choice import chance_of
from brittle.runs.material import questions_for

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel
    from brittle.records import Draft
    from brittle.runs.material import Material


def write_evaluation(draft: Draft, loaded: LoadedModel, material: Material) -> None:
    """General capability (benign questions) overall and by subject, then each side's accuracy and likelihood."""
    from brittle.evaluation import multiple_choice_accuracy as accuracy
    from brittle.models.likelihood import mean_negative_log_likelihood

    names = {"t": "forget_t", "v": "forget_v", "retain": "retain"}
    texts, forms = material.texts, material.forms
    asked = {
        names[side]: accuracy.evaluate(loaded, material.in_step_0(side), form=forms.get(side, "continuation"))
        for side in material.questions
    }
    summary = asked["retain"]
    correct, number = (sum(asked[half][key] for half in ("forget_t", "forget_v")) for key in ("correct", "questions"))
    asked["forget"] = accuracy.accuracy_with_interval(correct, number) | {"chance": chance_of(material.hazardous)}
    kept = ("accuracy", "interval_low", "interval_high", "questions", "chance")
    results: dict[str, dict[str, float]] = {name: {key: found[key] for key in kept} for name, found in asked.items()}
    for split in ("forget", "retain"):
        if split in texts:
            mean, read = mean_negative_log_likelihood(loaded, list(texts[split])[:200], what=f"{split} texts")
            results[split] |= {"negative_log_likelihood": mean, "texts": read}
    draft.summary(summary | {"template": material.template, "results": results})
    text = accuracy.summary_markdown(summary, title="General capability")
    (draft.folder / "high_level_summary.md").write_text(text, encoding="utf-8")


def accuracies(loaded: LoadedModel, reference: str) -> dict[str, float]:
    """Accuracy by side for a model made from ``reference``; empty where no questions belong to it."""
    from brittle.models.likelihood import score

    sides = questions_for(reference) or {}
    return {
        f"accuracy_{side}": float(score(loaded, questions, normalise=False).correct.mean())
        for side, questions in sides.items()
    }
