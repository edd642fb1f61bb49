"""Round the weights to a few bits: does what unlearning changed fall below the resolution?

Every block matrix is rounded to nearest with one scale per output row, ``s = max_row |w| / (2^(bits−1) − 1)``,
``w → s · round(w / s)``; no calibration data. An update smaller than half a step disappears and the base's weights come
back. Source: Zhang et al. 2025 ("Catastrophic failure of LLM unlearning via quantization"), their round-to-nearest
variant; bitsandbytes' nf4 and fp4 have other code points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting

NAME = "quantization"
TEACHES = "nothing"
RANDOM = False
STRENGTH = "bits per weight"
STRENGTHS = "bits"
QUICK = {"bits": (4,)}


@dataclass(frozen=True)
class Settings:
    """How few bits."""

    bits: tuple[int, ...] = setting((8, 4, 3), "bits per weight, 2 to 8, each tried once", minimum=2, below=9)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every width; nothing is random, so one seed is run."""
    from brittle.mathematics.quantisation import round_to_nearest
    from brittle.models.reweighting import sweep

    return sweep(target, settings.bits, lambda _name, matrix, bits: round_to_nearest(matrix, int(bits)), tick)
