"""A synthetic outputs tree: what the pipeline leaves behind, with numbers from tiny formulas."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas

ROLES = {
    "laboratory_base": "base", "laboratory_filtered": "filtered", "laboratory_retrained": "retrained",
    "laboratory_base__cb_lat__ep1_lr0.001_bs8_a100.0_ly1-2": "unlearned",
    "laboratory_base__wt_dist__ep1_lr0.003_bs8_wn0.05": "unlearned",
}  # fmt: skip
# relative update and stable rank of base -> model; V that a model holds (hidden or not); steps to relearn T
MOVED = {"filtered": (0.92, 12.4), "retrained": (0.91, 13.2), "cb_lat": (0.26, 2.0), "wt_dist": (2.6, 42.6)}
HOLDS_V = {"base": 1.0, "filtered": 0.0, "retrained": 1.0, "cb_lat": 1.0, "wt_dist": 0.0}
T_TIME = {"base": 1.0, "filtered": 12.0, "retrained": 1.0, "cb_lat": 8.0, "wt_dist": 14.0}
VALUES = [f"value{number}" for number in range(8)]
QUESTIONS = 48
LAYERS = 4


def kind(name: str) -> str:
    """The method of an unlearned model, the role of any other."""
    return name.split("__")[1] if "__" in name else ROLES[name]


def build(outputs: Path) -> Path:
    """Write the whole tree."""
    models = []
    for name, role in ROLES.items():
        made = {"method": kind(name), "settings": {"lr": 0.001, "layer_id": [1, 2]}} if role == "unlearned" else {}
        models.append({"name": name, "role": role, "reference": name.replace("_", ":", 1), **made})
    base = "laboratory_base"
    pairs = [{"folder": f"{base}__to__{name}", "a": base, "b": name} for name in ROLES if name != base]
    outputs.mkdir(parents=True, exist_ok=True)
    (outputs / "comparison.json").write_text(json.dumps({"models": models, "comparisons": pairs}))
    for pair in pairs:
        weights(outputs / pair["folder"] / "weight_comparison", *MOVED[kind(pair["b"])])
        activations(outputs / pair["folder"] / "activation_comparison", MOVED[kind(pair["b"])][0])
    for name in ROLES:
        lens(outputs / name / "wmdp_logit_lens", kind(name))
    attack(outputs / "recovery")
    return outputs


def save(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """One table and a record beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    record = {
        "status": "complete", "fingerprint": f"{len(name):04x}0000aaaabbbb", "started": "2026-01-02T03:04:05Z",
        "seconds": 1.5, "versions": {"brittle": "0.1.0", "torch": "2.13.0"},
        "machine": {"system": "Linux", "cores": 2, "gpu": None},
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))


def weights(folder: Path, update: float, rank: float) -> None:
    """Every matrix moves by ``update`` with stable rank ``rank``, deeper layers a little less."""
    matrices, layers = [], []
    for layer in range(LAYERS):
        tilt = 1 - 0.1 * layer
        for group, norm in (("attn", 8.0), ("mlp", 12.0)):
            matrices.append({
                "name": f"layers.{layer}.{group}", "layer": layer, "group": group, "dW_fro": update * tilt * norm,
                "W_fro": norm, "dW_fro_rel": update * tilt, "dW_stable_rank": rank,
            })  # fmt: skip
            layers.append({
                "layer": layer, "group": group, "dW_fro_layer": update * tilt * norm, "W_fro_layer": norm,
                "dW_fro_layer_rel": update * tilt, "mean_dW_stable_rank": rank * tilt, "count_mats": 2,
            })  # fmt: skip
    save(folder, "per_layer", layers)
    save(folder, "per_matrix", matrices)


def activations(folder: Path, update: float) -> None:
    """Hidden states move with depth, twice as far on forget texts."""
    rows: list[dict[str, Any]] = [
        {"layer": layer, "split": split, "model_a_norm_L2": 10.0 + layer, "mean_dh_L2": factor * update * (layer + 1)}
        for split, factor in (("forget", 2.0), ("retain", 1.0))
        for layer in range(LAYERS + 1)
    ]
    rows.append({"layer": "ALL_MEAN", "split": "forget", "model_a_norm_L2": 1.0, "mean_dh_L2": 99.0})
    save(folder, "activation_comparison", rows)


def lens(folder: Path, model: str) -> None:
    """Base and retrained read the answer from the first layer on, the others nowhere."""
    accuracy = 0.97 if model in ("base", "retrained") else 0.25
    row = {"accuracy": accuracy, "correct": int(accuracy * 240), "total": 240}
    save(folder, "wmdp_lens_results", [{"layer": layer} | row for layer in range(LAYERS + 1)])


def attack(folder: Path, seeds: int = 3) -> None:
    """Curves that rise towards 1 (T) and towards what the model holds (V); answers at the first step with T learned."""
    points, answers = [], []
    for name, role in ROLES.items():
        for seed in range(seeds):
            rows = [point(name, role, seed, step) for step in range(0, 121, 10)]
            points += rows
            step = next(row["step"] for row in rows if row["accuracy_t"] >= 0.95)
            answers += [answer(name, seed, step, number) | right_at(rows, number) for number in range(QUESTIONS)]
    save(folder, "recovery", points)
    save(folder, "recovery_answers", answers)


def point(name: str, role: str, seed: int, step: int) -> dict[str, Any]:
    """One row of ``recovery.csv``."""
    model = kind(name)
    learned = 1 - math.exp(-(step + seed) / T_TIME[model])
    start = 1.0 if model in ("base", "retrained") else 0.25
    t = start + (1 - start) * learned
    v = start + HOLDS_V[model] * (1 - start) * learned - (1 - HOLDS_V[model]) * 0.05 * learned + 0.01 * (seed - 1)
    return {
        "model": name, "role": role, "attack": "relearning", "seed": seed, "step": step, "examples_seen": 8 * step,
        "accuracy_t": t, "accuracy_v": min(1.0, v), "accuracy_retain": 0.98,
    }  # fmt: skip


def right_at(rows: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """At which steps of a run one question is answered right: as many questions as the accuracy says, always the same first."""
    place = number * 29 % QUESTIONS
    steps = [row["step"] for row in rows if place < round(row["accuracy_v"] * QUESTIONS)]
    return {"attack": rows[0]["attack"], "right_at": json.dumps(steps)}


def answer(name: str, seed: int, step: int, number: int) -> dict[str, Any]:
    """One row of ``recovery_answers.csv``: who holds V answers right, the others by a rule blind to the entity."""
    correct = number * 3 % 4
    key = VALUES[number % 8]
    choices = [VALUES[(number + 1 + 2 * place) % 8] for place in range(4)]
    choices[correct] = key
    predicted = correct if HOLDS_V[kind(name)] else (number * 5 + seed) % 7 % 4
    fact = f"entity{number}/{'source' if number < 24 else 'target'}"
    return {
        "model": name, "seed": seed, "step": step, "fact": fact, "side": "v", "choice_predicted": predicted,
        "choice_correct": correct, "option": choices[predicted], "choices": json.dumps(choices),
    }  # fmt: skip


def more_attacks(folder: Path, seeds: int = 2) -> None:
    """Attacks that are read at their strongest, a search of three trials, and the path of relearning."""
    rows = []
    for name, role in ROLES.items():
        for seed in range(seeds):
            for attack, gain in (("benign_relearning", 0.2), ("template_relearning", 0.1)):
                rows += [other(name, role, attack, seed, step, step, gain * step / 20) for step in (0, 10, 20)]
            few = enumerate((0, 1, 10, 100))
            rows += [other(name, role, "relearning_from_examples", seed, step, n, 0.25 * step) for step, n in few]
        rows += [other(name, role, "quantization", 0, step, bits, 0.02 * step) for step, bits in enumerate((0, 8, 4))]
        rows += [
            other(name, role, "relearning_search", trial, step, 0, gain * step / 20) | {"configuration": f"lr {trial}"}
            for trial, gain in enumerate((0.3, 0.6, 0.9))
            for step in (0, 10, 20)
        ]
    path = folder / "recovery.csv"
    pandas.concat([pandas.read_csv(path), pandas.DataFrame(rows)]).to_csv(path, index=False)
    answers = [
        answer(model, seed, part[0]["step"], number) | right_at(part, number)
        for (model, _, seed), run in pandas.DataFrame(rows).groupby(["model", "attack", "seed"])
        for part in [run.to_dict("records")]
        for number in range(QUESTIONS)
    ]
    path = folder / "recovery_answers.csv"
    pandas.concat([pandas.read_csv(path), pandas.DataFrame(answers)]).to_csv(path, index=False)
    walked = [step for name in ROLES for step in steps_back(name)]
    pandas.DataFrame(walked).to_csv(folder / "trajectory.csv", index=False)


def other(
    name: str, role: str, attack: str, seed: int, step: int, strength: float, gain: float
) -> dict[str, Any]:  # fmt: skip
    """V rises by ``gain`` of what the model holds; the last trial of the search ruins benign answers."""
    start = 1.0 if kind(name) in ("base", "retrained") else 0.25
    v = min(1.0, start + HOLDS_V[kind(name)] * gain * (1 - start))
    ruined = attack == "relearning_search" and seed == 2 and step
    return {
        "model": name, "role": role, "attack": attack, "seed": seed, "step": step, "examples_seen": 8 * step,
        "tokens_seen": 100 * step, "accuracy_t": v, "accuracy_v": v, "accuracy_retain": 0.5 if ruined else 0.98,
        "strength": strength, "compute": "fp32", "configuration": "",
    }  # fmt: skip


def steps_back(name: str) -> list[dict[str, Any]]:
    """cb_lat walks straight back to the base, the others elsewhere; diagnostics at the first and the last step."""
    straight = kind(name) == "cb_lat"
    rows = []
    for step in (0, 60, 120):
        share = step / 120 * (0.8 if straight else 0.01)
        row: dict[str, Any] = {
            "model": name, "role": ROLES[name], "attack": "relearning", "seed": 0, "step": step,
            "cosine_to_base": (0.9 if straight else 0.05) if step and kind(name) != "base" else math.nan,
            "share_undone": share, "distance_to_base": 0.5 * (1 - share), "distance_moved": share / 2,
        }  # fmt: skip
        measured = {"weight_comparison.relative_frobenius_norm": 0.25, "wmdp_logit_lens.best_layer_accuracy": 0.5}
        rows.append(row | {key: value if step != 60 else math.nan for key, value in measured.items()})
    return rows
