"""Low-rank adapters through PEFT, put into a model in place: the base is the adapter switched off."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from brittle.models.anatomy import Anatomy


def add_adapters(
    model: nn.Module,
    anatomy: Anatomy,
    rank: int,
    alpha: float,
    components: Sequence[str] = (),
    layers: Sequence[int] = (),
    seed: int = 0,
) -> Any:
    """Freeze the weights and add adapters to every matrix inside the blocks (or the named components and layers).

    The update of a matrix is (alpha / rank) · B A with B starting at zero (Hu et al. 2022); A's first values are drawn
    from ``seed``, and the caller's generators stay as they are. The model's modules are
    replaced in place, so whoever held the model holds the adapted one. Returns PEFT's wrapper, for saving and merging.
    """
    import peft

    matrices = [
        name.removesuffix(".weight")
        for name, _ in model.named_parameters()
        if (place := anatomy.place(name))
        and (not components or place.component in components)
        and (not layers or place.layer in layers)
    ]
    options: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "lora_dropout": 0.0}
    configuration = peft.LoraConfig(**options, target_modules=matrices, fan_in_fan_out=anatomy.transposed)
    gpus = {parameter.get_device() for parameter in model.parameters() if parameter.is_cuda}  # no other is woken
    with torch.random.fork_rng(gpus), warnings.catch_warnings():
        # PEFT reads an attribute that transformers is renaming
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(seed)
        return peft.get_peft_model(model, configuration)


def merged(wrapper: Any) -> Any:
    """The model with the adapters' update added to its weights and no adapter left."""
    return wrapper.merge_and_unload()
