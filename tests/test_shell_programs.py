"""The documented shell programs, as the specification tells their story: sweep, look, make the best one, upload it.

They run from a copy of the checkout, on a tiny model, with a stand-in for the hub.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins import serve
from tiny_models import TEXTS, tiny_model_folder

ROOT = Path(__file__).parent.parent
QUICK = "--device cpu --max-steps 1 --max-length 16"

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(shutil.which("uv") is None, reason="the shell programs start with uv"),
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout, with a tiny model, texts and a ``.env`` in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("unlearn", "experiment", "sweeps"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    tiny_model_folder(folder / "base")
    words = " ".join(TEXTS).split()
    (folder / "data").mkdir()
    for name, first in (("forget", 0), ("retain", 9)):
        texts = [" ".join(words[start : start + 7]) for start in range(first, first + 12)]
        (folder / "data" / f"{name}.txt").write_text("\n".join(texts))
    (folder / ".env").write_text("BASE=base\nEVAL_TASKS=mmlu\n")
    return folder


def run(checkout: Path, command: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "HF_")) and k not in ("BASE", "LR")}
    fixed = {
        "UV_NO_SYNC": "1", "UV_PROJECT_ENVIRONMENT": sys.prefix, "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    result = subprocess.run(
        command, shell=True, cwd=checkout, env=clean | fixed | environment, capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize(("base", "name"), [("base", "base-"), ("laboratory:base@tiny", "laboratory_base_tiny__")])
def test_a_sweep_then_the_best_model_is_made_again_and_uploaded(checkout: Path, base: str, name: str) -> None:
    root = checkout / f"story_of_{name}"
    npo = f"./unlearn/run_unlearn.sh npo {QUICK} --outdir {root.name}"
    chosen = {"BASE": base, "EPOCHS": "3", "LR": "5e-05", "BATCH_SIZE": "8", "RETAIN_WEIGHT": "1.0", "BETA": "0.1"}
    sweep = run(checkout, npo, NO_SAVE="1", EVAL_TASKS="none", **chosen)
    assert sweep.returncode == 0, sweep.stderr
    (folder,) = folders(root)
    assert "__npo__ep3_lr5e-05_bs8_b0.1_rw1.0" in folder.name and folder.name.startswith(name)
    assert not list(folder.glob("*.safetensors")) and (folder / "summary.json").is_file()
    before = (folder / "record.json").read_bytes()
    again = run(checkout, npo, NO_SAVE="1", EVAL_TASKS="none", **chosen)  # finished: nothing to do
    assert again.returncode == 0 and "finished" in again.stdout and (folder / "record.json").read_bytes() == before
    with serve("hub") as service:
        hub = {"HF_ENDPOINT": service.url, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        pushed = run(checkout, npo, PUSH_TO_HUB="1", NO_EVAL="1", **chosen, **hub)
        assert pushed.returncode == 0, pushed.stderr
        assert f"uploaded: tester/{folder.name}" in pushed.stdout
        (files,) = service.commits
        assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
        assert run(checkout, npo, PUSH_TO_HUB="1", NO_EVAL="1", **chosen, **hub).returncode == 0
        assert len(service.commits) == 1  # finished
    later = run(checkout, npo, NO_SAVE="1", EVAL_TASKS="none", **chosen)  # a later NO_SAVE takes effect
    assert later.returncode == 0 and not list(folder.glob("*.safetensors"))
    assert json.loads((folder / "record.json").read_text())["notes"]["weights"].startswith("deleted")


def test_weights_that_were_not_evaluated_stay(checkout: Path) -> None:
    command = f"./unlearn/run_unlearn.sh ga {QUICK} --outdir unmeasured"
    result = run(checkout, command, NO_SAVE="1")  # the benchmarks of .env cannot be had without the hub
    assert result.returncode == 0, result.stderr
    (folder,) = folders(checkout / "unmeasured")
    assert (folder / "model.safetensors").is_file()
    assert "not evaluated:" in result.stderr and "the weights stay" in result.stderr and "--no-eval" in result.stderr
    assert "weights" not in json.loads((folder / "record.json").read_text())["notes"]
    both = run(checkout, command, NO_SAVE="1", NO_EVAL="1")
    assert both.returncode == 0 and not (folder / "model.safetensors").exists()
    assert "without evaluation" in json.loads((folder / "record.json").read_text())["notes"]["weights"]


def test_force_merge_and_the_environment_reach_through_the_scripts(checkout: Path) -> None:
    command = f"./unlearn/run_unlearn.sh ga {QUICK} --outdir more"
    assert run(checkout, command, NO_EVAL="1", LORA_RANK="2").returncode == 0
    (adapters,) = folders(checkout / "more")
    assert (adapters / "adapter_model.safetensors").is_file()
    assert run(checkout, command, NO_EVAL="1", LORA_RANK="2", MERGE="1").returncode == 0
    (merged,) = [folder for folder in folders(checkout / "more") if folder != adapters]
    assert (merged / "model.safetensors").is_file()
    first = json.loads((merged / "record.json").read_text())["started"]
    assert run(checkout, f"{command} --force", NO_EVAL="1", LORA_RANK="2", MERGE="1").returncode == 0
    assert json.loads((merged / "record.json").read_text())["started"] > first
    plain = "uv run unlearn/unlearn.py --method ga --check-wandb-only --outdir more " + QUICK
    named = run(checkout, plain, LR="3e-4")  # --help names LR, so that the program reads it
    assert named.returncode == 1 and "_lr0.0003_" in named.stdout and "more/base-" in named.stdout


def test_help_names_all_methods_and_takes_back_what_it_prints(checkout: Path) -> None:
    words = run(checkout, "uv run unlearn/unlearn.py --help").stdout
    for method in ("ga_simple", "cb_lat", "wt_dist_reg", "npo"):
        assert method in words.split("  --method METHOD")[1].split("  --preset")[0]
    assert "(default: 5,6,7)" in " ".join(words.split())
    for layers in ("0-1", "0,1", "0 1"):
        found = run(checkout, f"./unlearn/run_unlearn.sh rmu {QUICK} --check-wandb-only", LAYER_ID=layers)
        assert "_ly0-1_" in found.stdout


def test_a_shallow_base_says_which_layers_to_give_and_the_advice_helps(checkout: Path) -> None:
    command = f"./unlearn/run_unlearn.sh rmu {QUICK} --outdir shallow --no-eval"
    refused = run(checkout, command)
    assert refused.returncode == 2 and "LAYER_ID" in refused.stderr
    layers = refused.stderr.split("for example --layer-id ")[1].split()[0]
    assert run(checkout, command, LAYER_ID=layers).returncode == 0
    assert not list((checkout / "shallow").glob(".*"))


def test_a_script_of_ones_own_runs_side_by_side_and_no_file_is_touched(checkout: Path) -> None:
    (checkout / "mine.sh").write_text(
        "for lr in 1e-4 2e-4; do for method in npo simnpo; do\n"
        f"  LR=$lr ./unlearn/run_unlearn.sh $method {QUICK} --no-eval || exit 1\ndone; done\n"
    )
    (checkout / "mine.sh").chmod(0o755)
    before = {path: path.read_bytes() for path in (checkout / "unlearn").rglob("*") if path.is_file()}
    own = {"UNLEARNED_ROOT": "of_mine", "OUTROOT": "sweep_of_mine", "WORKERS": "2"}
    done = run(checkout, "./unlearn/parallel_sweep.sh ./mine.sh", **own)
    assert done.returncode == 0, done.stderr
    names = [folder.name for folder in folders(checkout / "of_mine")]
    assert len(names) == 4
    assert {(name.split("__")[1], "lr0.0001" in name) for name in names} == {
        (method, low) for method in ("npo", "simnpo") for low in (True, False)
    }
    again = run(checkout, "./unlearn/parallel_sweep.sh ./mine.sh", **own)
    assert "4 of 4 models finished before" in again.stdout, again.stdout + again.stderr
    assert {path: path.read_bytes() for path in (checkout / "unlearn").rglob("*") if path.is_file()} == before


def test_the_documented_sweep_makes_its_models_in_order_and_skips_them_afterwards(checkout: Path) -> None:
    shard = "./unlearn/sweep_unlearn.sh --shard 1/96"
    settings = {"UNLEARNED_ROOT": "of_sweep", "EVAL_TASKS": "none", "MAX_STEPS": "1", "DEVICE": "cpu"}
    first = run(checkout, shard, **settings)
    assert first.returncode == 0, first.stderr
    (folder,) = folders(checkout / "of_sweep")
    assert folder.name.startswith("base") and "__ga_simple__ep1_lr1.2e-05_bs4" in folder.name
    assert not list(folder.glob("*.safetensors"))  # NO_SAVE=1 by default
    assert "1 of 1 model finished before" in run(checkout, shard, **settings).stdout
