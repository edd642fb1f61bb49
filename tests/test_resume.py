"""A training that was killed goes on to the same weights, bit for bit."""

from __future__ import annotations

import copy
import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_pipeline import settings_for
from tiny_models import TEXTS, tiny_model, tiny_tokenizer

from brittle import leases
from brittle.command_line import main
from brittle.runs import saving, unlearning_training
from brittle.settings import BadInput
from brittle.training import checkpoint
from brittle.training.batches import Sampler, Supply, tokenise
from brittle.training.checkpoint import Checkpoints
from brittle.training.loop import LoopSettings, train
from brittle.training.optimizers import OPTIMIZERS

STEPS = 5


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def run(
    model, optimizer: str, checkpoints: Checkpoints | None = None, killed_after: int | None = None, device: str = "cpu",
    deterministic: bool = False,
):  # fmt: skip
    examples = tokenise(tiny_tokenizer(), TEXTS, 16)
    supply = Supply([Sampler("text", examples, 2, 0, 3)])

    def listen(number, _model, terms):
        terms["seen"] = float(number)
        if number == killed_after:
            raise Killed

    settings = LoopSettings(STEPS, 1e-3, optimizer, deterministic=deterministic)
    loss = lambda step: {"text": step.negative_log_likelihood("text")}  # noqa: E731
    return train(model, supply, loss, settings, device=device, listeners=[listen], checkpoints=checkpoints)


@pytest.mark.parametrize("killed_after", [1, 3, 5])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_killed_training_ends_with_the_same_weights(optimizer: str, killed_after: int, tmp_path: Path) -> None:
    start = tiny_model()
    whole = copy.deepcopy(start)
    expected = run(whole, optimizer)
    checkpoints = Checkpoints(tmp_path / "checkpoint", "this run", interval=2)
    with pytest.raises(Killed):
        run(copy.deepcopy(start), optimizer, checkpoints, killed_after)
    resumed = copy.deepcopy(start)
    history = run(resumed, optimizer, checkpoints)
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters()):
        assert torch.equal(a, b), name
    assert history.terms == expected.terms


def test_checkpoint_of_another_run_is_not_used(tmp_path: Path) -> None:
    model = tiny_model()
    run(model, "adamw", Checkpoints(tmp_path / "checkpoint", "one", interval=1))
    other = Checkpoints(tmp_path / "checkpoint", "another", interval=1)
    assert not other.exists()
    assert other.restore(tiny_model(), []) == (0, [])


def test_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    run(tiny_model(), "adamw", Checkpoints(tmp_path / "checkpoint", "one", interval=1))
    assert sorted(path.name for path in (tmp_path / "checkpoint").iterdir()) == ["state.json", "state.safetensors"]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_kill_while_a_checkpoint_is_replaced_loses_nothing(moment: str, tmp_path: Path) -> None:
    """The new one is written beside the old one, the old one moves away, the new one takes its place, the old one goes."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    checkpoints = Checkpoints(tmp_path / ".model.checkpoint", "this run", interval=1)
    model, place, aside = (
        tiny_model(),
        tmp_path / ".model.checkpoint",
        tmp_path / f"..model.checkpoint.{leases.host()}-{ended.pid}-a1b2c3.old",
    )
    checkpoints.save(4, model, [], [])
    if moment == "before":
        (tmp_path / ".model.checkpoint.partial").mkdir()
        (tmp_path / ".model.checkpoint.partial" / "state.safetensors").write_bytes(b"half of")
    elif moment == "between":
        shutil.copytree(place, aside)
        place.rename(tmp_path / ".model.checkpoint.partial")
    else:
        shutil.copytree(place, aside)
    assert checkpoints.restore(tiny_model(seed=1), []) == (4, [])
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_a_checkpoint_keeps_the_last_one_and_says_how_to_go_on(tmp_path: Path, monkeypatch) -> None:
    checkpoints = Checkpoints(tmp_path / ".model.checkpoint", "this run", interval=1)
    checkpoints.save(4, tiny_model(), [], [])

    def full(_tensors, path) -> None:
        Path(path).write_bytes(b"half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    expected = r"step 5 could not be written \(No space left.*--resume goes on after step 4, the last checkpoint"
    with pytest.raises(BadInput, match=expected):
        checkpoints.save(5, tiny_model(), [], [])
    assert [path.name for path in tmp_path.iterdir()] == [".model.checkpoint"]
    assert checkpoints.restore(tiny_model(seed=1), []) == (4, [])


def test_a_checkpoints_place_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / ".model.checkpoint", "this run", interval=1)
    (tmp_path / ".model.checkpoint").mkdir()
    (tmp_path / ".model.checkpoint" / "thesis.tex").write_text("mine")
    checkpoints.remove()
    with pytest.raises(BadInput, match=r"holds thesis\.tex"):
        checkpoints.save(1, tiny_model(), [], [])
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        ".model.checkpoint",
        ".model.checkpoint/thesis.tex",
    ]


def test_a_full_disk_at_the_final_save_keeps_the_checkpoint(tmp_path: Path, monkeypatch, capsys) -> None:
    settings_for(tmp_path / "good", "gpt_neox")
    monkeypatch.chdir(tmp_path)

    def full(*_arguments) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for module in (unlearning_training, saving):  # saving: the second try, below BRITTLE_HOME
        monkeypatch.setattr(module, "save_result", full)
    flags = {
        "model": "good/base", "method": "grad_diff", "forget-data": "good/forget.txt", "retain-data": "good/retain.txt",
        "device": "cpu", "max-steps": 3, "batch-size": 1, "checkpoint-interval": 2,
    }  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main("unlearn", [str(part) for name, value in flags.items() for part in (f"--{name}", value)])
    error = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and error.startswith(
        "error: No space left on device; make room on that disk; then the same command"
    )
    assert "--resume goes on after step 2, the last checkpoint" in error
    (left,) = Path("unlearned_models").iterdir()
    assert left.suffix == ".checkpoint" and sorted(path.name for path in left.iterdir()) == [
        "state.json",
        "state.safetensors",
    ]
