"""Load the model in four bits as users do: nf4 and fp4 of bitsandbytes. Does what unlearning changed survive that?

Every block matrix goes through ``quantize_4bit`` and back: blocks of 64 consecutive weights, one scale ``s = max |w|`` each,
``w → s · c`` with c the nearest of sixteen code points; what ``load_in_4bit=True`` computes with. nf4's code points are the
quantiles of a normal distribution, fp4's (the library's default) those of a four-bit float. Rounding to evenly spaced
points is ``quantization``. Source: Zhang et al. 2025 ("Catastrophic failure of LLM unlearning via quantization");
Dettmers et al. 2023 (QLoRA) for the codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

NAME = "quantization_4bit_codes"
TEACHES = "nothing"
RANDOM = False
NEEDS_PACKAGE = "bitsandbytes"
STRENGTH = "code points: 1 nf4, 2 fp4"
STRENGTHS = "code_points"
CODES = {1: "nf4", 2: "fp4"}
BLOCK = 64


@dataclass(frozen=True)
class Settings:
    """Which code points."""

    code_points: tuple[int, ...] = setting((1, 2), "1 for nf4, 2 for fp4, each tried once", minimum=1, below=3)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and with each set of code points; nothing is random, so one seed is run."""
    from brittle.models.reweighting import sweep

    return sweep(
        target, settings.code_points, lambda _name, matrix, codes: in_four_bits(matrix, CODES[int(codes)]), tick
    )


def in_four_bits(matrix: Tensor, codes: str) -> Tensor:
    """The matrix ``[outputs, inputs]`` as four bits a weight would hold it, in its own number type.

    Raises:
        BadInput: bitsandbytes is not installed, or does not work on the matrix's device.
    """
    try:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        # in one row: on the CPU, version 0.50 gives rows that are no multiple of 64 long back with other blocks' scales
        packed, state = quantize_4bit(matrix.reshape(1, -1), blocksize=BLOCK, quant_type=codes)
        rounded: Tensor = dequantize_4bit(packed, state)
        return rounded.view(matrix.shape).to(matrix)
    except ImportError:
        raise BadInput(f"{NAME} needs the package bitsandbytes; install it (uv pip install bitsandbytes)") from None
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"bitsandbytes cannot quantise on {matrix.device} ({error}); use its build for that device"
        ) from None
