"""Kill real commands at random moments and see that nothing is left running, nothing is lost, and the next start ends well.

Laboratory, unlearning, pipeline and attacks in the tiny laboratory. After SIGKILL to the main process alone: no process
of its session is alive 5 s later; every record that says it is complete is; what was complete before is unchanged.
After the last kill of a command it is started once more, must end with exit code 0, and its tables must equal those of
a run that nobody disturbed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START = "from brittle.command_line import main; main()"
WITHIN = 5.0
"""Seconds in which all children must be gone."""
TINY = "laboratory:{}@tiny-0"
BASE, FILTERED, RETRAINED = (TINY.format(name) for name in ("base", "filtered", "retrained"))


@dataclass(frozen=True)
class Program:
    """A command that is killed again and again: what it writes, and its span of time in seconds."""

    name: str
    arguments: tuple[str, ...]
    writes: str
    span: tuple[float, float]


PROGRAMS = (
    Program("laboratory", ("laboratory", "--size", "tiny"), "home/laboratory", (3, 14)),
    Program(
        "unlearning",
        ("unlearn", "--model", BASE, "--method", "grad_diff", "--preset", "laboratory", "--resume", "--checkpoint-interval", "5"),
        "unlearned_models",
        (5, 20),
    ),
    Program(
        "attacks",
        ("attack", "--kind", "relearning,weight_noise,few_shot", "--model", RETRAINED, "--base", BASE, "--filtered", FILTERED, "--attack-steps", "40"),
        "outputs",
        (5, 35),
    ),
    Program("pipeline", ("pipeline", "--laboratory", "--size", "tiny", "--methods", "rmu", "--max-samples", "20", "--seeds", "42", "--outroot", "compared"), "compared", (5, 60)),
)  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """The variables of a run whose caches lie in ``folder``."""
    return os.environ | {"BRITTLE_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def start(program: Program, folder: Path) -> subprocess.Popen:
    """Start it in a session of its own."""
    with open(folder / f"{program.name}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", START, *program.arguments], cwd=folder, env=environment(folder),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def alive(session: int) -> list[int]:
    """The processes of a session that are not dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(path.parent.name))
    return found


def records(folder: Path) -> Iterator[Path]:
    """Every record's folder below one, finished ones only (hidden folders are work in progress)."""
    for path in folder.rglob("record.json"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path.parent


def broken(folder: Path) -> list[str]:
    """Records that say they are complete and lack a file."""
    found = []
    for place in records(folder):
        try:
            record = json.loads((place / "record.json").read_text(encoding="utf-8"))
            listed = record["files"]
        except (OSError, ValueError, KeyError) as problem:
            found.append(f"{place}: {problem}")
            continue
        found += [f"{place / name} is missing" for name in listed if not (place / name).is_file()]
    return found


def contents(folder: Path) -> dict[str, str]:
    """Tables and weights of every record, by path: what an undisturbed run must also give."""
    found = {}
    for place in records(folder):
        for path in sorted(place.rglob("*")):
            if path.suffix in (".csv", ".safetensors"):
                found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def kill(program: Program, folder: Path, after: float) -> list[str]:
    """One start, one SIGKILL to the main process alone; what was wrong afterwards."""
    written = folder / program.writes
    before = contents(written)
    process = start(program, folder)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + WITHIN
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    wrong = []
    if left := alive(process.pid):
        wrong.append(f"{len(left)} processes still run after {WITHIN:.0f} s")
        for each in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    after_ = contents(written)
    wrong += [f"lost: {path}" for path, digest in before.items() if after_.get(path) != digest]
    return wrong + broken(written)


def campaign(folder: Path, number: int, say: object = print) -> list[dict[str, object]]:
    """``number`` kills over all programs; a row per program: kills, lost, left running, broken, ended well."""
    rows = []
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    for place in (undisturbed, disturbed):
        place.mkdir(parents=True)
    share = [number // len(PROGRAMS) + (index < number % len(PROGRAMS)) for index in range(len(PROGRAMS))]
    for program, kills in zip(PROGRAMS, share):
        started = time.monotonic()
        code = start(program, undisturbed).wait()
        whole = time.monotonic() - started
        moments = random.Random(program.name)
        wrong = [] if code == 0 else [f"undisturbed: exit code {code}"]
        for index in range(kills):
            after = moments.uniform(min(program.span[0], whole), max(whole, program.span[0]) * 0.95)
            wrong += [f"kill {index + 1} after {after:.1f} s: {what}" for what in kill(program, disturbed, after)]
        code = start(program, disturbed).wait()
        wrong += [] if code == 0 else [f"started again: exit code {code}"]
        same = contents(disturbed / program.writes) == contents(undisturbed / program.writes)
        wrong += [] if same else ["the tables differ from those of an undisturbed run"]
        rows.append({"program": program.name, "kills": kills, "wrong": wrong})
        print(
            f"{program.name}: {kills} kills, {len(wrong)} wrong" + "".join(f"\n   {what}" for what in wrong), flush=True
        )
    return rows


def in_words(rows: Sequence[dict[str, object]]) -> list[str]:
    """The table in Markdown."""
    lines = ["| program | SIGKILLs | wrong |", "|---|---|---|"]
    return lines + [f"| {row['program']} | {row['kills']} | {len(row['wrong'])} |" for row in rows]  # type: ignore[arg-type]
