"""Several processes (gloo, on the CPU) make the update that one makes with as many examples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

PROGRAM = str(Path(__file__).parent.parent / "unlearn" / "unlearn.py")


def unlearn(folder: Path, method: str, batch_size: int, *flags: str, processes: int = 1) -> dict[str, torch.Tensor]:
    """The weights after four steps of plain descent: AdamW turns the rounding of tiny gradients into whole steps."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", "29517"]
    command = [
        *launcher, PROGRAM, "--model", "laboratory:base@tiny-0", "--method", method, "--preset", "laboratory", "--device",
        "cpu", "--max-steps", "4", "--optimizer", "sgd", "--lr", "0.01", "--batch-size", str(batch_size), "--no-eval",
        "--outdir", str(folder), *flags,
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr[-3000:]
    (made,) = folder.glob("laboratory*")
    return load_file(made / "model.safetensors")


@pytest.mark.end_to_end
@pytest.mark.parametrize("method", ["rmu", "npo"])
def test_two_processes_and_accumulation_equal_one_batch(method: str, tmp_path: Path) -> None:
    whole = unlearn(tmp_path / "whole", method, 8)
    parts = unlearn(tmp_path / "parts", method, 4, processes=2)
    accumulated = unlearn(tmp_path / "accumulated", method, 4, "--grad-accum-steps", "2")
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(accumulated[name], expected, rtol=0, atol=1e-6)
