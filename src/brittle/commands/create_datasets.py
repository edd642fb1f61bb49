"""Write the text files that unlearning trains on and activation diagnostics look at."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brittle.commands.options import Environment, Given, SettingsTypes, next_step, shared
from brittle.data.corpora import read_texts, text_column, write_texts
from brittle.data.files import DOCUMENTED_TEXTS
from brittle.data.multiple_choice import Question, write_questions
from brittle.data.overlap import check_files_apart
from brittle.records import check_file
from brittle.settings import BadInput, resolve, setting
from brittle.suites import countries, smollm2
from brittle.suites.laboratory import PREFIX, Laboratory
from brittle.suites.wmdp import hub_benign_texts, hub_forget_texts, hub_retain_texts

SPLITS = ("forget", "retain", "benign")


@dataclass(frozen=True)
class DatasetSettings:
    """Where the texts come from and where they go."""

    outdir: str = setting("data", "folder to write into")
    laboratory: bool = setting(False, "write the embedded laboratory's texts and questions instead of the hub's texts")
    suite: str | None = setting(
        None, "write the texts and questions of this suite instead: smollm2, facts about countries that smollm2:base knows",
        choices=("smollm2",),
    )  # fmt: skip
    size: str = shared("size", environment=None)
    world: int = shared("world", environment=None)
    forget: str | None = shared(
        "forget_text", help="local file of forget texts: txt, jsonl, json, csv or parquet", environment=None,
        flag="--forget-text", aliases=("--forget", "--forget-data"),
    )  # fmt: skip
    retain: str | None = shared(
        "retain_text", help="local file of retain texts", environment=None, flag="--retain-text",
        aliases=("--retain", "--retain-data"),
    )  # fmt: skip
    benign: str | None = shared(
        "benign_text", help="local file of benign texts of the forget texts' form and length, a control in steps 5 and 8",
        environment=None, flag="--benign-text", aliases=("--benign",),
    )  # fmt: skip
    text_column: str | None = text_column()
    num_samples: int = setting(10_000, "most texts per file", minimum=1)
    only: str | None = setting(None, "write one of the three", choices=SPLITS)
    force: bool = shared("force", help="write again what is there")


def create_datasets(given: Given, environment: Environment) -> int:
    """Write the files."""
    create(resolve(DatasetSettings, given, environment))
    return 0


def create_datasets_settings(_only: str | None = None) -> SettingsTypes:
    """Which texts go where."""
    return [(DatasetSettings, {})]


def create(settings: DatasetSettings) -> list[Path]:
    """Write ``forget.txt``, ``retain.txt`` and ``benign.txt`` (from the laboratory, questions instead of the last).

    Without ``--benign`` the benign texts are MMLU's biology questions, as long as the forget texts; these belong to the
    hub's forget texts, so beside local ones nothing is written. All texts are had before the first file is written.
    Returns what was written.
    """
    if settings.suite and settings.laboratory:
        raise BadInput("--suite and --laboratory both say where texts and questions come from; leave one out")
    if settings.only == "benign" and not settings.benign and (settings.forget or settings.laboratory):
        raise BadInput("--only benign belongs to the hub's forget texts; for local ones name a file with --benign")
    folder = Path(settings.outdir)
    splits = [split for split in SPLITS if settings.only in (None, split)]
    asked = ("forget", "retain") if (settings.laboratory or settings.suite) and not settings.only else ()
    texts_at = {split: folder / f"{split}.txt" for split in splits}
    questions_at = {split: folder / f"{split}_questions.jsonl" for split in asked}
    for path in (*texts_at.values(), *questions_at.values()):
        check_file(path)
    due = {path for path in (*texts_at.values(), *questions_at.values()) if settings.force or not path.is_file()}
    texts = _texts(settings, {split: path for split, path in texts_at.items() if path in due}, folder)
    written = []
    for split, path in texts_at.items():
        if split in texts:
            chosen = texts[split][: settings.num_samples]
            write_texts(path, chosen)
            written.append(path)
            of = f" of {len(texts[split])} (--num-samples)" if len(chosen) < len(texts[split]) else ""
            print(f"wrote {path}: {len(chosen)}{of} texts")
        elif path not in due:
            print(f"kept {path} (--force writes it again)")
    for split, path in questions_at.items():
        if path not in due:
            print(f"kept {path} (--force writes it again)")
            continue
        questions = _questions(settings)[split]
        write_questions(path, questions)
        written.append(path)
        print(f"wrote {path}: {len(questions)} questions")
    print(_next(settings))
    return written


def _next(settings: DatasetSettings) -> str:
    """The commands that read what was written, also where it does not lie where they look by themselves."""
    own = f"{PREFIX}base@{settings.size}-{settings.world}" if settings.laboratory else "MODEL"
    model = f"{settings.suite}:base" if settings.suite else own
    chosen = ["unlearn/unlearn.py", "--model", model, "--method", "cb_lat"]
    chosen += ["--preset", "laboratory"] if settings.laboratory else []
    there = {split: str(Path(settings.outdir) / f"{split}.txt") for split in ("forget", "retain")}
    if there == {split: DOCUMENTED_TEXTS[split] for split in there}:
        return f"{next_step(*chosen)}, or ./experiment/pipeline.sh"
    words = [word for split, path in there.items() for word in (f"--{split}-data", path)]
    variables = " ".join(f"{split.upper()}_TEXT={shlex.quote(path)}" for split, path in there.items())
    return f"{next_step(*chosen, *words)}, or {variables} ./experiment/pipeline.sh"


def _questions(settings: DatasetSettings) -> Mapping[str, Sequence[Question]]:
    """Questions by split, of the suite or of the laboratory."""
    return countries.questions(_known()) if settings.suite else Laboratory(settings.size, settings.world).questions()


@functools.cache
def _known() -> list[countries.Fact]:
    """The facts that the suite's model knows; how many were dropped is printed."""
    from brittle.runs import known_facts, laboratory_models

    facts = countries.facts()  # before a model is unpacked
    kept, lines = known_facts.known(known_facts.KnownFacts(laboratory_models.find(f"{smollm2.PREFIX}base"), facts))
    print("\n".join(lines))
    return kept


def _texts(settings: DatasetSettings, due: Mapping[str, Path], folder: Path) -> dict[str, list[str]]:
    """The texts of the splits that are due, as far as there are any; every local file that was named is read."""
    local = {"forget": settings.forget, "retain": settings.retain, "benign": settings.benign}
    found = {split: read_texts(path, settings.text_column) for split, path in local.items() if path}
    check_files_apart(found, local)
    if settings.laboratory:
        found = Laboratory(settings.size, settings.world).texts() | found
    if settings.suite and due:
        found = countries.texts(_known()) | found
    for split, source in (("forget", hub_forget_texts), ("retain", hub_retain_texts)):
        if split in due and split not in found:
            found[split] = source()
    if "benign" in due and "benign" not in found and not (settings.forget or settings.laboratory or settings.benign):
        written = found["forget"][: settings.num_samples] if "forget" in due else read_texts(folder / "forget.txt")
        found["benign"] = hub_benign_texts(written)
    if empty := next((split for split in due if split in found and not found[split]), None):
        raise BadInput(f"the data set for {empty} holds no text; name a local file with --{empty}")
    return {split: found[split] for split in due if split in found}
