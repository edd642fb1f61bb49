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
from brittle.records import Identity, column, read_record, writing
from brittle.runs import attack_material, job, laboratory_models, material, unlearning, unlearning_plan
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
    relative_frobenius_norm: float = column("‖ΔW‖_F / ‖W‖_F over all matrices of the blocks")
    stable_rank: float = column("mean stable rank of ΔW over those matrices")
    seconds: float = column("time of the unlearning on one core, loading and evaluation included")
    peak_memory_mib: float = column("largest resident size of the process during the unlearning, in MiB")
    v_after_relearning: float = column("accuracy on V after 40 relearning steps on T")
    benign_rise: float = column("rise over the base on held-out benign texts, in nats per token")


def measure(methods: Sequence[str], seeds: Sequence[int], outputs: Path) -> Path:
    """Measure what has no record yet; returns ``methods.csv`` with one row per method and seed."""
    import pandas

    names = list(methods) or [n for n, p in discovery.plugins("methods").items() if PRESET in p.load().PRESETS]
    for name in names:  # before a laboratory is built
        discovery.find("methods", name)
    base = laboratory_models.find(laboratory.PREFIX + "base")
    trials = [Trial(name, seed, base.text, outputs) for name in names for seed in seeds]
    job.carry_out(job.missing(trials), f"{len(names)} methods x {len(seeds)} seeds")
    table = pandas.concat([pandas.read_csv(trial.folder / "row.csv") for trial in trials], ignore_index=True)
    table.to_csv(outputs / "methods.csv", index=False)
    return outputs / "methods.csv"


@dataclasses.dataclass(frozen=True)
class Trial:
    """A method with one seed, as a :class:`brittle.runs.job.Job`."""

    method: str
    seed: int
    base: str
    outputs: Path

    @property
    def flags(self) -> dict[str, Any]:
        """How the model is made."""
        return {
            "model": self.base, "method": self.method, "preset": PRESET, "seed": self.seed, "device": "cpu",
            "outdir": str(self.outputs / "models"),
        }  # fmt: skip

    @property
    def identity(self) -> Identity:
        """The unlearned model's own, and how long it is taught again."""
        model = unlearning_plan.plan(self.flags).identity.fingerprint
        return Identity("method", {"model": model}, {"steps": RELEARNING_STEPS})

    @property
    def folder(self) -> Path:
        """Where its row lies."""
        return self.outputs / "rows" / f"{self.method}__seed{self.seed}"

    @property
    def size(self) -> int:
        """Steps of the unlearning."""
        return unlearning_plan.planned_steps(unlearning_plan.plan(self.flags))

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Unlearn, compare the weights, relearn."""
        _measure_one(self, tick)


def _measure_one(trial: Trial, tick: Callable[[int], None]) -> None:
    from brittle.models.checkpoints import matrix_pairs

    plan = unlearning_plan.plan(trial.flags | {"force": True})
    unlearning.make_model(plan, tick)
    summary = json.loads((plan.folder / "summary.json").read_text(encoding="utf-8"))
    record = read_record(plan.folder) or {"seconds": 0.0, "peak_memory_mib": 0.0}
    fitter = discovery.find("diagnostics", "weight_comparison").load()
    weights = fitter.Fitter(fitter.Settings())
    for pair in matrix_pairs(plan.base.folder, plan.folder):
        weights.update(pair)
    found = weights.finish()
    v = _relearn(plan.folder, trial.seed)
    matrices: Any = found.tables["per_matrix"]
    ranks = [row["dW_stable_rank"] for row in matrices if row["dW_fro"] > 0]
    with writing(trial.folder, trial.identity) as draft:
        draft.table("row", [Row(
            trial.method, trial.seed, summary["accuracy_t"], summary["accuracy_v"], summary["accuracy_retain"],
            found.summary["relative_frobenius_norm"], sum(ranks) / max(1, len(ranks)), record["seconds"], record["peak_memory_mib"], v, summary["benign_nll"] - summary["benign_nll_before"],
        )])  # fmt: skip


def _relearn(folder: Path, seed: int) -> float:
    """V after the attack's first steps, at the attack's default settings otherwise."""
    from brittle.models.likelihood import score
    from brittle.models.loading import load
    from brittle.models.prepared_questions import prepare

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
