"""All parts of a comparison, pairs and single models: side by side in worker processes where the CPU carries them out.

Small models leave most of a processor idle when their parts follow each other. Each worker does its share in the order
of the comparison and loads each model once. On a GPU, or where memory holds one pair only, all is done in this process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from brittle import progress
from brittle.models.references import Located
from brittle.models.weight_files import weight_files
from brittle.runs import executor
from brittle.runs.diagnosis import Comparison
from brittle.runs.failures import Failure, Told

Part = tuple[Located, ...]
"""One model, or two of which the second is compared with the first."""
ROOM = 8
"""Times the weights of its largest part that a worker may take: two models in float32, a random control, activations."""

NEEDED = ("brittle.figures.declared", "scipy.stats", "sklearn.linear_model")
"""What takes seconds to import and nearly every comparison uses."""


def carry_out(session: Comparison, parts: Sequence[Part]) -> None:
    """Measure what no complete record covers; what fails is listed in the session.

    The comparison with the retrained control comes before those that it stands beside.
    """
    workers = min(side_by_side(session, parts), len(parts))
    if workers < 2:
        with progress.work("comparisons", len(parts), "part") as bar:
            one_after_the_other(session, parts, bar.update, bar.tell)
        return
    first = [part for part in parts if len(part) == 1 or part[1] == session.control]
    for some in (first, [part for part in parts if part not in first]):
        shares = [each for each in divided(some, workers) if each]
        title = "comparisons" if some is not first else "models and the retrained control"
        tasks = [executor.Task(share, (session, each), len(each)) for each in shares]
        for failures in executor.run(tasks, title, "part", workers, NEEDED):
            session.failures += failures


def side_by_side(session: Comparison, parts: Sequence[Part]) -> int:
    """How many parts may run at once: as many as there are cores and room in memory; one where a GPU is used."""
    import torch

    from brittle.models.devices import free_memory

    if session.ran["device"] != "cpu" or session.param_device not in ("auto", "cpu") or torch.cuda.is_available():
        return 1
    largest = max((sum(map(_size, part)) for part in parts), default=1)
    return max(1, min(os.cpu_count() or 1, int(free_memory(torch.device("cpu")) / (ROOM * largest))))


def divided(parts: Sequence[Part], workers: int) -> list[list[Part]]:
    """The parts in shares of about equal work, each in the order of the whole; a pair counts twice a single model."""
    shares: list[list[Part]] = [[] for _ in range(workers)]
    for part in parts:
        min(shares, key=lambda share: sum(map(len, share))).append(part)
    return shares


def one_after_the_other(
    session: Comparison, parts: Sequence[Part], tick: executor.Tick, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Carry out parts in this process, each model loaded once and freed after the last part that needs it."""
    for number, part in enumerate(parts):
        tell(" → ".join(model.name for model in part))
        session.pair(*part) if len(part) > 1 else session.model(*part)
        session.forget_loaded(keep=[model for later in parts[number + 1 :] for model in later])
        tick(1)


def share(session: Comparison, parts: Sequence[Part], tick: executor.Tick) -> list[Failure]:
    """In a worker: what went wrong travels as text, because some libraries' exceptions do not survive the way back."""
    one_after_the_other(session, parts, tick)
    return [Failure(each.diagnostic, each.where, Told(each.reason)) for each in session.failures]


def _size(model: Located) -> int:
    return sum(path.stat().st_size for path in weight_files(model.folder))
