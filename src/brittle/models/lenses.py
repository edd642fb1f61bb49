"""Questions asked at every depth through one of the lenses: ``logit``, ``tuned`` or ``linear``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from brittle.models import linear_lens, tuned_lens
from brittle.models.likelihood import Scores, score
from brittle.models.loading import LoadedModel
from brittle.models.prepared_questions import Asked, prepare


def score_through_lens(loaded: LoadedModel, questions: Sequence[Asked], texts: Sequence[str], settings: Any) -> Scores:
    """Scores at all depths. ``settings`` are those of :mod:`brittle.diagnostics.layerwise_accuracy`; lenses that are learned
    learn from ``texts``."""
    common = {"batch_size": settings.batch_size, "max_length": settings.max_length}
    ask = partial(score, loaded, prepare(loaded.tokenizer, questions), normalise=False, **common)
    if settings.lens == "logit":
        return ask(depths="all")
    learned = settings.tuned_lr, settings.tuned_epochs, settings.tuned_train_frac, settings.seeds[0]
    if settings.lens == "tuned":
        lens = tuned_lens.train(loaded, texts, *learned, **common)
        return replace(
            ask(depths="all", translate=lens.translate), lens_divergences=(lens.divergence, lens.divergence_untuned)
        )
    parts, divergences = [], []
    for found in linear_lens.train(loaded, texts, *learned, **common):
        read = partial(linear_lens.read, found.linear) if found.linear is not None else None
        parts.append(ask(depths=(found.depth,), read=read))
        divergences.append((found.divergence, found.divergence_untuned))
    values = np.concatenate([part.log_probabilities for part in parts])
    depths = tuple(depth for part in parts for depth in part.depths)
    own, untuned = zip(*divergences)
    return replace(parts[0], log_probabilities=values, depths=depths, lens_divergences=(own, untuned))
