"""Several processes (gloo, on the CPU) make the update that one makes with as many examples."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from brittle.command_line import main

ROOT = Path(__file__).parent.parent
PROGRAM = str(ROOT / "unlearn" / "unlearn.py")


REPLICAS = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29517")
SHARDS = ("-m", "accelerate.commands.launch", "--config_file", str(ROOT / "configurations" / "fsdp2.yaml"))


def unlearn(
    folder: Path, method: str, batch_size: int, *flags: str, launcher: Sequence[str] = ()
) -> dict[str, torch.Tensor]:
    """The weights after four steps of plain descent: AdamW turns the rounding of tiny gradients into whole steps."""
    arguments = [
        "--model", "laboratory:base@tiny-0", "--method", method, "--preset", "laboratory", "--device",
        "cpu", "--max-steps", "4", "--optimizer", "sgd", "--lr", "0.01", "--batch-size", str(batch_size), "--no-eval",
        "--outdir", str(folder), *flags,
    ]  # fmt: skip
    if launcher:
        command, environment = [sys.executable, *launcher, PROGRAM, *arguments], os.environ | {"OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == 0, result.stderr[-3000:]
    else:
        with pytest.raises(SystemExit) as end:
            main("unlearn", arguments)
        assert end.value.code in (0, None)
    (made,) = folder.glob("laboratory*")
    return load_file(made / "model.safetensors")


@pytest.fixture(scope="module")
def in_one(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, torch.Tensor]]:
    """What one process makes by each method, with eight examples a step."""
    return functools.cache(lambda method: unlearn(tmp_path_factory.mktemp(method), method, 8))


@pytest.mark.end_to_end
@pytest.mark.parametrize("method", ["rmu", "npo"])
def test_two_processes_and_accumulation_equal_one_batch(method: str, in_one, tmp_path: Path) -> None:
    whole = in_one(method)
    parts = unlearn(tmp_path / "parts", method, 4, launcher=REPLICAS)
    accumulated = unlearn(tmp_path / "accumulated", method, 4, "--grad-accum-steps", "2")
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(accumulated[name], expected, rtol=0, atol=1e-6)


@pytest.mark.end_to_end
@pytest.mark.parametrize("method", ["rmu", "npo", "grad_diff"])
def test_two_shards_equal_one_process(method: str, in_one, tmp_path: Path) -> None:
    """FSDP2 with the configuration that GPUs use; each process holds half of every tensor."""
    whole = in_one(method)
    shards = unlearn(tmp_path / "shards", method, 4, launcher=SHARDS)
    for name, expected in whole.items():
        torch.testing.assert_close(shards[name], expected, rtol=0, atol=1e-6)
    (record,) = (tmp_path / "shards").glob("*/record.json")
    assert json.loads(record.read_text())["notes"]["sharded_over"] == 2


def test_configurations_are_what_accelerate_reads() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    found = {path.stem: load_config_from_file(str(path)) for path in (ROOT / "configurations").glob("*.yaml")}
    assert {name: str(config.distributed_type.value) for name, config in found.items()} == {
        "fsdp2": "FSDP",
        "deepspeed_zero3": "DEEPSPEED",
    }


def test_what_shards_cannot_do_is_refused(tmp_path: Path) -> None:
    environment = os.environ | {"ACCELERATE_USE_FSDP": "true"}
    command = [
        sys.executable,
        PROGRAM,
        "--model",
        "laboratory:base@tiny-0",
        "--method",
        "tar",
        "--preset",
        "laboratory",
    ]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert result.returncode == 2
    assert "needs the whole model in one process" in result.stderr.strip().splitlines()[-1]


def test_deepspeed_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    if importlib.util.find_spec("deepspeed"):
        pytest.skip("DeepSpeed is installed here")
    environment = os.environ | {"ACCELERATE_USE_DEEPSPEED": "true"}
    command = [sys.executable, PROGRAM, "--model", "laboratory:base@tiny-0", "--method", "ga", "--preset", "laboratory"]
    result = subprocess.run(
        [*command, "--device", "cpu"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert result.returncode == 2
    assert "DeepSpeed is not installed" in result.stderr
    assert "Traceback" not in result.stderr


def test_layers_behind_a_device_map_train_as_they_do_without() -> None:
    """accelerate's hooks around every module, as ``device_map="auto"`` sets them; here all on one device."""
    from accelerate import dispatch_model
    from method_trials import trial_of

    for method in ("rmu", "npo", "lat"):
        found = []
        for hooked in (False, True):
            trial = trial_of(method)
            if hooked:
                names = {name: "cpu" for name, _ in trial.loaded.model.named_children()}
                dispatch_model(trial.loaded.model, names, force_hooks=True)
            trial.loss().backward()
            found.append([p.grad for p in trial.loaded.model.parameters() if p.grad is not None])
        assert len(found[0]) == len(found[1])
        for plain, behind in zip(*found):
            torch.testing.assert_close(behind, plain)
