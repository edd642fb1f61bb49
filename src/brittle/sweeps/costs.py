"""What the parts of a sweep cost on GPUs of a kind that was measured: seconds, bytes read and written, GPUs.

Throughputs and peaks are rows of ``benchmarks/results/gpu.jsonl`` (one H100, 80 GB); a test compares them. What no
measurement gave is a field of :class:`Machine`, so that it has a name, a default and a key that changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from brittle.lists import nearest
from brittle.settings import BadInput, shortened

GIB, GB = 2**30, 1e9
SIZES: Mapping[str, int] = {"160M": 162_322_944, "1B": 1_011_781_632, "7B": 6_857_302_016}
"""Parameters of the measured shapes."""


@dataclass(frozen=True)
class Kind:
    """What decides how fast a training is: which weights train, how much of the model a step runs, in which number type."""

    weights: str
    """``float32``, ``bfloat16`` or ``adapters of rank 16``, as the measurements call them."""
    whole: bool = True
    """Whether a step runs the whole model (measured with grad_diff) or ends at the deepest target layer (rmu)."""
    compute: str = "bf16"

    @property
    def words(self) -> str:
        """For people."""
        passes = "the whole model" if self.whole else "up to the target layers"
        return f"{self.weights} weights, {passes}, {self.compute}".replace("rank 16 weights", "rank 16")


ADAPTERS = "adapters of rank 16"
MEASURED: Mapping[Kind, Mapping[str, tuple[float, float]]] = {
    Kind("float32"): {"160M": (86065, 5.018), "1B": (46396, 19.402)},
    Kind("float32", whole=False): {"160M": (112549, 2.508), "1B": (69406, 10.968)},
    Kind("bfloat16"): {"160M": (47698, 4.4), "1B": (39815, 15.557)},
    Kind("bfloat16", whole=False): {"160M": (80792, 2.029), "1B": (54087, 8.174)},
    Kind(ADAPTERS): {"160M": (69983, 3.807), "1B": (50592, 11.875), "7B": (11893, 58.786)},
    Kind(ADAPTERS, whole=False): {"160M": (76713, 1.798), "1B": (69903, 7.263), "7B": (31421, 33.915)},
    Kind("float32", compute="fp32"): {"160M": (43231, 6.235), "1B": (8041, 21.862)},
    Kind("float32", whole=False, compute="fp32"): {"160M": (73424, 3.104), "1B": (16249, 12.202)},
}
"""Tokens a second on one GPU and peak GiB, by kind and size, with 8 texts of 512 tokens a step."""
STEP = 4096
"""Tokens of a measured step."""
STANDING: Mapping[str, int] = {"float32": 16, "bfloat16": 12, ADAPTERS: 4}
"""Bytes a parameter that do not grow with the batch: weights, gradients, the two numbers of AdamW; of adapters the weights."""
SPECTRA, ACTIVATIONS = 3.971, 1.797 + 7.935
"""Seconds on one GPU at the shapes of 1B: weights of two of its 16 blocks, with spectra; activations of 48 texts, to the end."""
DIAGNOSED_1B = 8 * SPECTRA + ACTIVATIONS


def _given(default: float, help: str, whole: bool = False, zero: bool = False) -> float:
    found: float = field(default=default, metadata={"help": help, "whole": whole, "zero": zero})
    return found


@dataclass(frozen=True)
class Machine:
    """Where a sweep is imagined to run, and everything that is assumed and was not measured."""

    nodes: float = _given(1, "nodes", whole=True)
    gpus: float = _given(8, "GPUs of a node", whole=True)
    memory: float = _given(80, "GiB of a GPU")
    disk: float = _given(2, "GB/s of the shared file system, all nodes together (assumed)")
    network: float = _given(10, "GB/s of a node's network, shared by its jobs (assumed)")
    space: float = _given(0, "GB of room for models; 0: without limit (assumed)", zero=True)
    gain: float = _given(
        0,
        "what each further GPU of a group adds to its speed: 0 with layers spread, 1 with perfect sharding",
        zero=True,
    )
    evaluated: float = _given(3e6, "tokens that evaluating a model reads (assumed)", zero=True)
    tokens: float = _given(0, "tokens of a row; 0: the longest allowed", whole=True, zero=True)
    texts: float = _given(1000, "forget texts, where no file of them can be read (assumed)", whole=True)
    parameters: float = _given(0, "parameters of the base; 0: what its config.json says", zero=True)

    @property
    def gpu_bytes(self) -> float:
        """Bytes of a GPU."""
        return self.memory * GIB

    def speed(self, group: int) -> float:
        """How many times as fast as one GPU a group of them trains."""
        return 1 + self.gain * (group - 1)


def machine(text: str) -> Machine:
    """``nodes=100,gpus=8`` and further keys of :class:`Machine`.

    Raises:
        BadInput: an unknown key (with the nearest), one named twice, or a value that is no number in its range.
    """
    known = {each.name: each.metadata for each in fields(Machine)}
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, word = (piece.strip() for piece in part.partition("="))
        if name not in known:
            raise BadInput(f"--simulate: unknown key '{shortened(name)}'; {nearest(name, known)}")
        if name in found:
            raise BadInput(f"--simulate: '{name}' is named twice; name it once")
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        about = known[name]
        if not (0 <= value <= 1e15) or value == 0 and not about["zero"] or about["whole"] and value % 1:
            kind = "a whole number" if about["whole"] else "a number"
            least = "0 or more" if about["zero"] else "above 0"
            raise BadInput(f"--simulate: {name}='{shortened(word)}' must be {kind} {least}: {about['help']}")
        found[name] = value
    asked = Machine(**found)
    if asked.nodes * asked.gpus > 100_000 or asked.gain > 1:
        raise BadInput("--simulate: at most 100,000 GPUs, and a gain from 0 to 1")
    return asked


def measured(kind: Kind, parameters: float) -> tuple[float, float]:
    """Tokens a second on one GPU and peak bytes: between measured sizes straight in logarithms; beyond them in proportion.

    Above the largest measured size throughput falls and memory grows as the parameters do; below the smallest the
    smallest's hold.
    """
    rows = [(SIZES[size], *values) for size, values in MEASURED[kind].items()]
    low, high = rows[0], rows[-1]
    if parameters >= high[0]:
        return high[1] * high[0] / parameters, high[2] * GIB * parameters / high[0]
    if parameters <= low[0]:
        return low[1], low[2] * GIB
    low, high = next(pair for pair in zip(rows, rows[1:], strict=False) if parameters <= pair[1][0])
    along = math.log(parameters / low[0]) / math.log(high[0] / low[0])
    return low[1] * (high[1] / low[1]) ** along, low[2] * GIB * (high[2] / low[2]) ** along


def peak(kind: Kind, parameters: float, tokens: float) -> float:
    """Bytes at the peak of a step of so many tokens: what is beyond :data:`STANDING` grows with them."""
    found = measured(kind, parameters)[1]
    activations = max(0.0, found - STANDING[kind.weights] * parameters)
    return found + activations * (tokens / STEP - 1)


def known(kind: Kind, parameters: float) -> bool:
    """Whether the kind was measured at this size or a larger one, up to 5 %."""
    return parameters <= 1.05 * max(SIZES[size] for size in MEASURED[kind])


def evaluation_seconds(parameters: float, tokens: float) -> float:
    """Reading only: a third of the operations of a step of the whole model (the usual estimate)."""
    return tokens / 3 / measured(Kind("float32"), parameters)[0]


def diagnosing_seconds(parameters: float) -> float:
    """Spectra and activations of two models: measured at 1B; a spectrum of a matrix costs its numbers times its width, and
    width goes as the cube root of the parameters where depth and width grow together."""
    return DIAGNOSED_1B * math.pow(parameters / SIZES["1B"], 4 / 3)


__all__ = ["Kind", "Machine", "diagnosing_seconds", "evaluation_seconds", "known", "machine", "measured", "peak"]
