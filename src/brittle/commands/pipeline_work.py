"""What a pipeline is about to do: models by role, what they are shown and asked, comparisons, attacks; refused before any work.

``brittle pipeline``, ``compare`` and ``demo`` carry all of it out; a sweep the part of one model at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.commands.options import Given
from brittle.commands.pipeline_settings import PipelineSettings
from brittle.models.references import Located, locate
from brittle.records import check_file
from brittle.results.roles import ORDER
from brittle.runs import attack, available, comparisons, job, laboratory_models, stages, unlearning
from brittle.runs.attack_checks import check_arms, check_settings, facts_of
from brittle.runs.attack_material import Battlefield, prepare
from brittle.runs.chosen import check_layers, chosen
from brittle.runs.diagnosis import Comparison
from brittle.runs.material import Material, questions_of, texts_of
from brittle.runs.roles import Arm
from brittle.settings import BadInput, names_in, references_in, seeds_in
from brittle.suites import laboratory


@dataclass
class Work:
    """Everything is located, read and checked; nothing is measured yet."""

    session: Comparison
    arms: list[Arm]
    pairs: list[tuple[Located, Located]]
    field: Battlefield
    """What attacks teach and ask."""
    attacks: dict[str, Any]
    """Settings by attack; empty where nothing is attacked."""
    seeds: list[int]

    @property
    def parts(self) -> list[comparisons.Part]:
        """All comparisons and models; the control stands beside the others."""
        found: list[comparisons.Part] = []
        for arm in sorted(self.arms, key=lambda arm: arm.role != "retrained"):
            found += [(a, b) for a, b in self.pairs if b == arm.located] + [(arm.located,)]
        return found


def prepared(
    settings: PipelineSettings,
    given: Mapping[str, Any] | None = None,
    sparse: bool = False,
    only: Sequence[str] = (),
    attacks: Mapping[str, Any] | None = None,
) -> Work:
    """Locate, read and check everything that a pipeline of these settings needs; a laboratory's models are built.

    Args:
        given: settings of diagnostics by name.
        sparse: texts and questions that are not named are not fetched from the hub, and what would read them does not run.
        only: the diagnostics; all, where none is named.
        attacks: settings by attack, where they are not an attack's own defaults.
    """
    settings.check_laboratory()
    settings = pair_alone(settings)
    seeds, names = seeds_in(settings.seeds), attack.names_of(settings.attacks, flag="--attacks")
    overrides = overrides_of(settings, seeds, given or {})
    check(settings, overrides)
    attacked = settings.laboratory or settings.enable_attacks
    if attacked:
        attack.check_needs(names, settings.base or "the documented base")
    sparse = sparse and is_sparse(settings)
    arms, attack_texts, material = (_laboratory if settings.laboratory else _models)(settings, overrides, sparse)
    only = available.possible(overrides, available.kinds(settings)) if sparse else only
    never_saw = (arm.located for arm in arms if arm.role == "filtered")
    session = Comparison(
        Path(settings.outroot), material, settings.param_device, settings.param_dtype, settings.activation_device,
        settings.activation_dtype, settings.force, overrides, only, random=settings.random_control,
        control=next((arm.located for arm in arms if arm.role == "retrained"), None),
        filtered=next(never_saw, None), filtered_again=next(never_saw, None),
    )  # fmt: skip
    pairs = _pairs(settings, arms)
    session.check([*pairs, *((arm.located,) for arm in arms)])
    ready: dict[str, Any] = {}
    field = Battlefield((), {})
    if attacked:
        ready = {name: (attacks or {}).get(name) or discovery.find("attacks", name).load().Settings() for name in names}
        field = prepare(
            material.under_attack, held_out=material.held_out, asked=settings.attack_eval_questions, **attack_texts
        )
        check_arms(arms)
        check_settings(ready, facts_of(field, [arm.located for arm in arms]))
        for note in () if settings.laboratory else field.notes:
            progress.say(note, once=True)
    for flag, reader in settings.unread().items():
        progress.say(f"note: {flag} is read with {reader} only")
    return Work(session, arms, pairs, field, ready, seeds)


def pair_alone(settings: PipelineSettings) -> PipelineSettings:
    """With ``--model-a`` and ``--model-b`` these two take the places of base and unlearned, and no other model."""
    named = [settings.model_a, settings.model_b]
    if settings.base == "none":
        raise BadInput(
            "--base: everything is compared with a base; name one (to compare any two: --model-a, --model-b)"
        )
    if named == ["none", "none"]:
        return settings
    if "none" in named:
        raise BadInput("--model-a and --model-b go together: the model to start from and the one compared with it")
    return replace(settings, base=named[0], unlearned=named[1], filtered="none", laboratory=False)


def check(settings: PipelineSettings, overrides: Mapping[str, Any]) -> None:
    """Refuse devices that are not there, values that no diagnostic takes, and an outroot that cannot be written to."""
    from brittle.models.devices import resolve_device

    for device in (settings.param_device, settings.activation_device):
        resolve_device(device)
    list(chosen(overrides))
    attack.check_outputs(Path(settings.outroot))
    check_file(Path(settings.outroot) / "report.html")


def _laboratory(
    settings: PipelineSettings, overrides: Mapping[str, Any], _sparse: bool
) -> tuple[list[Arm], Mapping[str, Sequence[str]], Material]:
    """Build the laboratory and its unlearned models."""
    names = names_in(settings.methods, "--methods")
    for name in names:
        discovery.find("methods", name)
    own = laboratory.Laboratory(settings.size, settings.world)
    suffix = "" if (settings.size, settings.world) == ("small", 0) else f"@{settings.size}-{settings.world}"
    check_layers(overrides, (), own.recipe.layers)
    laboratory_models.build(own)
    arms = [Arm(laboratory_models.find(f"{laboratory.PREFIX}{role}{suffix}"), role) for role in ORDER[:3]]
    flags: Given = {"model": f"{laboratory.PREFIX}base{suffix}", "preset": "laboratory"}
    flags |= {"device": settings.activation_device, "seed": settings.model_seed}
    models = [unlearning.Making(flags | {"method": name, "force": settings.force}) for name in names]
    left = [model for model in models if settings.force or not stages.finished(model.plan)]
    job.carry_out(left, "unlearning: " + ", ".join(model.plan.make.method for model in left))
    arms += [Arm(locate(str(model.folder)), "unlearned") for model in models]
    return arms, own.attack_texts(), Material(own.probes(), *questions_of(own, settings), own)


def _models(
    settings: PipelineSettings, overrides: Mapping[str, Any], sparse: bool
) -> tuple[list[Arm], Mapping[str, Sequence[str]], Material]:
    """Locate the named models and read texts and questions."""
    unlearned = references_in(settings.reference("unlearned"), "--unlearned")
    filtered = references_in(settings.reference("filtered"), "--filtered")
    named = [(settings.reference("base"), "base"), *((reference, "filtered") for reference in filtered)]
    named += [(settings.control, "retrained"), *((reference, "unlearned") for reference in unlearned)]
    if settings.enable_pretrain_comparison:
        named.append((settings.reference("pretrain"), "pretraining"))
    if settings.enable_cb_comparisons:
        named.append((settings.reference("cb_only"), "unlearned"))
    files = settings.forget_text, settings.retain_text, settings.benign_text
    own = laboratory.behind(named[0][0])
    if sparse:
        material = available.material(settings)
    else:
        material = Material(texts_of(own, *files, settings.text_column), *questions_of(own, settings), own)
    arms = [Arm(laboratory_models.find(text), role) for text, role in named if text and text != "none"]
    digests = [arm.located.digest for arm in arms]
    if twice := next((arm for number, arm in enumerate(arms) if arm.located.digest in digests[:number]), None):
        first = arms[digests.index(twice.located.digest)]
        raise BadInput(
            f"{twice.role} {twice.located.text} is the same model as {first.role} {first.located.text}; name each once"
        )
    check_layers(overrides, (), *(arm.located for arm in arms))
    attack_texts: Mapping[str, Sequence[str]] = {side: material.texts.get(side, ()) for side in ("retain", "benign")}
    if own and not any(files):
        attack_texts = own.attack_texts()
    return arms, attack_texts, material


def _pairs(settings: PipelineSettings, arms: Sequence[Arm]) -> list[tuple[Located, Located]]:
    """Base against every other model; with the opt-in flag also the chain of circuit breakers."""
    base = arms[0].located
    pairs = [(base, arm.located) for arm in arms[1:]]
    if settings.enable_cb_comparisons and not settings.laboratory:
        breakers = arms[-1].located
        filtered = [arm.located for arm in arms if arm.role == "filtered"]
        unlearned = [arm.located for arm in arms[:-1] if arm.role == "unlearned"]
        pairs += [(breakers, model) for model in unlearned]
        pairs += [(model, target) for model in unlearned for target in filtered]
    return pairs


def overrides_of(settings: PipelineSettings, seeds: Sequence[int], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of diagnostics by name: the laboratory's, then the pipeline's own, then those that were asked for."""
    overrides: dict[str, Any] = dict(laboratory.DIAGNOSED) if settings.laboratory else {}
    overrides |= {"max_samples": settings.max_samples, "seeds": tuple(seeds)}
    if settings.layers_to_analyze:
        overrides["layers_to_analyze"] = settings.layers_to_analyze
    return overrides | dict(given)


def is_sparse(settings: PipelineSettings) -> bool:
    """Whether a comparison may leave out what no data was named for: no laboratory brings any and no attack needs it."""
    return not (settings.laboratory or settings.enable_attacks or laboratory.behind(settings.reference("base")))
