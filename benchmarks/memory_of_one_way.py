"""One side of a pair in a process of its own: what memory it needs. Started by ``measuring.memory_of``.

Reads lines ``[name, side, size]`` and answers each with the bytes of its tensors and its peak. Each side is run in a
child split off from this process, which has imported everything and computed nothing.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import traceback
from pathlib import Path

import torch
from run import find, prepared


def peak() -> int:
    """Largest resident memory of this process so far, in bytes.

    From /proc where there is one: what getrusage says also covers the parent that the process was split off from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if lines:
            return int(lines[0][1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def tensors() -> int:
    """Bytes of the storages of all tensors alive, each storage once."""
    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def measure(name: str, side: str, size: str) -> dict[str, int]:
    """Build the side, run it three times."""
    pairs = {benchmark.pair.name: benchmark.pair for benchmark in find() if benchmark.pair}
    with prepared(size):
        before = peak()
        way = getattr(pairs[name], side)(size)
        held = tensors()
        for _ in range(3):
            way.run()
        found = {"tensors": held, "peak": peak() - before}
        way.close()
    return found


def main() -> None:
    """Answer until there are no more questions; stop where a child fails."""
    find()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                print(json.dumps(measure(*json.loads(line))), flush=True)
                code = 0
            except BaseException:  # a child must not go on with the loop of its parent
                traceback.print_exc()
            finally:
                os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            return


if __name__ == "__main__":
    main()
