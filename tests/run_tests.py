"""The tests: ``uv run tests/run_tests.py``, with pytest's arguments after it (``-k loss``, ``--fast``, ``--slow``)."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Run pytest on this folder from the project's root."""
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: more threads only wait for each other
    import pytest

    return int(pytest.main(sys.argv[1:] or ["tests"]))


if __name__ == "__main__":
    sys.exit(main())
