"""Tokens on a ground that is the darker, the less the model expected them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from brittle.percentages import percent

DARKEST = 8.0
"""Nats from which the ground is as dark as it gets: a probability of 0.03 %."""
COLOUR = "214, 104, 20"
OPAQUE = 0.8


def marked(tokens: Sequence[Any]) -> Markup:
    """Every token (:class:`brittle.models.generation.Token`) as text on its ground; a pointer is told the probability."""
    return Markup("").join(_one(token) for token in tokens)


def _one(token: Any) -> Markup:
    if not token.text:
        return Markup("")
    if math.isnan(token.log_probability):
        return escape(token.text)
    share = math.exp(token.log_probability)
    told = f"{percent(share, 2)} likely, surprise {token.surprise:.2f} nats"
    return Markup('<span style="background: rgba({}, {:.2f})" title="{}">{}</span>').format(
        Markup(COLOUR), ground(token.surprise), told, token.text
    )


def ground(surprise: float) -> float:
    """How opaque a token's ground is, 0 to :data:`OPAQUE`."""
    return OPAQUE * min(1.0, max(0.0, surprise) / DARKEST)


def mean_words(tokens: Sequence[Any]) -> str:
    """The mean surprise, in words; nothing without a token that has one."""
    known = [token.surprise for token in tokens if not math.isnan(token.log_probability)]
    return f"mean surprise {math.fsum(known) / len(known):.2f} nats a token" if known else ""


def legend() -> Markup:
    """What the grounds stand for."""
    shares = ((1.0, "certain"), (0.5, "50 %"), (0.1, "10 %"), (0.01, "1 %"), (0.0003, "0.03 % or less"))
    spans = Markup(" ").join(
        Markup('<span style="background: rgba({}, {:.2f}); padding: 0 .3em; border-radius: 2px">{}</span>').format(
            Markup(COLOUR), ground(-math.log(share)), words
        )
        for share, words in shares
    )
    return Markup('<p class="note">How likely the model found each token: {}</p>').format(spans)
