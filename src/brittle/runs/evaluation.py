"""What a model knows: the questions that belong to a reference, and the accuracies on them; what it costs a model to read on.

A laboratory model is asked about its own world, T and V apart. Other models are asked MMLU (1,000 questions, uniform
over subjects) and WMDP-Bio from the hub, by letters, or a local question file. Benign likelihood is nats per token on benign
texts that no training reads: what a destroyed model loses even where it still picks the right one of four choices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from brittle.data.multiple_choice import chance_of
from brittle.runs.attack_material import Names
from brittle.runs.material import questions_for

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from brittle.data.multiple_choice import Question
    from brittle.models.loading import LoadedModel
    from brittle.records import Draft
    from brittle.runs.material import Material

SIDES = {"t": "forget_t", "v": "forget_v", "retain": "retain"}
KEPT = ("accuracy", "interval_low", "interval_high", "questions", "chance")
MOST_OPEN = 300
"""Questions of a side that are answered without choices, drawn evenly over subjects."""
NO_TEXTS = "no benign texts are known that no training reads; name --retain-text"


def write_evaluation(draft: Draft, loaded: LoadedModel, material: Material) -> None:
    """General capability (benign questions) overall and by subject, then each side's accuracy and likelihood."""
    from brittle.evaluation import multiple_choice_accuracy as accuracy
    from brittle.models.likelihood import mean_negative_log_likelihood

    results: dict[str, dict[str, Any]] = {}
    right, summaries = {}, {}
    for side, questions in material.questions.items():
        form, asked = material.forms.get(side, "continuation"), material.in_step_0(side)
        right[side] = accuracy.answered(loaded, asked, form=form)
        summaries[side] = accuracy.summary_of(loaded.name, questions, right[side], form)
        results[SIDES[side]] = {key: summaries[side][key] for key in KEPT} | _open(loaded, asked, form)
    both = accuracy.accuracy_with_interval(sum(right["t"]) + sum(right["v"]), len(right["t"]) + len(right["v"]))
    results["forget"] = {key: both[key] for key in KEPT[:-1]} | {"chance": chance_of(material.hazardous)}
    results |= _by_sample(material.questions["retain"], right["retain"], material.retained)
    for split in ("forget", "retain"):
        if split in material.texts:
            texts = list(material.texts[split])[:200]
            mean, read = mean_negative_log_likelihood(loaded, texts, what=f"{split} texts")
            results[split] |= {"negative_log_likelihood": mean, "texts": read}
    benign = benign_likelihood(loaded, material.held_out)
    if benign:
        draft.table("benign_likelihood", benign)
    costs = _summed(loaded, benign)
    summary = summaries["retain"]
    draft.summary(summary | {"template": material.template, "results": results, "benign_likelihood": costs})
    text = accuracy.summary_markdown(summary, title="General capability") + _lines(costs)
    (draft.folder / "high_level_summary.md").write_text(text, encoding="utf-8")


def benign_likelihood(loaded: LoadedModel, held_out: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """One row per held-out text: its kind, its number, and what its tokens cost the model in the mean, in nats.

    A text with fewer than two tokens has nothing to predict and no row. Rows of one number are one text for every model.
    """
    from brittle.models.likelihood import negative_log_likelihood

    return [
        {"kind": kind, "text": number, "nats_per_token": float(value)}
        for kind, texts in held_out.items()
        for number, value in enumerate(negative_log_likelihood(loaded, texts, 32))
        if not math.isnan(value)
    ]


def _summed(loaded: LoadedModel, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means by kind beside what guessing every token of the vocabulary alike costs; without texts, why there is nothing."""
    if not rows:
        return {"not_measured": NO_TEXTS}
    by_kind: dict[str, list[float]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row["nats_per_token"])
    kinds = {kind: {"nats_per_token": sum(own) / len(own), "texts": len(own)} for kind, own in by_kind.items()}
    return {"uniform_guessing": math.log(loaded.model.config.vocab_size), "kinds": kinds}


def _lines(costs: Mapping[str, Any]) -> str:
    if "kinds" not in costs:
        return f"\nBenign likelihood: not measured ({costs['not_measured']}).\n"
    rows = (f"| {kind} | {each['nats_per_token']:.2f} | {each['texts']} |" for kind, each in costs["kinds"].items())
    head = f"Benign likelihood; guessing every token alike costs {costs['uniform_guessing']:.2f} nats per token."
    return (
        "\n".join(["", head, "", "| held-out benign texts | nats per token | texts |", "|---|---|---|", *rows]) + "\n"
    )


def _open(loaded: LoadedModel, asked: Sequence[Question], form: str) -> dict[str, Any]:
    """The share of questions whose right answer the model gives by itself; nothing where it has to choose letters."""
    from brittle.evaluation.multiple_choice_accuracy import sample_uniformly
    from brittle.evaluation.open_answers import right_answers

    if form == "letters":
        return {}
    chosen = sample_uniformly(asked, MOST_OPEN)
    right = right_answers(loaded, chosen)
    return {"open_accuracy": sum(right) / len(right), "open_questions": len(right)}


def _by_sample(
    questions: Sequence[Question], right: Sequence[bool], retained: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Benign accuracy on facts that stand in a text that unlearning reads, and on facts that stand in none.

    Nothing where there are no such texts or no question names its entity: then it cannot be told.
    """
    from brittle.evaluation.multiple_choice_accuracy import accuracy_with_interval

    told = [in_sample(question, retained) for question in questions] if retained else []
    found = {}
    for name, wanted in (("retain_in_sample", True), ("retain_out_of_sample", False)):
        place = [index for index, each in enumerate(told) if each is wanted]
        if place:
            counted = accuracy_with_interval(sum(right[index] for index in place), len(place))
            chance = chance_of([questions[index] for index in place])
            found[name] = {key: counted[key] for key in KEPT[:-1]} | {"chance": chance}
    return found


def in_sample(question: Question, texts: Sequence[str]) -> bool | None:
    """Whether entity and right answer stand together, as whole words, in one of the texts; None without an entity."""
    if not question.entity:
        return None
    entity, answer = Names([question.entity]), Names([question.choices[question.answer]])
    near = (text for text in texts if question.entity in text)
    return any(entity.stand_in(text) and answer.stand_in(text) for text in near)


def accuracies(loaded: LoadedModel, reference: str) -> dict[str, float]:
    """Accuracy by side for a model made from ``reference``; empty where no questions belong to it."""
    return accuracies_of(answers(loaded, reference))


def answers(loaded: LoadedModel, reference: str) -> dict[str, NDArray[numpy.bool_]]:
    """Whether each question of each side is answered right by a model made from ``reference``; empty likewise."""
    from brittle.models.likelihood import score

    sides = questions_for(reference) or {}
    return {side: score(loaded, questions, normalise=False).correct[-1] for side, questions in sides.items()}


def accuracies_of(right: Mapping[str, NDArray[numpy.bool_]], suffix: str = "") -> dict[str, float]:
    """The share of right answers by side."""
    return {f"accuracy_{side}{suffix}": float(each.mean()) for side, each in right.items()}


def compared(
    before: Mapping[str, NDArray[numpy.bool_]], after: Mapping[str, NDArray[numpy.bool_]]
) -> dict[str, float | int]:
    """Accuracies before and after, and how many hazardous questions only one of the two models answers right."""
    if not before or not after:
        return {**accuracies_of(after)}
    pairs = [(before[side], after[side]) for side in ("t", "v")]
    lost, won = (sum(int((a & ~b).sum()) for a, b in each) for each in (pairs, [(b, a) for a, b in pairs]))
    return {
        **accuracies_of(before, "_before"), **accuracies_of(after), "forget_answers_lost": lost, "forget_answers_won": won,
    }  # fmt: skip
