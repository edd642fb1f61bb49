"""Which models a page asks: recent ones, those of the laboratory, folders below the models' folder, or whatever is typed."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from brittle.app.loaded import models
from brittle.app.started import started
from brittle.records import write_json
from brittle.settings import home
from brittle.suites.laboratory import SIZES

MOST = 3
"""Models beside each other."""
KEPT = 8
"""Recent models that are remembered."""
FOLDERS = 100
"""Folders of models that are offered."""


def chosen() -> list[str]:
    """References of at most :data:`MOST` models; a page's address has them as ``model``."""
    asked = [text.strip() for text in st.query_params.get_all("model") if text.strip()]
    offered = list(dict.fromkeys([*asked, *models().references(), *recent(), *_laboratory(), *_folders()]))
    return st.multiselect(
        "Models", offered, key="model", bind="query-params", max_selections=MOST, accept_new_options=True,
        placeholder="choose, or type: a folder, a GGUF file, a hub id, laboratory:NAME",
        help="Up to three. A folder with config.json and weights, a GGUF file, a hub id such as EleutherAI/pythia-70m, laboratory:base or smollm2:base.",
    )  # fmt: skip


def recent() -> list[str]:
    """The models that were loaded last on this machine, the last first."""
    try:
        content = json.loads(_place().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [text for text in content if isinstance(text, str)][:KEPT] if isinstance(content, list) else []


def remember(reference: str) -> None:
    """Note that a model was loaded."""
    try:
        write_json(_place(), list(dict.fromkeys([reference, *recent()]))[:KEPT])
    except OSError:  # without a home folder nothing is remembered
        return


def _place() -> Path:
    return home() / "app" / "recent.json"


def _laboratory() -> list[str]:
    """The laboratory's three, and those of other sizes that stand on this machine."""
    built = {path.name.partition("-")[0] for path in (home() / "laboratory").glob("*-*") if path.is_dir()}
    sizes = ["small", *(size for size in SIZES if size != "small" and size in built)]
    return [
        f"laboratory:{name}" + ("" if size == "small" else f"@{size}")
        for size in sizes for name in ("base", "filtered", "retrained")
    ]  # fmt: skip


def _folders() -> list[str]:
    """The folders of models, the newest first."""
    root = Path(started().models).expanduser()
    found = [path.parent for pattern in ("*/config.json", "*/*/config.json") for path in root.glob(pattern)]
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:FOLDERS]]
