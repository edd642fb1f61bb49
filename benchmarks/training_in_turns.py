"""The project's own training loop, one optimizer step per call, so that two trainings can take turns."""

from __future__ import annotations

import contextlib
import io
import queue
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from measuring import Way

from brittle.models.anatomy import anatomy_of
from brittle.models.construction import new_gpt_neox
from brittle.training.batches import Batch, Example, Sampler, Supply
from brittle.training.loop import LoopSettings, train
from brittle.training.reference import reference_states
from brittle.training.step import LossTerms, Step


@dataclass(frozen=True)
class Shape:
    """A GPT-NeoX and its batches. Rows are forget texts and as many retain texts of ``tokens`` tokens each."""

    width: int
    layers: int
    heads: int
    vocabulary: int
    rows: int = 4
    tokens: int = 64


TWELVE = {"full": Shape(768, 12, 12, 50_304), "quick": Shape(192, 12, 3, 12_576), "tiny": Shape(16, 12, 2, 96, 2, 12)}
"""160 million parameters; the same proportions at a quarter of the width; a shape for tests."""
THIRTY_TWO = {"full": Shape(384, 32, 6, 50_304), "quick": Shape(96, 32, 3, 12_576), "tiny": Shape(16, 32, 2, 96, 2, 12)}
"""95 million parameters in 32 layers; its proportions at a quarter of the width; a shape for tests."""
LAYERS = (5, 6, 7)
"""The blocks that the layer methods read by default."""


def model_of(shape: Shape) -> Any:
    """The same random model every time."""
    return new_gpt_neox(shape.vocabulary, shape.width, shape.layers, shape.heads, 2 * shape.tokens, seed=0)


def texts_of(shape: Shape) -> dict[str, list[Example]]:
    """Four batches of random tokens per split. Equal lengths: means by text and means by token are the same then."""
    counted = (False,) + (True,) * (shape.tokens - 1)
    draw = random.Random(0)
    return {
        split: [
            Example(tuple(draw.randrange(1, shape.vocabulary) for _ in range(shape.tokens)), counted)
            for _ in range(4 * shape.rows)
        ]
        for split in ("forget", "retain")
    }


def reference_of(model: Any, shape: Shape, needs: Any, layers: tuple[int, ...]) -> Any:
    """The cache of what the untouched model says, as ``runs.unlearning_training`` fills it."""
    splits = {*needs.reference_hidden_states, *needs.reference_log_probabilities}
    if not splits:
        return None
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        return reference_states(
            model, anatomy_of(model.config), {name: texts_of(shape)[name] for name in sorted(splits)},
            layers if needs.reference_hidden_states else (), digest=f"{shape}", padding=0, device="cpu",
            log_probabilities=needs.reference_log_probabilities,
        )  # fmt: skip


class _Closed(Exception):
    """Ends a training that nobody will ask for another step."""


def training(
    model: Any, shape: Shape, objective: Callable[[Step], LossTerms], reference: Any = None, together: bool = False
) -> Way:
    """Train with the loop, AdamW and the defaults; each ``run()`` is one whole optimizer step and returns its loss."""
    turn, results, closed = threading.Semaphore(0), queue.Queue[Any](), threading.Event()
    samplers = [Sampler(name, texts, shape.rows, 0, 42) for name, texts in texts_of(shape).items()]
    batches = Supply(samplers)

    def supply(number: int) -> list[dict[str, Batch]]:
        turn.acquire()
        if closed.is_set():
            raise _Closed
        return batches(number)

    def report(_number: int, _model: Any, terms: Mapping[str, float]) -> None:
        results.put(sum(terms.values()))

    def work() -> None:
        settings = LoopSettings(10**6, 1e-5, schedule="constant", weight_decay=0.01)
        try:
            train(
                model, supply, objective, settings,
                listeners=[report], anatomy=anatomy_of(model.config), reference=reference, together=together,
            )  # fmt: skip
        except BaseException as error:  # told to whoever asked for the step
            results.put(error)

    worker = threading.Thread(target=work, daemon=True)

    def run() -> float:
        if (
            worker.ident is None
        ):  # not sooner: the loop seeds torch's generator, from which the other side's weights come
            worker.start()
        turn.release()
        result = results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def close() -> None:
        closed.set()
        turn.release()
        if worker.ident is not None:
            worker.join()

    return Way(run, close)
