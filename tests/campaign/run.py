"""The campaign: malformed inputs over all commands, and kills. ``make campaign`` writes benchmarks/results/campaign.md.

Every malformed input runs in a process of its own, on its own copy of a small folder; for each kind the table counts
how it ended. *Right* is an exit code that fits, one line that starts with "error:", and nothing left behind.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import file_cases
import flag_cases
import fresh
import kills
import place

RESULT = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "campaign.md"


def main() -> int:
    """Run what was asked for; exit code 1 if anything was not right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10**9, help="at most this many malformed inputs")
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs over laboratory, unlearning, attacks, pipeline")
    parser.add_argument("--only", default="", help="malformed inputs whose kind or command line has this in it")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        counts, wrong = inputs(Path(folder), chosen.inputs, chosen.only)
        rows = kills.campaign(Path(folder) / "kills", chosen.kills) if chosen.kills else []
    text = table(counts, rows)
    print(text)
    if chosen.write:
        RESULT.write_text(text, encoding="utf-8")
    return 1 if wrong or any(row["wrong"] for row in rows) else 0


CASES: list[fresh.Case] = []
"""What the workers, forked after it was filled, find by number."""


def inputs(folder: Path, most: int, only: str) -> tuple[dict[str, Counter[str]], int]:
    """Run the malformed inputs, one at a time on each core; prints those that did not end right."""
    import torch

    import brittle.commands.attack
    import brittle.commands.pipeline  # noqa: F401 (what cases would import one by one)

    torch.set_num_threads(1)
    (folder / "place").mkdir()
    os.environ["BRITTLE_HOME"] = str(folder / "home")
    start = place.build(folder / "place")
    found = [c for c in itertools.chain(flag_cases.cases(), file_cases.cases()) if only in f"{c.kind}: {c.line}"]
    CASES[:] = found[:: max(1, -(-len(found) // most))]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("fork")) as pool:
        for number, ending in enumerate(pool.map(partial(_run, start), range(len(CASES)))):
            case = CASES[number]
            counts[case.kind][ending.verdict] += 1
            if ending.verdict != "right" or number % 100 == 0:
                heading = f"{number}/{len(CASES)} {ending.verdict} [{ending.code}, {ending.seconds} s] {case.kind}"
                print(f"{heading}: {case.line}\n    {ending.said}", flush=True)
    return counts, sum(number for each in counts.values() for verdict, number in each.items() if verdict != "right")


def _run(start: Path, number: int) -> fresh.Ending:
    return fresh.run(CASES[number], start)


def table(counts: dict[str, Counter[str]], rows: list[dict[str, object]]) -> str:
    """Both tables in Markdown, with the totals."""
    total = Counter[str]()
    for each in counts.values():
        total += each
    lines = [
        "# Campaign",
        "",
        "Written by `make campaign`. Malformed inputs by what was wrong, and how each ended:",
        "",
    ]
    lines += [f"| inputs | tried | {' | '.join(fresh.VERDICTS)} |", "|---" * (len(fresh.VERDICTS) + 2) + "|"]
    for kind, each in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {kind} | {sum(each.values())} | {' | '.join(str(each[v]) for v in fresh.VERDICTS)} |")
    if rows:
        lines += ["", "SIGKILL to the main process at random moments, then the same command again:", ""]
        lines += kills.in_words(rows)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
