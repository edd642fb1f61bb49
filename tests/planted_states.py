"""Observations made of given hidden states, so that a diagnostic's answer is known beforehand."""

from __future__ import annotations

import torch

from brittle.models.observation import ActivationObservation


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def observed(split, a, b=None, lengths=None, start=0, filler=float("nan"), batch_size=None):
    """Observations of texts of one split; ``a`` and ``b`` are ``[texts, tokens, width]``, or a list of such by depth.

    What lies behind a text's length is filled with ``filler``: whoever reads padding shows it.
    """
    sides = [None if side is None else list(side) if isinstance(side, list) else [side] for side in (a, b)]
    texts, tokens = sides[0][0].shape[:2]
    lengths = torch.full((texts,), tokens) if lengths is None else torch.as_tensor(lengths)
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    sides = [side and [hidden.masked_fill(mask[..., None] == 0, filler) for hidden in side] for side in sides]
    found = []
    for first in range(0, texts, batch_size or texts):
        rows = slice(first, first + (batch_size or texts))
        hidden = [side and [each[rows] for each in side] for side in sides]
        indices = tuple(range(start, start + texts))[rows]
        digests = tuple(f"{split}-{index}" for index in indices)
        found.append(
            ActivationObservation(
                split, indices, mask[rows], *hidden, digests=digests, model_a="base", model_b="unlearned"
            )
        )
    return found


def found_by(module, *observations, **settings):
    """The findings of a diagnostic that saw these lists of observations."""
    fitter = module.Fitter(module.Settings(**settings))
    for each in (one for some in observations for one in some):
        fitter.update(each)
    return fitter.finish()


def rotation(width, seed=0):
    return torch.linalg.qr(gaussian(width, width, seed=seed).double()).Q.float()
