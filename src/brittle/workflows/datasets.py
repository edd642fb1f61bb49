"""Write the text files that unlearning trains on and activation diagnostics look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brittle.data.corpora import hub_benign_texts, hub_forget_texts, hub_retain_texts, read_texts, write_texts
from brittle.data.multiple_choice import write_questions
from brittle.settings import BadInput, setting
from brittle.workflows.laboratory import Laboratory

SPLITS = ("forget", "retain", "benign")


@dataclass(frozen=True)
class DatasetSettings:
    """Where the texts come from and where they go."""

    outdir: str = setting("data", "folder to write into")
    laboratory: bool = setting(False, "write the embedded laboratory's texts and questions instead of the hub's texts")
    size: str = setting("small", "size of the laboratory")
    world: int = setting(0, "seed of the laboratory's world", minimum=0)
    forget: str | None = setting(None, "local file of forget texts: txt, jsonl, json, csv or parquet")
    retain: str | None = setting(None, "local file of retain texts")
    benign: str | None = setting(
        None, "local file of benign texts of the forget texts' form and length, a control in steps 5 and 8"
    )
    num_samples: int = setting(10_000, "most texts per file", minimum=1)
    only: str | None = setting(None, "write one of the three", choices=SPLITS)
    force: bool = setting(False, "write again what is there")


def create(settings: DatasetSettings) -> list[Path]:
    """Write ``forget.txt``, ``retain.txt`` and ``benign.txt`` (from the laboratory, questions instead of the last).

    Without ``--benign`` the benign texts are MMLU's biology questions, as long as the forget texts; these belong to the
    hub's forget texts, so beside local ones nothing is written. Returns what was written.
    """
    folder, written = Path(settings.outdir), []
    for local in (settings.forget, settings.retain, settings.benign):
        if local:
            read_texts(local)  # refused before another file is written
    if settings.only == "benign" and not settings.benign and (settings.forget or settings.laboratory):
        raise BadInput("--only benign belongs to the hub's forget texts; for local ones name a file with --benign")
    for split in SPLITS:
        path = folder / f"{split}.txt"
        source = _source(settings, split, folder)
        if settings.only not in (None, split) or source is None:
            continue
        if path.is_file() and not settings.force:
            print(f"kept {path} (--force writes it again)")
            continue
        texts = source()[: settings.num_samples]
        write_texts(path, texts)
        written.append(path)
        print(f"wrote {path}: {len(texts)} texts")
    if settings.laboratory:
        for split, questions in Laboratory(settings.size, settings.world).questions().items():
            write_questions(folder / f"{split}_questions.jsonl", questions)
            print(f"wrote {folder / f'{split}_questions.jsonl'}: {len(questions)} questions")
    print("next: uv run unlearn/unlearn.py --model MODEL --method cb_lat, or ./experiment/pipeline.sh")
    return written


def _source(settings: DatasetSettings, split: str, folder: Path) -> Callable[[], list[str]] | None:
    local = {"forget": settings.forget, "retain": settings.retain, "benign": settings.benign}[split]
    if local:
        return lambda: read_texts(local)
    if split == "benign":
        from_the_hub = not (settings.forget or settings.laboratory)
        return (lambda: hub_benign_texts(read_texts(folder / "forget.txt"))) if from_the_hub else None
    if settings.laboratory:
        return lambda: Laboratory(settings.size, settings.world).texts()[split]
    return hub_forget_texts if split == "forget" else hub_retain_texts
