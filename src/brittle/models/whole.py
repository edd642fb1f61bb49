"""Whether a folder still holds a model's weights, and their content hash."""

from __future__ import annotations

import contextlib
from pathlib import Path

from brittle.models.references import digest_of
from brittle.settings import BadInput


def digest_if_there(folder: Path) -> str | None:
    """The content hash of a folder's model, or None where its weights are gone or are an adapter's alone."""
    with contextlib.suppress(BadInput, OSError):
        return digest_of(folder) if any(folder.glob("*.safetensors")) else None
    return None
