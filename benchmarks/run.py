"""Benchmarks: ratios of two ways to do the same thing, measured in turns in one run. ``--quick``, ``--json``.

Absolute times of shared machines lie, so only ratios are printed: the median over repetitions of other / ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from brittle.models.anatomy import anatomy_of
from brittle.models.construction import new_gpt_neox
from brittle.training.batches import Batch
from brittle.training.loop import totals_of
from brittle.training.step import Step

LAYERS = (5, 6, 7)


def misdirection_step(quick: bool) -> tuple[Callable[[], float], Callable[[], float]]:
    """RMU on layers 5 to 7 of 12: our step, which ends at the deepest layer, and one that runs the whole model."""
    width, vocabulary = (256, 8192) if quick else (768, 50_304)
    model = new_gpt_neox(vocabulary, width, 12, 4 if quick else 12, 128, seed=0)
    tokens = torch.randint(1, vocabulary, (2, 64))
    batch = Batch(tokens, torch.ones_like(tokens), torch.ones(tokens.shape), (0, 1))
    step = Step(model, {"forget": batch}, totals_of([{"forget": batch}]), anatomy=anatomy_of(model.config))
    targets = {layer: 20.0 * step.random_direction(layer) for layer in LAYERS}

    def finish(states: dict[int, torch.Tensor]) -> float:
        loss = torch.stack([(states[layer] - targets[layer]).square().mean() for layer in LAYERS]).sum()
        loss.backward()
        model.zero_grad(set_to_none=True)
        return float(loss.detach())

    def ours() -> float:
        return finish(step.hidden_states("forget", LAYERS))

    def whole() -> float:
        hidden = model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
        return finish({layer: hidden[layer + 1] for layer in LAYERS})

    return ours, whole


BENCHMARKS = {"rmu step against a full forward pass": (misdirection_step, 1.5)}
"""What is compared, and the ratio to reach: at layers 5 to 7 of 12 a third of the blocks and the unembedding fall away."""


def ratio(ours: Callable[[], float], other: Callable[[], float], repetitions: int) -> float:
    """The median over turns of the other's time over ours; both must compute the same value."""
    first, second = ours(), other()
    if abs(first - second) > 1e-3 * abs(first):
        raise AssertionError(f"the two ways differ: {first} and {second}")
    found = []
    for _ in range(repetitions):
        seconds = []
        for way in (ours, other):
            start = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - start)
        found.append(seconds[1] / seconds[0])
    return statistics.median(found)


def main() -> None:
    """Run every benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small shapes, two minutes at most")
    parser.add_argument("--json", action="store_true", help="one object a line: name, ratio, goal, met")
    chosen = parser.parse_args()
    for name, (build, goal) in BENCHMARKS.items():
        value = ratio(*build(chosen.quick), 5 if chosen.quick else 9)
        row = {"name": name, "ratio": round(value, 2), "goal": goal, "met": value >= goal}
        print(
            json.dumps(row) if chosen.json else f"{name}: {value:.2f} x (goal {goal}{'' if row['met'] else ', missed'})"
        )


if __name__ == "__main__":
    main()
