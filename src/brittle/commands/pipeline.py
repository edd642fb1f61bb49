"""``brittle pipeline`` and ``compare``, the main job: compare base, filtered and unlearned models, attack them alike, write the report.

Comparison 1 is base → filtered, 2 base → unlearned, both always on; with a control, base → retrained stands beside
them; 3 to 6 are opt-in. In the laboratory the unlearned models are made on the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.attacks import relearning
from brittle.commands.options import Environment, Given, next_step
from brittle.commands.pipeline_settings import CompareSettings, PipelineSettings
from brittle.models.references import Located, locate
from brittle.records import check_file
from brittle.results.roles import ORDER
from brittle.runs import attack, available, comparisons, job, laboratory_models, roles, stages, unlearning
from brittle.runs.attack_checks import check_arms, check_settings, facts_of
from brittle.runs.attack_material import prepare
from brittle.runs.chosen import check_layers, chosen
from brittle.runs.diagnosis import Comparison
from brittle.runs.failures import Failure
from brittle.runs.material import Material, questions_of, texts_of
from brittle.runs.roles import Arm
from brittle.settings import BadInput, fields_of, names_in, references_in, resolve, seeds_in
from brittle.suites import laboratory


def compare(given: Given, environment: Environment) -> int:
    """The job on the models that are named, each in the part that its name says."""
    models = references_in(given.pop("models", None) or "", "models")
    if len(models) < 2:
        raise BadInput("compare needs at least two models: brittle compare A B; the first is compared with the others")
    roles: Given = {"filtered": "none", "laboratory": False, "base": models[0]}
    others = []
    for model in models[1:]:  # the laboratory's own references play their own parts
        kind = model.partition("@")[0].partition(".")[0]
        part = {"laboratory:filtered": "filtered", "laboratory:retrained": "control"}.get(kind)
        if part and (roles | given).get(part, "none") == "none":
            roles[part] = model
        elif part == "filtered" and part not in given:  # a second training of it
            roles[part] += f",{model}"
        else:
            others.append(model)
    words = {field.metadata["environment"] for field in fields_of(CompareSettings)} - {None}
    read = {word: environment[word] for word in words if environment and environment.get(word)}
    return pipeline(roles | given | {"unlearned": ",".join(others) or "none"}, read, sparse=True)


def pipeline(given: Given, environment: Environment, sparse: bool = False) -> int:
    """The job; then what it found, and what gave no result. ``sparse`` as in :func:`run`."""
    started = time.time()
    settings = resolve(PipelineSettings, given, environment)
    own = {field.name for field in fields_of(PipelineSettings)}
    others = {key: value for key, value in given.items() if key not in own}
    report, failures = run(settings, given=others, sparse=sparse)
    print()
    for line in answers(report, settings, others, sparse):
        print(line)
    print(f"\n{next_step('brittle', 'signature', report.parent, aside='every measure beside its controls')}")
    print(f"report: {report.resolve()}  ({time.time() - started:.0f} s)")
    for failure in failures:
        progress.error(f"no result: {failure.diagnostic} of {failure.where}: {failure.reason}")
    return 1 if failures else 0


def run(
    settings: PipelineSettings,
    attack_settings: Any = None,
    given: Mapping[str, Any] | None = None,
    sparse: bool = False,
) -> tuple[Path, list[Failure]]:
    """Carry out the whole job; returns the report's path and what gave no result.

    ``given`` are settings of diagnostics by name. ``sparse``: texts and questions that are not named are not fetched
    from the hub, and what would read them does not run. What can be refused is refused before any work.
    """
    attack_settings = attack_settings or relearning.Settings()
    settings.check_laboratory()
    settings = _pair_alone(settings)
    outputs = Path(settings.outroot)
    seeds, attacks = seeds_in(settings.seeds), attack.names_of(settings.attacks, flag="--attacks")
    overrides = _overrides(settings, seeds, given or {})
    check(settings, overrides)
    attacked = settings.laboratory or settings.enable_attacks
    if attacked:
        attack.check_needs(attacks, settings.base or "the documented base")
    sparse = sparse and is_sparse(settings)
    arms, attack_texts, material = (_laboratory if settings.laboratory else _models)(settings, overrides, sparse)
    only = available.possible(overrides, available.kinds(settings)) if sparse else ()
    never_saw = (arm.located for arm in arms if arm.role == "filtered")
    session = Comparison(
        outputs, material, settings.param_device, settings.param_dtype, settings.activation_device,
        settings.activation_dtype, settings.force, overrides, only, random=settings.random_control,
        control=next((arm.located for arm in arms if arm.role == "retrained"), None),
        filtered=next(never_saw, None), filtered_again=next(never_saw, None),
    )  # fmt: skip
    pairs = _pairs(settings, arms)
    session.check([*pairs, *((arm.located,) for arm in arms)])
    field = prepare(material.under_attack, held_out=material.held_out, **attack_texts) if attacked else None
    ready = {name: discovery.find("attacks", name).load().Settings() for name in attacks}
    if relearning.NAME in ready:
        ready[relearning.NAME] = attack_settings
    if field:
        check_arms(arms)
        check_settings(ready, facts_of(field, [arm.located for arm in arms]))
        for note in () if settings.laboratory else field.notes:
            progress.say(note, once=True)
    for flag, reader in settings.unread().items():
        progress.say(f"note: {flag} is read with {reader} only")
    roles.describe(outputs, arms, pairs)
    comparisons.carry_out(session, _parts(arms, pairs))
    if field:
        for name, own in ready.items():
            try:
                attack.attack({name: own}, arms, field, seeds, outputs, settings.force, arms[0].located)
            except Exception as problem:  # what was measured before is reported all the same
                session.failures.append(Failure(name, "attacks", problem))
    from brittle.views.report import write_report

    return write_report(outputs), session.failures


def _parts(arms: Sequence[Arm], pairs: Sequence[tuple[Located, Located]]) -> list[comparisons.Part]:
    """All comparisons and models; the control stands beside the others."""
    parts: list[comparisons.Part] = []
    for arm in sorted(arms, key=lambda arm: arm.role != "retrained"):
        parts += [(a, b) for a, b in pairs if b == arm.located] + [(arm.located,)]
    return parts


def _pair_alone(settings: PipelineSettings) -> PipelineSettings:
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


def _overrides(settings: PipelineSettings, seeds: Sequence[int], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of diagnostics by name: the laboratory's, then the pipeline's own, then those that were asked for."""
    overrides: dict[str, Any] = dict(laboratory.DIAGNOSED) if settings.laboratory else {}
    overrides |= {"max_samples": settings.max_samples, "seeds": tuple(seeds)}
    if settings.layers_to_analyze:
        overrides["layers_to_analyze"] = settings.layers_to_analyze
    return overrides | dict(given)


def is_sparse(settings: PipelineSettings) -> bool:
    """Whether a comparison may leave out what no data was named for: no laboratory brings any and no attack needs it."""
    return not (settings.laboratory or settings.enable_attacks or laboratory.behind(settings.reference("base")))


def answers(report: Path, settings: PipelineSettings, given: Mapping[str, Any], sparse: bool = False) -> list[str]:
    """What the command found: the report's ten lines or, where data are missing, the numbers that need none of it.

    Then what more data would add, and a next step.
    """
    from brittle.results.outputs import gather
    from brittle.views import step_answers
    from brittle.views.sentences import summary_lines

    settings = _pair_alone(settings)
    data, there = gather(report.parent), available.kinds(settings)
    overrides = _overrides(settings, seeds_in(settings.seeds), given)
    more = available.more_data(overrides, there) if sparse and is_sparse(settings) else []
    if not more:
        return summary_lines(data)
    names = [name for name in available.possible(overrides, there) if name in discovery.plugins("diagnostics")]
    folders = {comparison.folder: f"{comparison.a} → {comparison.b}" for comparison in data.comparisons}
    folders |= {model.name: model.name for model in data.models}
    lines = []
    for folder, title in folders.items():
        found = {name: report.parent / folder / name for name in names if (report.parent / folder / name).is_dir()}
        if found:
            lines += [
                f"{title}:",
                *(line for name, place in found.items() for line in step_answers.headlines(place, name)),
            ]
    lines.append(
        "how to read: beside a model that never saw the data, the same numbers say what removal looks like; report.html"
    )
    lines.append("has the figures. A random update shows what any change with these singular values would.")
    models = [settings.reference("base"), *references_in(settings.reference("unlearned"), "--unlearned")]
    again = f"uv run brittle compare {' '.join(models)} --outroot {settings.outroot}"
    return [*lines, *more, f"with such data, or --filtered MODEL, the same command adds to what is there: {again}"]
