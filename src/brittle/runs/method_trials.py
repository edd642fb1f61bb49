"""Every method at its laboratory preset, measured alike: what it removes, keeps and moves, and what comes back.

One row per method, seed and dose, each a record of its own; the table joins them. The seed decides data order, noise and
random targets of the unlearning, and the data order of the attack. The dose multiplies one setting of the preset, the one
that a method's file names as its strength, or else the learning rate.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.attacks import relearning
from brittle.contracts import MATCHED_T, AttackTarget, Evaluation
from brittle.models.references import locate
from brittle.records import Identity, column, read_record, writing
from brittle.runs import attack_material, job, laboratory_models, material, unlearning, unlearning_plan
from brittle.suites import laboratory

PRESET = "laboratory"
RELEARNING_STEPS = 40
"""Steps after which V is read whatever T is."""
INTERVAL, LONGEST = 10, 80
"""Steps between evaluations of T and V, and after how many T that is not learned is given up."""


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
    dose: float = column("the preset's strength times this; 1 is the preset")
    strength: str = column("the setting that the dose multiplies")
    steps_to_t: float | None = column(
        "relearning steps after which T counts as learned, to the next 10; empty: not in 80"
    )
    v_at_matched_t: float | None = column("accuracy on V there")


def measure(methods: Sequence[str], seeds: Sequence[int], doses: Sequence[float], outputs: Path) -> Path:
    """Measure what has no record yet; returns ``methods.csv`` with one row per method and seed at the preset, and one with
    the first seed at every other dose."""
    import pandas

    names = list(methods) or [n for n, p in discovery.plugins("methods").items() if PRESET in p.load().PRESETS]
    for name in names:  # before a laboratory is built
        discovery.find("methods", name)
    base = laboratory_models.find(laboratory.PREFIX + "base")
    plan = [(seed, 1.0) for seed in seeds] + [(seeds[0], dose) for dose in doses if dose != 1]
    trials = [Trial(name, seed, base.text, outputs, dose) for name in names for seed, dose in plan]
    job.carry_out(job.missing(trials), f"{len(names)} methods x {len(plan)} seeds and doses")
    table = pandas.concat([pandas.read_csv(trial.folder / "row.csv") for trial in trials], ignore_index=True)
    table["laboratory"] = laboratory.Laboratory().folder.name
    table.to_csv(outputs / "methods.csv", index=False)
    return outputs / "methods.csv"


@dataclasses.dataclass(frozen=True)
class Trial:
    """A method with one seed, as a :class:`brittle.runs.job.Job`."""

    method: str
    seed: int
    base: str
    outputs: Path
    dose: float = 1.0

    @property
    def flags(self) -> dict[str, Any]:
        """How the model is made."""
        name, value = strength(self.method)
        return {
            "model": self.base, "method": self.method, "preset": PRESET, "seed": self.seed, "device": "cpu",
            "outdir": str(self.outputs / "models"), name: self.dose * value,
        }  # fmt: skip

    @property
    def identity(self) -> Identity:
        """The unlearned model's own, and how long it is taught again."""
        model = unlearning_plan.plan(self.flags).identity.fingerprint
        return Identity("method", {"model": model}, {"steps": RELEARNING_STEPS, "longest": LONGEST})

    @property
    def folder(self) -> Path:
        """Where its row lies."""
        dose = f"__dose{self.dose:g}" if self.dose != 1 else ""
        return self.outputs / "rows" / f"{self.method}__seed{self.seed}{dose}"

    @property
    def size(self) -> int:
        """Steps of the unlearning."""
        return unlearning_plan.planned_steps(unlearning_plan.plan(self.flags))

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Unlearn, compare the weights, relearn."""
        _measure_one(self, tick)


def strength(method: str) -> tuple[str, float]:
    """The setting that a dose multiplies, and its value in the laboratory's preset."""
    module = discovery.find("methods", method).load()
    name = module.TUNING.get("strength", "lr")
    return name, float(module.PRESETS[PRESET][name])


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
    evaluations = _relearn(plan.folder, trial.seed)
    v = next(each.accuracy["v"] for each in evaluations if each.step == RELEARNING_STEPS)
    learned = next((each for each in evaluations if each.accuracy["t"] >= MATCHED_T), None)
    matrices: Any = found.tables["per_matrix"]
    ranks = [row["dW_stable_rank"] for row in matrices if row["dW_fro"] > 0]
    with writing(trial.folder, trial.identity) as draft:
        draft.table("row", [Row(
            trial.method, trial.seed, summary["accuracy_t"], summary["accuracy_v"], summary["accuracy_retain"],
            found.summary["relative_frobenius_norm"], sum(ranks) / max(1, len(ranks)), record["seconds"], record["peak_memory_mib"], v,
            summary["benign_nll"] - summary["benign_nll_before"], trial.dose, strength(trial.method)[0],
            learned.step if learned else None, learned.accuracy["v"] if learned else None,
        )])  # fmt: skip


def _relearn(folder: Path, seed: int) -> list[Evaluation]:
    """Accuracy on T and V before and along the attack's first steps, at the attack's default settings otherwise."""
    from brittle.models.likelihood import score
    from brittle.models.loading import load
    from brittle.models.prepared_questions import prepare

    chosen = laboratory.Laboratory()
    questions = chosen.questions()
    sides = material.questions_by_side(questions["forget"], questions["retain"])
    field = attack_material.prepare(sides, chosen.attack_texts()["texts"])
    loaded = load(locate(str(folder)), "cpu", "fp32")
    asked = {side: prepare(loaded.tokenizer, field.questions[side]) for side in ("t", "v")}

    def evaluate(
        step: int, examples_seen: int, strength: float = 0.0, prefix: str = "", tokens_seen: int = 0
    ) -> Evaluation:
        right = {side: score(loaded, some, normalise=False).correct[-1] for side, some in asked.items()}
        accuracy = {side: float(sum(each)) / len(each) for side, each in right.items()}
        return Evaluation(step, examples_seen, {}, accuracy)

    settings = dataclasses.replace(
        relearning.Settings(), attack_steps=LONGEST, attack_eval_interval=INTERVAL, attack_schedule="constant",
        attack_eval_early=(), attack_patience=0,
    )  # fmt: skip
    return relearning.attack(settings, AttackTarget(loaded, field.texts, evaluate), seed, lambda _: None)
