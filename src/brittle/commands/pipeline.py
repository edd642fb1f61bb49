"""``brittle pipeline`` and ``compare``, the main job: compare base, filtered and unlearned models, attack them alike, write the report.

Comparison 1 is base → filtered, 2 base → unlearned, both always on; with a control, base → retrained stands beside
them; 3 to 6 are opt-in. In the laboratory the unlearned models are made on the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.attacks import relearning
from brittle.commands.options import Environment, Given, next_step
from brittle.commands.pipeline_settings import CompareSettings, PipelineSettings
from brittle.commands.pipeline_work import is_sparse, overrides_of, pair_alone, prepared
from brittle.runs import attack, available, comparisons, roles
from brittle.runs.failures import Failure
from brittle.settings import BadInput, fields_of, references_in, resolve, seeds_in


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

    ``given`` and ``sparse`` as in :func:`brittle.commands.pipeline_work.prepared`; ``attack_settings`` are those of relearning.
    What can be refused is refused before any work.
    """
    work = prepared(settings, given, sparse, attacks={relearning.NAME: attack_settings})
    session, outputs = work.session, work.session.outputs
    roles.describe(outputs, work.arms, work.pairs)
    comparisons.carry_out(session, work.parts)
    for name, own in work.attacks.items():
        try:
            attack.attack({name: own}, work.arms, work.field, work.seeds, outputs, settings.force, work.arms[0].located)
        except Exception as problem:  # what was measured before is reported all the same
            session.failures.append(Failure(name, "attacks", problem))
    from brittle.views.report import write_report

    return write_report(outputs), session.failures


def answers(report: Path, settings: PipelineSettings, given: Mapping[str, Any], sparse: bool = False) -> list[str]:
    """What the command found: the report's ten lines or, where data are missing, the numbers that need none of it.

    Then what more data would add, and a next step.
    """
    from brittle.results.outputs import gather
    from brittle.views import step_answers
    from brittle.views.sentences import summary_lines

    settings = pair_alone(settings)
    data, there = gather(report.parent), available.kinds(settings)
    overrides = overrides_of(settings, seeds_in(settings.seeds), given)
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
