"""Weights & Biases as a mirror of the records: one run per record, with its settings, tables, plots and numbers.

It is on where the user says so (``WANDB_API_KEY`` or ``WANDB_MODE`` in the environment or in ``.env``) and the package
is installed; ``WANDB_PROJECT`` (default ``brittle``), ``WANDB_RUN_GROUP`` and ``WANDB_BASE_URL`` mean what they mean to
wandb itself. The local record decides what is done and what is true; a mirror that fails costs one printed line.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import progress, records

PROJECT = "brittle"
MODEL = "unlearned model"
UNTRACKED = ("laboratory model", "converted model", "known facts", "method", "reference hidden states")
"""Kinds of records that are means, not results."""


def wanted() -> bool:
    """Whether the environment asks for W&B."""
    mode = os.environ.get("WANDB_MODE", "")
    return mode not in ("disabled",) and bool(mode or os.environ.get("WANDB_API_KEY"))


def installed() -> bool:
    """Whether the ``tracking`` extra is there."""
    return importlib.util.find_spec("wandb") is not None


def follow() -> None:
    """From now on, mirror every finished record, if the user wants that."""
    if not wanted() or publish in records.SINKS:
        return
    if installed():
        records.SINKS.append(publish)
    else:
        _warn("wandb is not installed, so nothing is sent; install it with: uv sync --extra tracking")


def name_of(folder: Path, kind: str = "") -> str:
    """A run's name: an unlearned model's folder name, as documented; else the last two parts of the folder's path."""
    if kind == MODEL:
        return Path(folder).name
    parts = [part for part in Path(folder).resolve().parts[-2:] if part not in ("outputs", "unlearned_models")]
    return "/".join(parts)


def publish(folder: Path) -> None:
    """Send one finished record: settings and fingerprint as configuration, tables, plots, losses by step, numbers."""
    record = records.read_record(folder) or {}
    if record.get("kind") in UNTRACKED:
        return
    try:
        _send(Path(folder), record)
    except Exception as problem:  # whatever the network or the service does, the record is already in place
        _warn(
            f"W&B did not take {name_of(folder)} ({str(problem).partition(chr(10))[0][:120]}); the record is complete"
        )


def add(folder: Path, summary: Path) -> None:
    """Put the numbers of a summary that came later into the run of a model that was sent before, if runs are mirrored."""
    if publish not in records.SINKS:
        return
    try:
        with _begin(folder, records.read_record(folder) or {}) as run:
            run.summary.update(dict(numbers(json.loads(summary.read_text(encoding="utf-8")))))
    except Exception as problem:  # as above
        _warn(
            f"W&B did not take {name_of(folder, MODEL)} ({str(problem).partition(chr(10))[0][:120]}); the record is complete"
        )


def _send(folder: Path, record: Mapping[str, Any]) -> None:
    import pandas
    import wandb

    model = records.read_record(folder.parent) or {}
    joins = model.get("kind") == MODEL  # a model's evaluation is part of the model's run
    with _begin(folder.parent, model) if joins else _begin(folder, record) as run:
        for path in sorted(folder.glob("*.csv")):
            table = pandas.read_csv(path)
            if path.stem == "training":
                for row in table.to_dict("records"):
                    run.log(
                        {f"train/{key}": value for key, value in row.items() if key != "step"}, step=int(row["step"])
                    )
            run.log({f"tables/{path.stem}": wandb.Table(dataframe=table)})
        for path in sorted(folder.rglob("*.png")):
            run.log({f"plots/{path.stem}": wandb.Image(str(path))})
        for path in sorted(folder.glob("*.json")):
            if path.name != records.RECORD and "summary" in path.stem:
                run.summary.update(dict(numbers(json.loads(path.read_text(encoding="utf-8")))))


def _begin(folder: Path, record: Mapping[str, Any]) -> Any:
    """The record's run, begun or, by its identifier, gone on with."""
    import wandb

    made = records.fingerprint([record["fingerprint"], record["started"], Path(folder).name])
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT, id=made, resume="allow",
        name=record["notes"].get("run_name") or name_of(folder, record["kind"]), job_type=record["kind"],
        group=os.environ.get("WANDB_RUN_GROUP"), tags=[record["kind"][:64]], reinit="create_new",
        config={**record["settings"], "inputs": record["inputs"], "fingerprint": record["fingerprint"]},
        settings=wandb.Settings(silent=True, console="off"),
    )  # fmt: skip


def numbers(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a summary under its path, ``results/mmlu/acc``; lm-eval's ``,none`` is left out."""
    for key, value in content.items():
        path = f"{prefix}{str(key).removesuffix(',none')}"
        if isinstance(value, Mapping):
            yield from numbers(value, path + "/")
        elif isinstance(value, int | float):
            yield path, value


def can_be_asked() -> bool:
    """Whether W&B may know of runs elsewhere: the environment has a key and is not offline, and the package is there."""
    online = os.environ.get("WANDB_MODE", "online") == "online"
    return bool(os.environ.get("WANDB_API_KEY")) and online and installed()


_silent: list[str] = []
"""Why W&B did not answer, once it did not: of hundreds of runs only the first waits for it."""


def finished(name: str, fingerprint: str, strict: bool = False) -> bool | None:
    """Whether W&B has a finished run of this name; None where it cannot be asked.

    A run of other code or data counts too, with a warning; not with ``strict``.
    """
    if not can_be_asked() or _silent:
        return None
    import wandb

    try:
        interface = wandb.Api()
        path = _path_of_project(interface)
        named = {"display_name": name, "state": "finished"}
        if len(interface.runs(path, filters=named)) == 0:
            return False
        same = len(interface.runs(path, filters=named | {"config.fingerprint": fingerprint})) > 0
    except Exception as problem:  # no network, no such project, a refused key: the local record decides
        _silent.append(str(problem))
        _warn(f"W&B could not be asked ({str(problem).partition(chr(10))[0][:120]}); the local record decides")
        return None
    if not same:
        verdict = "does not count (--strict)" if strict else "counts as this run (--strict: it does not)"
        _warn(f"the finished run {name} in W&B is of other code or data; it {verdict}")
    return same or not strict


@dataclass(frozen=True)
class Finished:
    """A finished run in W&B: its name, the kind of its record (empty where it is none of ours), numbers by path."""

    name: str
    kind: str
    fingerprint: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]


def finished_runs(project: str | None = None) -> list[Finished] | None:
    """Every finished run of a project that has numbers; None, and one line that says why, where W&B cannot be asked."""
    if not can_be_asked():
        return None
    import wandb

    try:
        interface = wandb.Api()
        listed: Any = interface.runs
        whole = (
            {"lazy": False} if "lazy" in inspect.signature(listed).parameters else {}
        )  # one request, not one per run
        path = _path_of_project(interface, project)
        found = listed(path, filters={"state": "finished"}, per_page=200, **whole)
        return [_finished(run) for run in found]
    except Exception as problem:  # no network, no such project, a refused key: the local records are ranked
        _warn(f"W&B could not be asked ({str(problem).partition(chr(10))[0][:120]}); only local records count")
        return None


def _finished(run: Any) -> Finished:
    settings = dict(run.config)
    told = dict(numbers(run.summary_metrics))
    kind, fingerprint = getattr(run, "job_type", None), settings.get("fingerprint")
    return Finished(str(run.name), str(kind or ""), fingerprint if isinstance(fingerprint, str) else "", settings, told)


def _path_of_project(interface: Any, project: str | None = None) -> str:
    project = project or os.environ.get("WANDB_PROJECT") or PROJECT
    if "/" in project:
        return project
    entity = os.environ.get("WANDB_ENTITY") or interface.default_entity
    return f"{entity}/{project}" if entity else project


def _warn(line: str) -> None:
    progress.say(f"note: {line}")
