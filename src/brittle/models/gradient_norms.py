"""How strongly a text pulls at a model's weights: the norm of the gradient of its loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from brittle import progress
from brittle.models.loading import LoadedModel
from brittle.settings import BadInput


def gradient_norms(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], starts: Sequence[int], what: str = "texts"
) -> np.ndarray:
    """``[rows, 2]``: the Euclidean norm over all weights together, and the mean of the norms of every weight tensor.

    The loss is the mean over a row's tokens from its start on, in nats, in the model's own number type; one row at a time, as
    each needs a gradient of its own. The weights' gradients are cleared and their flags are as before.

    Raises:
        BadInput: a part of the model lies where no gradient reaches (a device map with weights on disk or in CPU memory).
    """
    parameters = list(loaded.model.parameters())
    if any(parameter.is_meta for parameter in parameters):
        raise BadInput(
            f"{loaded.name} does not fit its devices whole, and gradient norms need it to; use --no-gradients"
        )
    asked = [parameter.requires_grad for parameter in parameters]
    norms = np.zeros((len(rows), 2))
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for index in progress.over(range(len(rows)), f"gradients of {what} by {loaded.name}", "text"):
            loaded.model.zero_grad(set_to_none=True)
            with torch.enable_grad():
                input_ids = torch.tensor([list(rows[index])], device=loaded.device)
                logits = loaded.model(input_ids=input_ids, use_cache=False).logits[0, starts[index] - 1 : -1].float()
                targets = input_ids[0, starts[index] :].to(logits.device)
                torch.nn.functional.cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]
            found = [float(each.grad.float().norm()) for each in parameters if each.grad is not None]
            norms[index] = np.linalg.norm(found), np.mean(found)
    finally:
        loaded.model.zero_grad(set_to_none=True)
        for parameter, before in zip(parameters, asked):
            parameter.requires_grad_(before)
    return norms
