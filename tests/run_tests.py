"""The tests: ``uv run tests/run_tests.py``, with pytest's arguments after it (``-k loss``, ``--fast``, ``--slow``).

Without arguments two processes share the files, then what is measured in seconds runs alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SHARED = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
WHOLE = (["tests", *SHARED, "-m", "not alone", "--durations", "40"], ["tests", "-m", "alone"])


def main() -> int:
    """Run pytest on this folder from the project's root; the exit code is the first that is not 0."""
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: more threads only wait for each other
    runs = [sys.argv[1:]] if sys.argv[1:] else WHOLE
    codes = [subprocess.call([sys.executable, "-m", "pytest", *arguments]) for arguments in runs]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
