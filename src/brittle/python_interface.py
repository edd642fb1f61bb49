"""Brittle from Python: ``brittle.compare(a, b)`` and ``brittle.diagnose(name, …)`` give pandas tables.

Behind them are the records that the programs write and read: what is complete is not computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import discovery, progress
from brittle.commands import diagnose as programs
from brittle.records import RECORD
from brittle.runs import available
from brittle.runs.chosen import refuse_unknown
from brittle.runs.observations import read_by
from brittle.settings import BadInput, fields_of, resolve
from brittle.suites import laboratory

if TYPE_CHECKING:
    import pandas


class Result(Mapping[str, "pandas.DataFrame"]):
    """What one diagnostic found: its tables by name as data frames, its ``summary``, its ``record``, its ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables = {path.stem: path for path in sorted(folder.glob("*.csv"))}

    def __getitem__(self, name: str) -> pandas.DataFrame:
        import pandas

        return pandas.read_csv(self._tables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    @property
    def summary(self) -> dict[str, Any]:
        """The plain values that sum the tables up; ``controls`` among them. Empty where a diagnostic has none."""
        paths = [path for path in sorted(self.folder.glob("*.json")) if path.name != RECORD]
        return json.loads(paths[0].read_text(encoding="utf-8")) if paths else {}

    @property
    def record(self) -> dict[str, Any]:
        """Which models, data, settings and versions the numbers rest on."""
        content: dict[str, Any] = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        return content

    def __repr__(self) -> str:
        return f"Result({self.folder}: {', '.join(self._tables)})"


def diagnose(name: str, model: str | os.PathLike[str] | None = None, **settings: Any) -> Result:
    """One diagnostic of ``model``, or with ``model_a`` and ``model_b`` of a pair; the settings are the program's flags.

    Paths may be text or :class:`pathlib.Path`. Raises :class:`brittle.settings.BadInput` with one line that says what
    is wrong.
    """
    given = _plain(settings | ({"model": model} if model else {}))
    plugin = None if name == programs.EVALUATION else discovery.find("diagnostics", name).load()
    own = [field.name for field in fields_of(plugin.Settings)] if plugin else []
    refuse_unknown(given, [*own, *(field.name for field in fields_of(programs.DiagnoseSettings))], name)
    return Result(programs.diagnose(name, resolve(programs.DiagnoseSettings, given), given))


def compare(
    model_a: str | os.PathLike[str], model_b: str | os.PathLike[str], only: Sequence[str] = (), **settings: Any
) -> dict[str, Result]:
    """All diagnostics of a pair of models (or those named in ``only``), by name.

    A model is a hub id, a folder, a GGUF file, ``laboratory:NAME`` or ``smollm2:base``. ``settings`` are flags of ``brittle diagnose``, such as
    ``forget_text``, ``retain_text``, ``control``, ``filtered``, ``outroot``, ``seeds``. A diagnostic that fails raises after the others
    have been written. Those that ask questions take part where ``forget_questions`` says which (``wmdp-bio`` or a
    file), those that read texts where there are some, and all where ``only`` names them and in a laboratory.
    """
    given = _plain(settings)
    chosen = resolve(programs.DiagnoseSettings, given)
    plugins = discovery.plugins("diagnostics")
    only = [only] if isinstance(only, str) else list(only)
    for name in only:
        if discovery.find("diagnostics", name).constants["SCOPE"] != "pair":
            raise BadInput(f"{name} is of one model; use brittle.diagnose('{name}', model)")
    names = [name for name in plugins if plugins[name].constants["SCOPE"] == "pair" and (not only or name in only)]
    references = [os.fspath(model) for model in (model_a, model_b)]
    if not only and not laboratory.behind(references[0]):
        there = available.kinds(chosen)
        if lacking := [name for name in names if not available.needed(name) <= there]:
            progress.say(f"note: left out, because no data were named for them: {', '.join(lacking)}")
        names = [name for name in names if name not in lacking]
    alone = {"model", "model_a", "model_b", "outdir", "plot_outdir", "title"}
    known = {field.name for name in names for field in fields_of(plugins[name].load().Settings)}
    refuse_unknown(given, sorted((known | vars(chosen).keys()) - alone), "brittle.compare")
    session = programs.session_of(chosen, given, names)
    folder = programs.carry_out(session, chosen, references, read_by([plugins[name] for name in names]))
    session.raise_failures()
    return {name: Result(folder / name) for name in names}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as text, lists as tuples: as they come from a command line."""
    return {
        name: os.fspath(value) if isinstance(value, os.PathLike) else tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
    }
