"""Every method at its laboratory preset, measured alike: what it removes, keeps and moves, and what comes back.

One row per method and seed, each a record of its own; the table joins them. The seed decides data order, noise and
random targets of the unlearning, and the data order of the attack.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.attacks import relearning
from brittle.contracts import AttackTarget, Evaluation
from brittle.models.references import locate
from brittle.records import Identity, column, is_complete, read_record, writing
from brittle.runs import attack_material, executor, laboratory_models, material, unlearning, unlearning_plan
from brittle.suites import laboratory

PRESET = "laboratory"
RELEARNING_STEPS = 40


@dataclasses.dataclass(frozen=True)
class Row:
    """One method with one seed."""

    method: str = column("documented name")
    seed: int = column("seed of the unlearning and of the attack")
    forget_t: float = column(
        "accuracy on the half of the hazardous questions that the attack teaches, before it (0 to 1)"
    )
    forget_v: float = column("accuracy on the other half")
    retain: float = column("accuracy on benign questions")
    relative_update: float = column("‖ΔW‖_F / ‖W‖_F over all matrices of the blocks")
    stable_rank: float = column("mean stable rank of ΔW over those matrices")
    seconds: float = column("time of the unlearning on one core, loading and evaluation included")
    peak_memory_mib: float = column("largest resident size of the process during the unlearning, in MiB")
    v_after_relearning: float = column("accuracy on V after 40 relearning steps on T")


def measure(methods: Sequence[str], seeds: Sequence[int], outputs: Path) -> Path:
    """Measure what has no record yet; returns ``methods.csv`` with one row per method and seed."""
    import pandas

    names = list(methods) or [n for n, p in discovery.plugins("methods").items() if PRESET in p.load().PRESETS]
    base = laboratory_models.find(laboratory.PREFIX + "base")
    folders, jobs = [], []
    for name in names:
        for seed in seeds:
            flags = {
                "model": base.text, "method": name, "preset": PRESET, "seed": seed, "device": "cpu",
                "outdir": str(outputs / "models"),
            }  # fmt: skip
            plan = unlearning_plan.plan(flags)
            identity = Identity("method", {"model": plan.identity.fingerprint}, {"steps": RELEARNING_STEPS})
            folder = outputs / "rows" / f"{name}__seed{seed}"
            folders.append(folder)
            if not is_complete(folder, identity):
                jobs.append(
                    executor.Job(_measure_one, (flags, seed, folder, identity), unlearning_plan.planned_steps(plan))
                )
    executor.run(jobs, f"{len(names)} methods x {len(seeds)} seeds")
    table = pandas.concat([pandas.read_csv(folder / "row.csv") for folder in folders], ignore_index=True)
    table.to_csv(outputs / "methods.csv", index=False)
    return outputs / "methods.csv"


def _measure_one(
    flags: dict[str, Any], seed: int, folder: Path, identity: Identity, tick: Callable[[int], None]
) -> None:
    """Unlearn, compare the weights, relearn; in a worker."""
    from brittle.models.checkpoints import matrix_pairs

    plan = unlearning_plan.plan(flags | {"force": True})
    unlearning.make_model(plan, tick)
    summary = json.loads((plan.folder / "summary.json").read_text(encoding="utf-8"))
    record = read_record(plan.folder) or {"seconds": 0.0, "peak_memory_mib": 0.0}
    fitter = discovery.find("diagnostics", "weight_comparison").load()
    weights = fitter.Fitter(fitter.Settings())
    for pair in matrix_pairs(plan.base.folder, plan.folder):
        weights.update(pair)
    found = weights.finish()
    v = _relearn(plan.folder, seed)
    matrices: Any = found.tables["per_matrix"]
    ranks = [row["dW_stable_rank"] for row in matrices if row["dW_fro"] > 0]
    with writing(folder, identity) as draft:
        draft.table("row", [Row(
            plan.make.method, seed, summary["accuracy_t"], summary["accuracy_v"], summary["accuracy_retain"],
            found.summary["relative_frobenius_norm"], sum(ranks) / max(1, len(ranks)), record["seconds"], record["peak_memory_mib"], v,
        )])  # fmt: skip


def _relearn(folder: Path, seed: int) -> float:
    """V after the attack's first steps, at the attack's default settings otherwise."""
    from brittle.models.likelihood import prepare, score
    from brittle.models.loading import load

    chosen = laboratory.Laboratory()
    questions = chosen.questions()
    sides = material.questions_by_side(questions["forget"], questions["retain"])
    field = attack_material.prepare(sides, chosen.texts()["forget"])
    loaded = load(locate(str(folder)), "cpu", "fp32")
    asked = prepare(loaded.tokenizer, field.questions["v"])

    def evaluate(
        step: int, examples_seen: int, strength: float = 0.0, prefix: str = "", tokens_seen: int = 0
    ) -> Evaluation:
        correct = score(loaded, asked, normalise=False).correct[-1] if step else [0]
        return Evaluation(step, examples_seen, {}, {"t": 0.0, "v": float(sum(correct)) / len(correct)})

    settings = dataclasses.replace(
        relearning.Settings(),
        attack_steps=RELEARNING_STEPS,
        attack_eval_interval=RELEARNING_STEPS,
        attack_schedule="constant",
        attack_eval_early=(),
    )
    evaluations = relearning.attack(settings, AttackTarget(loaded, field.texts, evaluate), seed, lambda _: None)
    return evaluations[-1].accuracy["v"]
