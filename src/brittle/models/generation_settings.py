"""How a model goes on with a prompt: how far, and which of the likely tokens it takes. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from brittle.settings import LARGEST_SEED, setting


@dataclass(frozen=True)
class GenerationSettings:
    """The defaults are greedy: the likeliest token every time. ``top_p``, ``top_k`` and ``seed`` are read when sampling."""

    max_tokens: int = setting(200, "most new tokens", minimum=1)
    temperature: float = setting(0.0, "0: the likeliest token (greedy); above 0: tokens are drawn", minimum=0)
    top_p: float = setting(
        1.0, "draw from the likeliest tokens that together have this probability", above=0, maximum=1
    )
    top_k: int = setting(0, "draw from this many likeliest tokens; 0: from all", minimum=0)
    seed: int = setting(0, "seed of what is drawn", minimum=0, maximum=LARGEST_SEED)
