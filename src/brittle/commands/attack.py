"""``brittle attack``: attacks on models that were made or diagnosed elsewhere, beside base and filtered where there are such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.commands.diagnose import DiagnoseSettings
from brittle.commands.options import Environment, Given, SettingsTypes, next_step, of_plugins, shared
from brittle.data.corpora import read_texts, text_column
from brittle.data.multiple_choice import answers_from
from brittle.data.overlap import check_files_apart
from brittle.evaluation.question_forms import question_template
from brittle.runs import attack, attack_checks, laboratory_models, roles
from brittle.runs.attack_material import prepare
from brittle.runs.material import Material, questions_of
from brittle.runs.roles import Arm
from brittle.settings import BadInput, fields_of, references_in, resolve, seeds_in, setting
from brittle.suites import laboratory

ASKED = ("forget_text", "forget_questions", "retain_questions", "question_template", "answers_from")
"""What says which questions are asked, and how."""


@dataclass(frozen=True)
class AttackSettings:
    """Which attacks on which models, and what they are asked."""

    kind: str | None = setting(
        None, "attacks, with commas between them (see: brittle attacks; default: all that the budget has)"
    )
    budget: str = setting(
        "full", "full: every attack as documented; quick: fewer, shorter ones with the first seed, for a first look",
        choices=("quick", "full"),
    )  # fmt: skip
    model: str | None = setting(None, "unlearned models under attack, with commas between them")
    base: str | None = setting(None, "the model that nothing was removed from: the top of the scale")
    filtered: str | None = setting(None, "the model that never saw the data: what the attack alone brings")
    control: str | None = setting(None, "an independent retraining of the base, attacked likewise")
    forget_text: str | None = shared(
        "forget_text", help="texts about the removed facts; those of T teach (default: T's questions)", environment=None
    )
    retain_text: str | None = shared(
        "retain_text",
        help="benign texts for attacks that teach no hazard (default: benign questions)",
        environment=None,
    )
    benign_text: str | None = shared(
        "benign_text", help="benign texts in the hazardous texts' form (default: benign questions)", environment=None
    )
    text_column: str | None = text_column()
    forget_questions: str | None = shared("forget_questions", environment=None)
    retain_questions: str | None = shared("retain_questions", environment=None)
    question_template: str = question_template()
    answers_from: int | None = answers_from()
    attack_eval_questions: int | None = shared("attack_eval_questions", environment=None)
    seeds: str = shared("seeds", help="seeds of data order and noise; an attack without chance runs once")
    outroot: str = shared("outroot")
    force: bool = shared("force", help="run again even if the records are complete")


def attack_models(given: Given, environment: Environment) -> int:
    """Attack, and say what came back."""
    from brittle.results.outputs import gather
    from brittle.views import terminal

    settings = resolve(AttackSettings, given, environment)
    outputs = run(settings, given)
    data = gather(outputs)
    data.say_left_out()
    for line in [*terminal.lines(data), *cannot_conclude(settings)]:
        print(line)
    print(f"-> {outputs / 'recovery' / 'recovery.csv'}")
    print(next_step("brittle", "report", outputs))
    return 0


def attack_settings(only: str | None = None) -> SettingsTypes:
    """What is attacked, and the attacks' own settings."""
    return [(AttackSettings, {}), *of_plugins("attacks", only and {only})]


def run(settings: AttackSettings, given: Mapping[str, Any]) -> Path:
    """Carry the attacks out and return the outputs folder; a complete record is not made again.

    Raises:
        BadInput: no such attack, a flag that none of the attacks uses, no model, or a base that is needed and not named.
    """
    parts = _parts(settings)
    attack_checks.check_parts(parts)
    base_named = next((reference for reference, role in parts if role == "base"), None)
    names = attack.names_of(settings.kind, settings.budget, bool(base_named))
    chosen = {name: discovery.find("attacks", name).load() for name in names}
    own = {field.name for module in chosen.values() for field in fields_of(module.Settings)}
    if unused := sorted(given.keys() - own - vars(settings).keys()):
        raise BadInput(
            f"--{unused[0].replace('_', '-')} is not used by {', '.join(names)} (see: brittle attack --help)"
        )
    attack.check_needs(names, base_named)
    seeds = seeds_in(settings.seeds)
    seeds = seeds[:1] if settings.budget == "quick" else seeds
    ready = ready_settings(names, given, settings.budget)
    outputs = Path(settings.outroot)
    attack.check_outputs(outputs)
    there = {text: laboratory_models.find(text) for text, _ in parts if not text.startswith(laboratory.PREFIX)}
    reference = base_named or parts[-1][0]
    asked = DiagnoseSettings(**{name: getattr(settings, name) for name in ASKED})
    behind, texts = laboratory.behind(reference), _texts(settings, reference)
    benign = {"retain": texts["retain"]} if "retain" in texts else {}
    shown = Material(benign, *questions_of(behind, asked, asked.seed), behind)
    field = prepare(shown.under_attack, held_out=shown.held_out, asked=settings.attack_eval_questions, **texts)
    named = (settings.forget_text, settings.retain_text, settings.benign_text, settings.forget_questions)
    if any(named) or behind is None:
        for note in field.notes:
            progress.say(note, once=True)
    attack_checks.check_settings(ready, attack_checks.facts_of(field, [there.get(text, text) for text, _ in parts]))
    arms = [Arm(there.get(text) or laboratory_models.find(text), role) for text, role in parts]
    base = next((arm.located for arm in arms if arm.role == "base"), None)
    attack_checks.check_arms(arms)
    roles.describe(outputs, arms)
    attack.attack(ready, arms, field, seeds, outputs, settings.force, base)
    return outputs


def ready_settings(names: Iterable[str], given: Mapping[str, Any], budget: str) -> dict[str, Any]:
    """The settings of attacks by name: what is given of each one's own, else those of the budget, else its defaults."""
    modules = {name: discovery.find("attacks", name).load() for name in names}
    return {
        name: resolve(
            module.Settings,
            _of(module.Settings, given),
            preset=getattr(module, "QUICK", {}) if budget == "quick" else {},
        )
        for name, module in modules.items()
    }


def cannot_conclude(settings: AttackSettings) -> list[str]:
    """What stays open because a reference is missing."""
    lines = []
    if not settings.filtered:
        lines.append(
            "no --filtered model: what comes back is not compared with a model that never knew, so it cannot be told "
            "from what the attack teaches or from guessing that improves"
        )
    if not settings.base:
        lines.append(
            "no --base: there is no top of the scale (excess recovery), no trajectory, and no attack on the update"
        )
    return lines


def _texts(settings: AttackSettings, reference: str) -> dict[str, Sequence[str]]:
    """Texts of the files that were named; otherwise of the laboratory, if it is one of its models."""
    own = laboratory.behind(reference)
    found: dict[str, Sequence[str]] = dict(own.attack_texts()) if own else {}
    if settings.forget_questions:  # the laboratory's texts are about other questions
        found.pop("texts", None)
    named = {"texts": settings.forget_text, "retain": settings.retain_text, "benign": settings.benign_text}
    read = {part: read_texts(path, settings.text_column) for part, path in named.items() if path}
    check_files_apart(read, named, forget="texts")
    return found | read


def _of(settings_type: type, given: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields_of(settings_type)}
    return {name: value for name, value in given.items() if name in names}


def _parts(settings: AttackSettings) -> list[attack_checks.Part]:
    """Base, filtered and retrained as far as they are named, then the models under attack."""
    if not settings.model:
        raise BadInput(
            "attack needs --model: a hub id, a folder, a GGUF file, laboratory:NAME or smollm2:base, or several with commas between them"
        )
    roles = [(settings.base, "base"), (settings.filtered, "filtered"), (settings.control, "retrained")]
    named = [(reference, role) for reference, role in roles if reference and reference != "none"]
    return [*named, *((model, "unlearned") for model in references_in(settings.model, "--model"))]
