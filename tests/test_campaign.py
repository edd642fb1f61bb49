"""A sample of the campaign (``make campaign``), and commands that repeat to the bit in fresh processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parent / "campaign"
sys.path.insert(0, str(CAMPAIGN))
MODELS = [
    "--base",
    "base",
    "--filtered",
    "filtered",
    "--forget-questions",
    "forget.jsonl",
    "--retain-questions",
    "retain.jsonl",
]
TEXTS = ["--forget-text", "forget.txt", "--retain-text", "retain.txt"]
ATTACKS = "lora_relearning,weight_noise,soft_prompts,few_shot"
COMMANDS = (
    [
        "unlearn",
        "--model",
        "base",
        "--method",
        "rmu",
        "--layer-id",
        "0",
        "--lora-rank",
        "2",
        "--forget-data",
        "forget.txt",
        "--retain-data",
        "retain.txt",
        "--no-eval",
        "--device",
        "cpu",
        "--max-steps",
        "2",
    ],
    ["pipeline", "--unlearned", "unlearned", *MODELS, *TEXTS, "--enable-attacks"],
    f"attack --kind {ATTACKS} --model unlearned --seeds 5 --attack-steps 2 --outroot attacked".split() + MODELS,
)


@pytest.mark.end_to_end
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have imported torch")
def test_malformed_inputs_end_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(CAMPAIGN / "run.py"), "--inputs", "60", "--kills", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    tried = next(line for line in done.stdout.splitlines() if line.startswith("| all |"))
    assert int(tried.split("|")[2]) >= 40


@pytest.mark.end_to_end
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_gives_the_same_bits_in_fresh_processes(command: list[str], tmp_path: Path) -> None:
    """Whatever order Python's sets have, and wherever the run stands."""
    import place

    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        place.build(folder)
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "BRITTLE_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", "from brittle.command_line import main; main()", *command],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append({
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for top in ("outputs", "attacked", "unlearned_models")
            for path in sorted((folder / top).rglob("*"))
            if path.suffix in (".csv", ".safetensors", ".png")
        })  # fmt: skip
    assert found[0], "nothing was written"
    assert found[0] == found[1]
