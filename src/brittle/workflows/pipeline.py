"""The main job: compare base, filtered and unlearned models, attack them alike, write the report.

Comparison 1 is base → filtered, 2 base → unlearned, both always on; with a control, base → retrained stands beside
them; 3 to 6 are opt-in. In the laboratory the unlearned models are made on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from brittle import discovery
from brittle.attacks import relearning
from brittle.data.corpora import text_column
from brittle.data.files import say
from brittle.data.multiple_choice import Question, load_questions
from brittle.evaluation.multiple_choice_accuracy import sample_uniformly
from brittle.models.references import Located, locate
from brittle.settings import BadInput, seeds_in, setting
from brittle.workflows import attack, knowledge, laboratory, make, parallel
from brittle.workflows.battlefield import Arm, prepare
from brittle.workflows.compare import Comparison, Failure
from brittle.workflows.diagnose import texts_from
from brittle.workflows.material import Material

HUB = "EleutherAI/deep-ignorance-"
ROLE_ORDER = ("base", "filtered", "retrained", "unlearned")


@dataclass(frozen=True)
class PipelineSettings:
    """Which models are compared, on what, where."""

    unlearned: str = setting(
        HUB + "unfiltered-cb-lat", "unlearned model, or several with commas between them", environment="UNLEARNED"
    )
    base: str = setting(
        HUB + "unfiltered", "model that knows everything, the reference of every comparison", environment="BASE"
    )
    filtered: str = setting(
        HUB + "e2e-strong-filter", "model that never saw the data ('none': there is none)", environment="FILTERED"
    )
    control: str = setting(
        "none",
        "independent retraining of the base, the control for what two trainings differ by",
        environment="CONTROL",
    )
    cb_only: str = setting(HUB + "unfiltered-cb", "circuit-breaker model of comparisons 4 to 6", environment="CB_ONLY")
    pretrain: str = setting(
        HUB + "pretraining-stage-unfiltered", "pretraining checkpoint of comparison 3", environment="PRETRAIN"
    )
    model_a: str = setting("none", "with --model-b: compare these two models and no others", environment="MODEL_A")
    model_b: str = setting("none", "the model that --model-a is compared with", environment="MODEL_B")
    random_control: bool = setting(
        True, "measure a random update of the same size beside every comparison", environment="RANDOM_CONTROL"
    )
    outroot: str = setting("outputs", "folder for everything that is written", environment="OUTROOT")
    param_device: str = setting("auto", "device of the weight pass", environment="PARAM_DEVICE")
    param_dtype: str = setting(
        "auto",
        "cast weights to this before they are subtracted (auto: as stored, nothing is lost)",
        environment="PARAM_DTYPE",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    activation_device: str = setting(
        "auto", "device of the activation pass and the questions", environment="ACTIVATION_DEVICE"
    )
    activation_dtype: str = setting(
        "auto",
        "number type of the activation pass",
        environment="ACTIVATION_DTYPE",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    forget_text: str = setting("data/forget.txt", "texts of the hazardous domain", environment="FORGET_TEXT")
    retain_text: str = setting("data/retain.txt", "benign texts", environment="RETAIN_TEXT")
    text_column: str | None = text_column()
    benign_text: str | None = setting(
        None, "benign texts of the forget texts' form and length (default: data/benign.txt if there is one)",
        environment="BENIGN_TEXT",
    )  # fmt: skip
    forget_questions: str = setting(
        "wmdp-bio", "hazardous questions: wmdp-bio from the hub, or a file", environment="FORGET_QUESTIONS"
    )
    retain_questions: str = setting(
        "mmlu",
        "benign questions: mmlu from the hub (1000, uniform over subjects), or a file",
        environment="RETAIN_QUESTIONS",
    )
    max_samples: int = setting(
        500, "texts per split, and hazardous questions of the lens", environment="MAX_SAMPLES", minimum=1
    )
    enable_pretrain_comparison: bool = setting(
        False, "comparison 3: base → pretraining checkpoint", environment="ENABLE_PRETRAIN_COMPARISON"
    )
    enable_cb_comparisons: bool = setting(
        False,
        "comparisons 4 to 6: base → CB, CB → unlearned, unlearned → filtered",
        environment="ENABLE_CB_COMPARISONS",
    )
    enable_attacks: bool = setting(
        False, "relearn T on every model and measure V (always on in the laboratory)", environment="ENABLE_ATTACKS"
    )
    attacks: str = setting(
        relearning.NAME, "the attacks, with commas between them (see: brittle attacks)", environment="ATTACKS"
    )
    laboratory: bool = setting(
        False, "use the embedded laboratory: builds its models and unlearns with --methods", environment="LABORATORY"
    )
    size: str = setting("small", "size of the laboratory", environment="LABORATORY_SIZE")
    world: int = setting(0, "seed of the laboratory's world", environment="LABORATORY_WORLD", minimum=0)
    methods: str = setting(
        "grad_diff,rmu,cb_lat,wt_dist",
        "unlearning methods in the laboratory, each at its laboratory preset",
        environment="METHODS",
    )
    layers_to_analyze: tuple[int, ...] = setting(
        (), "layers of the steps that read chosen ones, such as 0,4,8 (default: all)", environment="LAYERS_TO_ANALYZE"
    )
    seeds: str = setting("42,123,456", "seeds of the attack and of the diagnostics' intervals", environment="SEEDS")
    force: bool = setting(False, "run everything again, also what a complete record covers")


def run(settings: PipelineSettings, attack_settings: Any = None) -> tuple[Path, list[Failure]]:
    """Carry out the whole job; returns the report's path and what gave no result."""
    attack_settings = attack_settings or relearning.Settings()
    settings = _pair_alone(settings)
    outputs = Path(settings.outroot)
    seeds = seeds_in(settings.seeds)
    arms, attack_texts, material = _laboratory(settings) if settings.laboratory else _models(settings)
    session = Comparison(
        outputs, material, settings.param_device, settings.param_dtype, settings.activation_device,
        settings.activation_dtype, settings.force, _overrides(settings, seeds), random=settings.random_control,
        control=next((arm.located for arm in arms if arm.role == "retrained"), None),
        filtered=next((arm.located for arm in arms if arm.role == "filtered"), None),
    )  # fmt: skip
    pairs = _pairs(settings, arms)
    check(settings, pairs)
    attacks = attack.names_of(settings.attacks)
    attack.describe(outputs, arms, pairs)
    _compare(session, arms, pairs)
    if settings.laboratory or settings.enable_attacks:
        field = prepare(dict(material.questions), **attack_texts)
        for note in () if settings.laboratory else field.notes:
            say(note)
        for name in attacks:
            own = attack_settings if name == relearning.NAME else discovery.find("attacks", name).load().Settings()
            try:
                attack.attack({name: own}, arms, field, seeds, outputs, settings.force, arms[0].located)
            except Exception as problem:  # what was measured before is reported all the same
                session.failures.append(Failure(name, "attacks", problem))
    from brittle.reports.page import write_report

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
    if named == ["none", "none"]:
        return settings
    if "none" in named:
        raise BadInput("--model-a and --model-b go together: the model to start from and the one compared with it")
    return replace(settings, base=named[0], unlearned=named[1], filtered="none", laboratory=False)


def check(settings: PipelineSettings, pairs: Sequence[tuple[Located, Located]]) -> None:
    """Refuse devices that are not there and models that cannot be compared, before anything is written."""
    from brittle.models.devices import resolve_device
    from brittle.models.loading import check_same_architecture, check_same_vocabulary

    for device in (settings.param_device, settings.activation_device):
        resolve_device(device)
    for a, b in pairs:
        check_same_architecture(a, b)
        check_same_vocabulary(a, b)


def _laboratory(settings: PipelineSettings) -> tuple[list[Arm], Mapping[str, Sequence[str]], Material]:
    """Build the laboratory and its unlearned models."""
    names = [name for name in settings.methods.replace(",", " ").split() if name]
    for name in names:
        discovery.find("methods", name)
    chosen = laboratory.Laboratory(settings.size, settings.world)
    suffix = "" if (settings.size, settings.world) == ("small", 0) else f"@{settings.size}-{settings.world}"
    chosen.build()
    arms = [Arm(laboratory.find(f"{laboratory.PREFIX}{name}{suffix}"), name) for name in ROLE_ORDER[:3]]
    flags = {"model": f"{laboratory.PREFIX}base{suffix}", "preset": "laboratory", "device": settings.activation_device}
    plans = [make.plan(flags | {"method": name, "force": settings.force}) for name in names]
    missing = [plan for plan in plans if settings.force or not make.finished(plan)]
    jobs = [
        parallel.Job(
            make.make_in_worker, (flags | {"method": p.make.method, "force": settings.force},), make.planned_steps(p)
        )
        for p in missing
    ]
    parallel.run(jobs, "unlearning: " + ", ".join(plan.make.method for plan in missing))
    arms += [Arm(locate(str(plan.folder)), "unlearned") for plan in plans]
    questions = chosen.questions()
    return (
        arms,
        chosen.attack_texts(),
        Material(chosen.probes(), knowledge.questions_by_side(questions["forget"], questions["retain"])),
    )


def _models(settings: PipelineSettings) -> tuple[list[Arm], Mapping[str, Sequence[str]], Material]:
    """Locate the named models and read texts and questions."""
    asks_its_own = settings.forget_questions == PipelineSettings.forget_questions
    own = laboratory.behind(settings.base) if asks_its_own else None
    files = (settings.forget_text, settings.retain_text, settings.benign_text)
    unnamed = files == (PipelineSettings.forget_text, PipelineSettings.retain_text, PipelineSettings.benign_text)
    shows_its_own = own if unnamed else None
    texts = shows_its_own.probes() if shows_its_own else texts_from(*files, settings.text_column)
    named = [(settings.base, "base"), (settings.filtered, "filtered"), (settings.control, "retrained")]
    if not settings.unlearned.replace(",", " ").split():
        raise BadInput("--unlearned names no model; give a hub id or a folder, or several with commas between them")
    named += [(reference, "unlearned") for reference in settings.unlearned.replace(",", " ").split()]
    if settings.enable_pretrain_comparison:
        named.append((settings.pretrain, "pretraining"))
    if settings.enable_cb_comparisons:
        named.append((settings.cb_only, "unlearned"))
    arms = [Arm(laboratory.find(text), role) for text, role in named if text and text != "none"]
    names = [arm.located.name for arm in arms]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"two models would both be written as '{twice}'; give their folders different names")
    asked = own.questions() if own else {}
    forget: list[Question] = asked.get("forget") or load_questions(settings.forget_questions)
    retain = asked.get("retain") or load_questions(settings.retain_questions)
    retain = sample_uniformly(retain, 1000, 42) if len(retain) > 1000 else retain
    attack_texts: Mapping[str, Sequence[str]]
    attack_texts = {"retain": texts["retain"], "benign": texts.get("benign", ())}
    attack_texts = shows_its_own.attack_texts() if shows_its_own else attack_texts
    return arms, attack_texts, Material(texts, knowledge.questions_by_side(forget, retain))


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


def _overrides(settings: PipelineSettings, seeds: Sequence[int]) -> dict[str, Any]:
    """Settings of diagnostics that the pipeline decides. Small models take larger batches: same numbers, less time."""
    overrides: dict[str, Any] = {"max_samples": settings.max_samples, "seeds": tuple(seeds)}
    if settings.layers_to_analyze:
        overrides["layers_to_analyze"] = settings.layers_to_analyze
    return overrides | ({"batch_size": 32} if settings.laboratory else {})


def summary_of(report: Path) -> list[str]:
    """The report's ten lines."""
    from brittle.reports.page import gather, summary_lines

    return summary_lines(gather(report.parent))
