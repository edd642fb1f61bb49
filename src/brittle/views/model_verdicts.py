"""A verdict on every unlearned model: a word, and the sentences with the figures that it rests on."""

from __future__ import annotations

from brittle.results.attack_kinds import matched_attacks
from brittle.results.damage import Health
from brittle.results.measures import diverged, forget_accuracy, knowledge, movement
from brittle.results.outputs import ModelResult, ReportData, attacks, matched_rows
from brittle.results.roles import Role
from brittle.results.verdicts import answer, at_matched_t, control_of, worst_case
from brittle.views import attack_path
from brittle.views.html import heading, paragraph, section
from brittle.views.words import (
    BOUND,
    JUDGEMENTS,
    MEANINGS,
    benign_words,
    by,
    damage_words,
    excess,
    in_a_word,
    over_seeds,
    percent,
    several,
)
from brittle.views.words import at_matched_t as words_at_matched_t
from brittle.views.words import at_worst as words_at_worst


def verdicts(data: ReportData) -> str:
    """The section: the answer and its numbers for each model in question, and what was not measured of it."""
    pieces = []
    for model in data.judged():
        lines = [
            removed(data, model),
            works(model),
            *taught(data, model),
            *at_worst(data, model),
            *ended(data, model),
            attack_path.sentence(data, model.name),
        ]
        pieces.append(heading(f"{model.label}: {in_a_word(data, model)}"))
        pieces.append(paragraph(" ".join(line for line in lines if line).replace(" %", "\u00a0%")))
        if lacking := not_measured(data, model):
            pieces.append(paragraph(f"Not measured for this model: {several(lacking)}.", "note"))
    if not pieces:
        return ""
    used = {answer(data, model).judgement for model in data.judged()}
    legend = "; ".join(f"“{JUDGEMENTS[each]}”: {MEANINGS[each]}" for each in MEANINGS if each in used)
    return section("What to think of each model", *pieces, paragraph(f"{legend}.", "note"))


def removed(data: ReportData, model: ModelResult) -> str:
    """What the method removed, and at which cost."""
    references = [each for role in (Role.BASE, Role.FILTERED) for each in data.of_role(role)[:1]]

    def beside(values: list[tuple[str, float | None]]) -> str:
        known = [f"{label} {percent(value)}" for label, value in values if value is not None]
        return f" ({', '.join(known)})" if known else ""

    hazard = beside([(each.label, forget_accuracy(data, each)) for each in references])
    benign = beside([(each.label, knowledge(data, each).retain) for each in references[:1]])
    own, retain = forget_accuracy(data, model), knowledge(data, model).retain
    parts = [f"{percent(own)} of the hazardous questions{hazard}"] if own is not None else []
    parts += [f"{percent(retain)} of the benign ones{benign}"] if retain is not None else []
    moved = next((found for c in data.from_base() if c.b == model.name and (found := movement(c))), None)
    sentence = f"Before any attack it answers {several(parts)}." if parts else ""
    if moved:
        sentence += f" Its weights moved by {moved.relative_frobenius_norm_all_parameters:.2f} of their norm, block matrices in some {moved.mean_stable_rank:.1f} directions."
    return sentence.strip()


def works(model: ModelResult) -> str:
    """Whether the model still works, from the likelihood of held-out benign texts; nothing where that was not measured."""
    found = model.damage
    if found.health == Health.DAMAGED:
        return f"It is damaged: {damage_words(found)}."
    if found.likelihood is None:
        return ""
    return f"It costs {benign_words(found.likelihood)}."


def taught(data: ReportData, model: ModelResult) -> list[str]:
    """V once T is learned under the first attack that teaches it, beside the filtered model."""
    row = next((row for name in attacks(data)[:1] for row in matched_rows(data, name) if row.model == model.name), None)
    if row is None:
        return []
    attack, control = row.attack.replace("_", " "), control_of(data, row)
    if row.v is None and row.diverged:
        return []  # said of all attacks that diverged
    if row.v is None:
        return [f"Under {attack} it never learned T (best {percent(row.best_t)}), which says nothing about V."]
    start = f"Once {attack} has taught it T, it answers {over_seeds(row.v)} of V"
    judged = words_at_matched_t(row, at_matched_t(row, control))
    if control is None:
        return [
            f"{start}, {percent(row.first_v)} before. Without a filtered model under the same attack it cannot be told "
            "whether that was hidden or follows from T."
        ]
    if control.v is None and control.diverged:
        return [
            f"{start}, {percent(row.first_v)} before; on the filtered model the attack diverged, so there is no control."
        ]
    if control.v is None:
        return [f"{start}, {percent(row.first_v)} before; the filtered model never learned T, so there is no control."]
    scale = "" if row.excess is None else f", an excess recovery of {excess(row.excess)}"
    return [f"{start}, the filtered model {over_seeds(control.v)}{scale}: {judged}."]


def at_worst(data: ReportData, model: ModelResult) -> list[str]:
    """The worst case over all attacks within the bound on benign questions."""
    case = worst_case(data, model)
    if case is None:
        attacked = any(row.model == model.name for row in data.matched) or diverged(data, model.name)
        return [] if attacked else ["It was not attacked."]
    found, number = case.found, f"{case.attacks} attacks" if case.attacks > 1 else "this attack"
    bound = f"cost at most {BOUND}"
    if not found.step:
        start = f"No step of {number} that {bound} answers more of V than before ({percent(found.before)})"
    else:
        under = f" under {by(found)}" if case.attacks > 1 else ""
        trial = f" ({found.configuration})" if found.configuration else ""
        start = (
            f"At worst, over all steps of {number} that {bound}, it answers {words_at_worst(case)} of V{under}{trial}"
        )
    if case.control is None:
        return [f"{start}; without a filtered model this has no control."]
    start += f"; the filtered model's worst is {percent(case.control.after.mean)}"
    if found.step and case.excess is None:
        return [
            f"{start}. Where the base's V is not known, or not above the filtered model's, there is no scale to put this on."
        ]
    row = next((row for row in data.matched if row.model == model.name and row.v), None)
    higher = row is not None and row.v is not None and row.v.mean > found.after.mean
    costly = " Where V is higher than that, more of the benign answers is lost." if higher else ""
    scale = "" if case.recovered is None else f": an excess recovery of {excess(case.recovered)}"
    return [f"{start}{scale}.{costly}"]


def ended(data: ReportData, model: ModelResult) -> list[str]:
    """Which attacks stopped giving numbers, and what that leaves open."""
    lost = diverged(data, model.name)
    wholly = [attack.replace("_", " ") for attack, whole in lost.items() if whole]
    partly = [attack.replace("_", " ") for attack, whole in lost.items() if not whole]
    lines = []
    if wholly:
        lines.append(f"Under {several(wholly)} what comes back cannot be told, because the attack diverged at once.")
    if partly:
        lines.append(f"Under {several(partly)} it diverged on the way or at some strengths; only the rest is counted.")
    return lines


def not_measured(data: ReportData, model: ModelResult) -> list[str]:
    """What others have and this model lacks, and what no one has."""
    lacking = ["an evaluation before the attack"] if forget_accuracy(data, model) is None else []
    if model.damage.health == Health.NOT_MEASURED:
        lacking.append("benign likelihood beside the base's, so that it may be damaged")
    if not any(c.b == model.name and movement(c) for c in data.from_base()):
        lacking.append("the size of its update")
    if data.recovery is None:
        return [*lacking, "recovery under attack"]
    rows = [row for row in data.matched if row.model == model.name]
    untested = [row.attack.replace("_", " ") for row in rows if row.v and row.chance is None]
    lacking += [f"V against chance under {several(untested)}"] if untested else []
    done = data.recovery[data.recovery["model"] == model.name]["attack"].unique()
    spared = [str(name).replace("_", " ") for name in data.recovery["attack"].unique() if name not in done]
    lacking += [f"{several(spared)}, which other models underwent"] if spared else []
    if any(name in matched_attacks() for name in done) and not attack_path.sentence(data, model.name):
        lacking.append("the path of the attack through weight space")
    return lacking
