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
MODELS = "--base base --filtered filtered --forget-questions forget.jsonl --retain-questions retain.jsonl"
UNLEARN = (
    "--method rmu --layer-id 0 --lora-rank 2 --forget-data forget.txt --retain-data retain.txt --no-eval --device cpu"
)
ATTACKS = "relearning,lora_relearning,weight_noise,soft_prompts,few_shot,direction_ablation"
SHORT = "--attack-steps 2 --attack-eval-interval 1 --noise-levels 0.2,0.4 --shots 1,2 --ablated-directions 1 --ablation-texts 4"
COMMANDS = {
    "unlearned_models": f"unlearn --model base {UNLEARN} --max-steps 2",
    "outputs": f"pipeline --unlearned unlearned {MODELS} --forget-text forget.txt --retain-text retain.txt --seeds 5 "
    "--enable-attacks --attacks quantization",
    "attacked": f"attack --kind {ATTACKS} --model unlearned --seeds 5,6 {SHORT} --outroot attacked {MODELS}",
}
"""By the folder that each writes. Attacks are made in one place for both commands, so all but one are with the one that takes their
flags."""
PROGRAM = """
import sys
from brittle.command_line import main
for command in sys.argv[1:]:
    try:
        main(None, command.split())
    except SystemExit as end:
        assert not end.code, command
"""


@pytest.mark.end_to_end
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have imported torch")
def test_malformed_inputs_end_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(CAMPAIGN / "run.py"), "--inputs", "60", "--kills", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    tried = next(line for line in done.stdout.splitlines() if line.startswith("| all |"))
    assert int(tried.split("|")[2]) >= 40


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders in which all commands ran, each in one fresh process: two orders of Python's sets and of the commands."""
    import place

    folders = []
    for seed, commands in (("1", list(COMMANDS.values())), ("2", list(COMMANDS.values())[::-1])):
        folder = place.build(tmp_path_factory.mktemp(f"place{seed}"))
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "BRITTLE_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *commands], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        folders.append(folder)
    return folders


@pytest.mark.end_to_end
@pytest.mark.parametrize("top", COMMANDS)
def test_a_command_gives_the_same_bits_in_fresh_processes(top: str, places: list[Path]) -> None:
    """Whatever order Python's sets have, what was run before, and wherever the run stands."""
    found = [
        {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((folder / top).rglob("*"))
            if path.suffix in (".csv", ".safetensors", ".png")
        }
        for folder in places
    ]
    assert found[0], "nothing was written"
    assert found[0] == found[1]
