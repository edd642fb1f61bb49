"""Whether the hub can be reached: where it cannot, nothing asks it again and again for half a minute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

PATIENCE = 5.0
"""Seconds until a hub that does not answer counts as out of reach."""
NOT_REACHED = "the hub cannot be reached, and what is needed is not in its cache"


def reachable() -> bool:
    """Whether the hub answers at all, whatever it answers; False in offline mode (``HF_HUB_OFFLINE``)."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # exported, but only by __getattr__

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # no route, no name, a proxy that refuses: the type differs with the hub's version
        return False
    return True


@contextlib.contextmanager
def without_waiting() -> Iterator[bool]:
    """Whether the hub can be reached; if not, data sets are looked for in the cache alone while the block runs.

    By itself the ``datasets`` library tries five times for every file, which takes about half a minute.
    """
    if reachable():
        yield True
        return
    import datasets.config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield False
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
