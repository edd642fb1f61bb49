"""What the diagnostics' benchmarks share: models, fitters, ways to build a side, and how cost grows."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import pair_of_models
import torch
from measuring import Measured, Way
from pair_of_models import SHAPES, Shape
from torch import Tensor

from brittle.discovery import plugins
from brittle.models.loading import LoadedModel, load
from brittle.models.references import locate

BATCH = 8
TURNS = 2
"""Some of the other sides take minutes."""


def loaded(folder: Any) -> LoadedModel:
    """A model in float32 on the CPU."""
    return load(locate(str(folder)), "cpu", "fp32")


def fitters(names: Sequence[str]) -> list[Any]:
    """New fitters with the documented settings."""
    modules = [plugins("diagnostics")[name].load() for name in names]
    return [module.Fitter(module.Settings()) for module in modules]


@torch.no_grad()
def hidden_states_and_logits(
    model: LoadedModel, ids: Tensor, mask: Tensor, inside: dict[str, list[Tensor]] | None
) -> list[Tensor]:
    """Hidden states at every depth of a whole forward pass, the last before the norm; ``inside`` collects MLP inputs."""
    handles, last = [], []
    for block in model.anatomy.blocks(model.model):
        if inside is not None:
            for key, path in (("mlp_inputs_a", "mlp.dense_h_to_4h"), ("contract_inputs_a", "mlp.dense_4h_to_h")):
                hook = lambda _module, inputs, key=key: inside[key].append(inputs[0])  # noqa: E731
                handles.append(block.get_submodule(path).register_forward_pre_hook(hook))
    handles.append(block.register_forward_hook(lambda _module, _inputs, output: last.append(output)))
    found = model.model(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    return [*found[:-1], last[0][0] if isinstance(last[0], tuple) else last[0]]


def with_models(work: Callable[..., Any]) -> Callable[[str], Way]:
    """A way that is given both models, loaded before."""

    def build(size: str) -> Way:
        shape = SHAPES[size]
        models = [loaded(folder) for folder in pair_of_models.folders(shape)]
        return Way(lambda: work(shape, models))

    return build


def way(work: Callable[[Shape], Any]) -> Callable[[str], Way]:
    """A way that loads what it needs."""
    return lambda size: Way(lambda: work(SHAPES[size]))


def slope(units: Sequence[float], spent: Sequence[float]) -> float:
    """The exponent of growth: least squares of log time on log units; 1 is linear."""
    return float(numpy.polyfit(numpy.log(units), numpy.log(spent), 1)[0])


def growth(work: Callable[[Shape, int], Any], unit: str, size: str) -> Measured:
    """Ratio 1 / exponent: 1 is linear, below 1 grows faster. The fastest of three runs counts at each of three sizes."""
    spent = []
    for times in (1, 2, 4):
        run = functools.partial(work, SHAPES[size], times)
        run()
        turns = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            turns.append(time.perf_counter() - start)
        spent.append(min(turns))
    found = slope((1, 2, 4), spent)
    return Measured(
        1 / found, found, 1.0, f"as exponent of {unit} (seconds {', '.join(f'{each:.2f}' for each in spent)})"
    )
