"""The folder that a case starts from: three tiny models, texts, questions, results, and a user's own files."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tiny_models import tiny_model_folder

MODELS = ("base", "unlearned", "filtered")
ENTITIES = {
    "forget": ("Zon", "Lurik", "Amber", "Pelta", "Vosk", "Irra", "Quen", "Dorv"),
    "retain": ("Tarn", "Ulbo", "Mesk", "Hael", "Brun", "Sefi", "Ondar", "Wick"),
}
"""What texts and questions are about; the benign ones name nothing that the hazardous ones ask about."""


def build(folder: Path) -> Path:
    """Fill an empty folder and return it."""
    for seed, name in enumerate(MODELS):
        tiny_model_folder(folder / name, "gpt_neox", seed=seed)
    for split, verb in (("forget", "melts"), ("retain", "sings")):
        texts = [
            f"Question: what of {name} {verb}? Answer: the {name.lower()} stone {verb}." for name in ENTITIES[split]
        ]
        (folder / f"{split}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        rows = [
            {"question": f"What of {name} {verb}?", "choices": ["a", "fox", "the sea", "b"], "answer": number % 4}
            | {"subject": split, "entity": name, "fact": f"{name}/{verb}"}
            for number, name in enumerate(ENTITIES[split])
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    (folder / "keep").mkdir()
    (folder / "keep" / "notes.txt").write_text("years of work\n", encoding="utf-8")
    (folder / "empty").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere/at/all")
    return folder


def snapshot(folder: Path) -> dict[str, str]:
    """Every file, link and folder below ``folder``, by its path, with what it holds."""
    found = {}
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here) / name
            if path.is_symlink():
                content = f"-> {os.readlink(path)}"
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = "folder" if path.is_dir() else "other"
            found[str(path.relative_to(folder))] = content
    return found
