"""Configurations chosen by what earlier ones scored: Optuna's tree-structured Parzen estimator, asked and told (Bergstra et al. 2011).

What was asked and told is kept in a file beside the sweep's results, so that a search that was killed goes on: trials that it left
open are asked first. One process at a time drives a search.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from brittle import leases
from brittle.places import parents_of
from brittle.settings import BadInput
from brittle.sweeps.space import Alternatives, Block, Given

FILE = "search.log"


class Study:
    """A search over blocks of values; ``ask`` for a configuration, ``tell`` what it scored (higher is better)."""

    def __init__(self, place: Path, blocks: Sequence[Block], fixed: Given, trials: int, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise BadInput("search: optuna needs the package optuna; install it with: uv sync --extra sweeps") from None
        optuna.logging.set_verbosity(logging.ERROR)
        self.blocks, self.fixed, self.trials = blocks, fixed, trials
        from optuna.storages.journal import JournalFileBackend

        backend = JournalFileBackend(str(place))
        self.study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
        )
        past = len(self.study.get_trials(deepcopy=False))  # a sampler that begins again would repeat its first draws
        self.study.sampler = optuna.samplers.TPESampler(seed=seed + past, constant_liar=True)
        states = optuna.trial.TrialState
        self.ended = [states.COMPLETE, states.FAIL]
        for open_one in self.study.get_trials(deepcopy=False, states=[states.RUNNING]):
            self.study.tell(open_one.number, state=states.PRUNED)
            self.study.enqueue_trial(open_one.params)
        self.open: dict[int, Given] = {}

    def ask(self) -> tuple[int, Given] | None:
        """Number and settings of the next configuration; None where there are as many as were asked for."""
        ended = len(self.study.get_trials(deepcopy=False, states=self.ended))
        if ended + len(self.open) >= self.trials:
            return None
        trial = self.study.ask()
        self.open[trial.number] = self._given(trial)
        return trial.number, self.open[trial.number]

    def _given(self, trial: Any) -> Given:
        number = trial.suggest_categorical("block", list(range(len(self.blocks)))) if len(self.blocks) > 1 else 0
        block = self.blocks[number]
        given: Given = {"method": trial.suggest_categorical(f"{number} method", list(block.methods))}
        for name, value in block.values.items():
            if isinstance(value, Alternatives):
                given[name] = trial.suggest_categorical(f"{number} {name}", list(value))
            else:
                drawn = trial.suggest_float(f"{number} {name}", value.low, value.high, log=value.scale == "log")
                given[name] = f"{drawn:.4g}"
        return {**given, **self.fixed}

    def tell(self, number: int, score: float | None) -> None:
        """What a configuration scored; None: it failed, was damaged or was not measured, and is not proposed again."""
        import optuna

        del self.open[number]
        if score is None:
            self.study.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, score)

    def known(self) -> list[Given]:
        """The configurations that were scored or failed before."""
        trials = self.study.get_trials(deepcopy=False, states=self.ended)
        return [self._given(_Replayed(trial.params)) for trial in trials]


class _Replayed:
    """A trial of the past: suggests what it had."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def suggest_categorical(self, name: str, _choices: Sequence[Any]) -> Any:
        return self.values[name]

    def suggest_float(self, name: str, _low: float, _high: float, log: bool) -> Any:
        return self.values[name]


@contextlib.contextmanager
def study(outputs: Path, blocks: Sequence[Block], fixed: Given, trials: int, seed: int) -> Iterator[Study]:
    """The study of a sweep's outputs folder, held while the block runs.

    Raises:
        Busy: another process drives it.
        BadInput: Optuna is not installed.
    """
    place = outputs / FILE
    with parents_of(place), leases.held(place):
        yield Study(place, blocks, fixed, trials, seed)
