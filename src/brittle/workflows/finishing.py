"""What follows a training: benchmarks, upload, deletion of the weights, and a few lines about the result."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from brittle.records import RECORD, read_record, write_json
from brittle.settings import BadInput
from brittle.workflows import laboratory

if TYPE_CHECKING:
    from brittle.workflows.make import Plan

HEAVY_FILES = ("*.safetensors", "*.safetensors.index.json")


def finish(chosen: Plan) -> Path:
    """What follows the training: benchmarks, upload, deletion of the weights; each once, each after the one before."""
    held = any(any(chosen.folder.glob(pattern)) for pattern in HEAVY_FILES)
    if held and not chosen.make.no_eval:
        _benchmark(chosen)
    if chosen.make.push_to_hub:
        from brittle.workflows import publish

        print(f"uploaded: {publish.upload(chosen.folder)}")
    if held and chosen.make.no_save:
        _drop_weights(chosen.folder)
    return chosen.folder


def _benchmark(chosen: Plan) -> None:
    """Run the published benchmarks on a finished model; without their data or lm-eval it stays finished, unmeasured."""
    from brittle.models.references import locate
    from brittle.workflows import benchmark

    tasks = chosen.make.eval_tasks.replace(",", " ").split()
    if (
        not tasks
        or tasks == ["none"]
        or laboratory.behind(chosen.base.text)
        or chosen.training.lora_rank
        and not chosen.make.merge
    ):
        return
    given = benchmark.BenchmarkSettings(
        limit=chosen.make.eval_limit, device=chosen.make.device, dtype=chosen.make.dtype
    )
    try:
        benchmark.benchmarks(locate(str(chosen.folder)), chosen.folder / benchmark.FOLDER, tasks, {}, given)
    except BadInput as problem:
        print(f"not benchmarked: {problem}. Later: uv run experiment/eval.py --model {chosen.folder}", file=sys.stderr)


def _drop_weights(folder: Path) -> None:
    for pattern in HEAVY_FILES:
        for path in folder.glob(pattern):
            path.unlink()
    content = read_record(folder) or {}
    content["files"] = [name for name in content["files"] if (folder / name).is_file()]
    content["notes"]["weights"] = "deleted after evaluation (--no-save)"
    write_json(folder / RECORD, content)


def describe(folder: Path) -> list[str]:
    """What a finished model knows, in a few lines."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    notes = (read_record(folder) or {}).get("notes", {})
    lines = []
    for split in ("forget", "retain"):
        if f"{split}_nll" in summary:
            before, after = summary.get(f"{split}_nll_before"), summary[f"{split}_nll"]
            lines.append(f"   {split} likelihood loss {before:.3f} -> {after:.3f} nats per token")
    words = {"t": "hazardous questions, half T", "v": "hazardous questions, half V", "retain": "benign questions"}
    lines += [
        f"   {words[side]}: {summary[f'accuracy_{side}']:.0%} right" for side in words if f"accuracy_{side}" in summary
    ]
    if notes.get("unmoved_share") is not None:
        lines.append(f"   weights that training left exactly as they were: {notes['unmoved_share']:.1%}")
    return lines
