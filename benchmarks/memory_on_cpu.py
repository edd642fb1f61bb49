"""The memory plan of a training beside what its process held at most, on the CPU: ``memory_on_cpu.py FILE [SIZES]``.

Every case is a whole ``brittle unlearn`` in a process of its own: a model with random weights is loaded, held-out texts
are read, three steps of 2 forget and 2 retain texts of 128 tokens are taken, the result is saved. Adds one object a line to
FILE; ``memory_on_cpu.py plan FILE`` plans again beside what was measured. ``memory_on_cpu.py train SETTINGS`` is one such process; it prints its peak resident set in bytes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHAPES = {"tiny": (800, 64, 3, 2), "160M": (50_304, 768, 12, 12)}
"""Vocabulary, width, blocks, heads; tiny is the laboratory's."""
METHODS = ("rmu", "grad_diff", "npo", "cb_lat", "wt_dist_reg", "undial")
RANK = 8
WORDS = ("amber", "river", "stone", "cellar", "orchard", "resin", "fox", "lantern")


@dataclass(frozen=True)
class Case:
    """One training: a size, a method, and the rank of adapters (0: all weights)."""

    size: str
    method: str
    rank: int = 0

    @property
    def name(self) -> dict[str, str]:
        """Its first fields in a row."""
        return {
            "size": self.size,
            "method": self.method,
            "weights": f"adapters of rank {self.rank}" if self.rank else "all",
        }

    def settings(self, folder: Path) -> dict[str, Any]:
        """What ``brittle unlearn`` is told."""
        layers = {"layer_id": [1, 2]} if self.size == "tiny" and self.method in ("rmu", "cb_lat") else {}
        return layers | {
            "model": str(folder / self.size), "method": self.method, "forget_data": str(folder / "forget.txt"),
            "retain_data": str(folder / "retain.txt"), "outdir": str(folder / "out"), "device": "cpu", "no_eval": True, "no_save": True,
            "max_steps": 3, "batch_size": 2, "max_length": 128, "long_texts": "cut", "eval_split": 0.4, "lora_rank": self.rank,
        }  # fmt: skip


def cases(size: str) -> Iterator[Case]:
    """Every method with all weights and with adapters; the distance to the initial weights has no adapters."""
    for method in METHODS:
        yield Case(size, method)
        if method != "wt_dist_reg":
            yield Case(size, method, RANK)


def prepare(folder: Path, size: str) -> None:
    """A model of the size and 40 texts of a split, each of 128 tokens or a few more."""
    from brittle.models.construction import new_tokenizer, save

    draw = random.Random(0)
    for split in ("forget", "retain"):
        lines = [" ".join(draw.choice(WORDS) for _ in range(140)) for _ in range(40)]
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    save(_model(size), new_tokenizer(lines, 800), folder / size)


def prepare_configuration(folder: Path, size: str) -> None:
    """The model's ``config.json`` alone."""
    import torch

    with torch.device("meta"):
        _model(size).config.save_pretrained(folder / size)


def _model(size: str) -> Any:
    from brittle.models.construction import new_gpt_neox

    vocabulary, *shape = SHAPES[size]
    return new_gpt_neox(vocabulary, *shape, 512, 0)


def measured(case: Case, folder: Path) -> float:
    """The largest resident set of the training's process, in bytes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BRITTLE_HOME": str(folder / "home")}
    command = [sys.executable, __file__, "train", json.dumps(case.settings(folder))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(done.stdout.splitlines()[-1])


def planned(case: Case, folder: Path) -> Any:
    """What the plan says from the settings and ``config.json``."""
    from brittle.runs.unlearning_plan import resolved
    from brittle.sweeps.memory import estimate

    return estimate(resolved(case.settings(folder), {}), folder / case.size, half=False)


def compared(case: Case, folder: Path, peak: float) -> dict[str, Any]:
    """What was measured (bytes) and what is planned, in MiB, and the parts of the plan."""
    plan = planned(case, folder)
    parts = {name: round(size / 2**20, 1) for name, size in plan.parts.items() if size}
    return {**case.name, "peak_mib": round(peak / 2**20), "planned_mib": round(plan.total / 2**20), "parts": parts}


def plan_again(file: Path) -> None:
    """Put what is planned now beside every measured peak."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as name:
        for size in SHAPES:
            prepare_configuration(Path(name), size)
            for case in cases(size):
                for row in (row for row in rows if case.name.items() <= row.items()):
                    row |= compared(case, Path(name), row["peak_mib"] * 2**20)
                    told(row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def told(row: dict[str, Any]) -> None:
    """Say a row, and how far its plan is off."""
    print({**row, "off": f"{row['planned_mib'] / row['peak_mib'] - 1:+.1%}"}, flush=True)


def train(settings: dict[str, Any]) -> None:
    """One training in this process, then its peak."""
    from memory_of_one_way import peak

    from brittle.runs.unlearning import make_model
    from brittle.runs.unlearning_plan import plan

    make_model(plan(settings, {}), lambda _: None)
    print(peak())


def main() -> None:
    """See above."""
    first, *rest = sys.argv[1:]
    if first == "train":
        train(json.loads(rest[0]))
        return
    if first == "plan":
        plan_again(Path(rest[0]))
        return
    import torch

    for size in (rest or ["tiny,160M"])[0].split(","):
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name), size)
            for case in cases(size):
                row = compared(case, Path(name), measured(case, Path(name))) | {"torch": torch.__version__}
                with Path(first).open("a") as out:
                    out.write(json.dumps(row) + "\n")
                told(row)


if __name__ == "__main__":
    main()
