"""``brittle pipeline``, ``compare`` and ``demo``, the main job: compare base, filtered and unlearned models, attack them alike, write the report.

Comparison 1 is base → filtered, 2 base → unlearned, both always on; with a control, base → retrained stands beside
them; 3 to 6 are opt-in. In the laboratory the unlearned models are made on the way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from brittle import discovery
from brittle.attacks import relearning
from brittle.commands.options import Environment, Given
from brittle.commands.pipeline_settings import CompareSettings, DemoSettings, PipelineSettings
from brittle.data.files import say
from brittle.models.references import Located, locate
from brittle.records import check_file
from brittle.runs import attack, executor, laboratory_models, roles, stages, unlearning, unlearning_plan
from brittle.runs.attack_checks import check_arms, check_settings, facts_of
from brittle.runs.attack_material import prepare
from brittle.runs.chosen import check_layers, chosen
from brittle.runs.diagnosis import Comparison, Failure
from brittle.runs.material import Material, questions_of, texts_of
from brittle.runs.roles import Arm
from brittle.settings import BadInput, as_dictionary, fields_of, names_in, references_in, resolve, seeds_in
from brittle.suites import laboratory

LABORATORY = {"batch_size": 32, "lipschitz_texts": 100, "gradient_texts": 50, "variance_texts": 50}
"""What the laboratory passes to diagnostics where nothing else was asked for. Its models are small, so that larger batches
take less time; noise on the documented 500 texts would be the longest part of the demonstration."""
ROLE_ORDER = ("base", "filtered", "retrained", "unlearned")


def demo(given: Given, environment: Environment) -> int:
    """The whole job in the laboratory."""
    chosen = resolve(DemoSettings, given, environment)
    return pipeline({"laboratory": True, **as_dictionary(chosen)}, None)


def compare(given: Given, environment: Environment) -> int:
    """The job on the models that are named, each in the part that its name says."""
    models = references_in(given.pop("models", None) or "", "models")
    if len(models) < 2:
        raise BadInput(
            "compare needs at least two models with commas between them; the first is compared with the others"
        )
    roles = {"filtered": "none", "laboratory": False, "base": models[0]}
    others = []
    for model in models[1:]:  # the laboratory's own references play their own parts
        part = {"laboratory:filtered": "filtered", "laboratory:retrained": "control"}.get(model.partition("@")[0])
        if part and (roles | given).get(part, "none") == "none":
            roles[part] = model
        else:
            others.append(model)
    words = {field.metadata["environment"] for field in fields_of(CompareSettings)} - {None}
    read = {word: environment[word] for word in words if environment and environment.get(word)}
    return pipeline(roles | given | {"unlearned": ",".join(others) or "none"}, read)


def pipeline(given: Given, environment: Environment) -> int:
    """The job; then its ten lines, and what gave no result."""
    started = time.time()
    settings = resolve(PipelineSettings, given, environment)
    own = {field.name for field in fields_of(PipelineSettings)}
    report, failures = run(settings, given={key: value for key, value in given.items() if key not in own})
    print()
    for line in summary_of(report):
        print(line)
    print(f"\nreport: {report.resolve()}  ({time.time() - started:.0f} s)")
    for failure in failures:
        print(f"no result: {failure.diagnostic} of {failure.where}: {failure.reason}", file=sys.stderr)
    return 1 if failures else 0


def run(
    settings: PipelineSettings, attack_settings: Any = None, given: Mapping[str, Any] | None = None
) -> tuple[Path, list[Failure]]:
    """Carry out the whole job; returns the report's path and what gave no result.

    ``given`` are settings of diagnostics by name. What can be refused is refused before any work.
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
    arms, attack_texts, material = (_laboratory if settings.laboratory else _models)(settings, overrides)
    session = Comparison(
        outputs, material, settings.param_device, settings.param_dtype, settings.activation_device,
        settings.activation_dtype, settings.force, overrides, random=settings.random_control,
        control=next((arm.located for arm in arms if arm.role == "retrained"), None),
        filtered=next((arm.located for arm in arms if arm.role == "filtered"), None),
    )  # fmt: skip
    pairs = _pairs(settings, arms)
    session.check([*pairs, *((arm.located,) for arm in arms)])
    field = prepare(dict(material.questions), **attack_texts) if attacked else None
    ready = {name: discovery.find("attacks", name).load().Settings() for name in attacks}
    if relearning.NAME in ready:
        ready[relearning.NAME] = attack_settings
    if field:
        check_arms(arms)
        check_settings(ready, facts_of(field, [arm.located for arm in arms]))
        for note in () if settings.laboratory else field.notes:
            say(note)
    for flag, reader in settings.unread().items():
        say(f"note: {flag} is read with {reader} only")
    roles.describe(outputs, arms, pairs)
    _compare(session, arms, pairs)
    if field:
        for name, own in ready.items():
            try:
                attack.attack({name: own}, arms, field, seeds, outputs, settings.force, arms[0].located)
            except Exception as problem:  # what was measured before is reported all the same
                session.failures.append(Failure(name, "attacks", problem))
    from brittle.views.report import write_report

    return write_report(outputs), session.failures


def _compare(session: Comparison, arms: Sequence[Arm], pairs: Sequence[tuple[Located, Located]]) -> None:
    """All comparisons and models, each model loaded once and freed after the last part that needs it."""
    parts: list[tuple[Located, ...]] = []
    for arm in sorted(arms, key=lambda arm: arm.role != "retrained"):  # the control stands beside the others
        parts += [(a, b) for a, b in pairs if b == arm.located] + [(arm.located,)]
    with tqdm(total=len(parts), desc="comparisons", unit="part", disable=None) as bar:
        for number, part in enumerate(parts):
            bar.set_postfix_str(" → ".join(model.name for model in part))
            session.pair(*part) if len(part) > 1 else session.model(*part)
            session.forget_loaded(keep=[model for later in parts[number + 1 :] for model in later])
            bar.update(1)


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
    settings: PipelineSettings, overrides: Mapping[str, Any]
) -> tuple[list[Arm], Mapping[str, Sequence[str]], Material]:
    """Build the laboratory and its unlearned models."""
    names = names_in(settings.methods, "--methods")
    for name in names:
        discovery.find("methods", name)
    own = laboratory.Laboratory(settings.size, settings.world)
    suffix = "" if (settings.size, settings.world) == ("small", 0) else f"@{settings.size}-{settings.world}"
    check_layers(overrides, (), own.recipe.layers)
    laboratory_models.build(own)
    arms = [Arm(laboratory_models.find(f"{laboratory.PREFIX}{name}{suffix}"), name) for name in ROLE_ORDER[:3]]
    flags = {"model": f"{laboratory.PREFIX}base{suffix}", "preset": "laboratory", "device": settings.activation_device}
    plans = [unlearning_plan.plan(flags | {"method": name, "force": settings.force}) for name in names]
    missing = [plan for plan in plans if settings.force or not stages.finished(plan)]
    jobs = [
        executor.Job(
            unlearning.make_in_worker,
            (flags | {"method": p.make.method, "force": settings.force},),
            unlearning_plan.planned_steps(p),
        )
        for p in missing
    ]
    executor.run(jobs, "unlearning: " + ", ".join(plan.make.method for plan in missing))
    arms += [Arm(locate(str(plan.folder)), "unlearned") for plan in plans]
    return arms, own.attack_texts(), Material(own.probes(), *questions_of(own, settings))


def _models(
    settings: PipelineSettings, overrides: Mapping[str, Any]
) -> tuple[list[Arm], Mapping[str, Sequence[str]], Material]:
    """Locate the named models and read texts and questions."""
    unlearned = references_in(settings.reference("unlearned"), "--unlearned")
    named = [(settings.reference("base"), "base"), (settings.reference("filtered"), "filtered")]
    named += [(settings.control, "retrained"), *((reference, "unlearned") for reference in unlearned)]
    if settings.enable_pretrain_comparison:
        named.append((settings.reference("pretrain"), "pretraining"))
    if settings.enable_cb_comparisons:
        named.append((settings.reference("cb_only"), "unlearned"))
    files = settings.forget_text, settings.retain_text, settings.benign_text
    own = laboratory.behind(named[0][0])
    texts = texts_of(own, *files, settings.text_column)
    asked = questions_of(own, settings)
    arms = [Arm(laboratory_models.find(text), role) for text, role in named if text and text != "none"]
    digests = [arm.located.digest for arm in arms]
    if twice := next((arm for number, arm in enumerate(arms) if arm.located.digest in digests[:number]), None):
        first = arms[digests.index(twice.located.digest)]
        raise BadInput(
            f"{twice.role} {twice.located.text} is the same model as {first.role} {first.located.text}; name each once"
        )
    check_layers(overrides, (), *(arm.located for arm in arms))
    attack_texts: Mapping[str, Sequence[str]] = {"retain": texts["retain"], "benign": texts.get("benign", ())}
    if own and not any(files):
        attack_texts = own.attack_texts()
    return arms, attack_texts, Material(texts, *asked)


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
    overrides: dict[str, Any] = dict(LABORATORY) if settings.laboratory else {}
    overrides |= {"max_samples": settings.max_samples, "seeds": tuple(seeds)}
    if settings.layers_to_analyze:
        overrides["layers_to_analyze"] = settings.layers_to_analyze
    return overrides | dict(given)


def summary_of(report: Path) -> list[str]:
    """The report's ten lines."""
    from brittle.views.report import gather, summary_lines

    return summary_lines(gather(report.parent))
