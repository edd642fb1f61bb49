"""On a GPU the numbers are those of the CPU: every method, diagnostic and attack, adapters, half precision, resuming.

Skipped where there is no CUDA GPU. ``BRITTLE_TEST_DEVICE=cpu`` runs the same tests between the CPU and itself.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
import torch
from test_attacks_contract import ATTACKS, FEW
from test_attacks_that_train import Watched
from test_diagnostics_common import NAMES as DIAGNOSTICS
from test_diagnostics_common import assert_same, find
from test_resume import Killed, run
from tiny_models import TEXTS, tiny_model, tiny_model_folder

from brittle import discovery
from brittle.command_line import main
from brittle.models.loading import load
from brittle.models.references import locate
from brittle.training.checkpoint import Checkpoints
from brittle.training.optimizers import OPTIMIZERS

DEVICE = os.environ.get("BRITTLE_TEST_DEVICE", "cuda")
METHODS = sorted(discovery.plugins("methods"))
FLOAT32 = 1e-3
"""Largest relative difference of two devices' losses after two steps in float32, with TensorFloat-32 off."""
HALF = 0.05
"""The same where the arithmetic is bfloat16, eight bits."""
ROUNDED = 0.15
"""The same where the weights are: every device draws its own roundings (a GPU was 8 % apart at most)."""

pytestmark = pytest.mark.skipif(
    DEVICE.startswith("cuda") and not torch.cuda.is_available(), reason="there is no CUDA GPU"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and texts."""
    folder = tmp_path_factory.mktemp("cuda")
    tiny_model_folder(folder / "base", num_hidden_layers=3)
    words = " ".join(TEXTS).split()
    for name, first in (("forget", 0), ("retain", 9)):
        texts = [" ".join(words[start : start + 7]) for start in range(first, first + 16)]
        (folder / f"{name}.txt").write_text("\n".join(f"{text} Answer: {text[:9]}" for text in texts))
    return folder


@pytest.fixture(autouse=True)
def own_caches(monkeypatch: pytest.MonkeyPatch, place: Path) -> Iterator[None]:
    """No device reads what another one computed; algorithms are chosen freely again after a deterministic run."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("BRITTLE_HOME", str(place / "home"))
    yield
    torch.use_deterministic_algorithms(False)


def unlearned(device: str, method: str, *more: str, tag: str = "") -> pandas.DataFrame:
    """The loss terms of two steps, from the record of a run of the program; one row per step."""
    out = Path(f"{device.replace(':', '')}{tag}")
    os.environ["BRITTLE_HOME"] = str(Path.cwd() / f"home-{out}")
    flags = {
        "model": "base", "method": method, "forget-data": "forget.txt", "retain-data": "retain.txt", "device": device,
        "max-steps": "2", "batch-size": "4", "max-length": "16", "lr": "1e-3", "outdir": str(out), "dtype": "fp32",
    }  # fmt: skip
    needs = discovery.find("methods", method).load().NEEDS
    if needs.layers:
        flags["layer-id"] = f"{needs.first_layer},{needs.first_layer + 1}"
    before = set(out.glob("*"))
    with contextlib.suppress(SystemExit):
        main("unlearn", [*(part for name, value in flags.items() for part in (f"--{name}", value)), "--no-eval", *more])
    (folder,) = set(out.glob("*")) - before
    return pandas.read_csv(folder / "training.csv").drop(columns="step")


def assert_close(found: pandas.DataFrame, expected: pandas.DataFrame, tolerance: float) -> None:
    assert len(found) == 2
    pandas.testing.assert_frame_equal(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_two_steps_of_a_method_have_the_losses_of_the_cpu(method: str) -> None:
    """Plain descent, whose step is in proportion to the gradient: where that is rounding alone, AdamW takes its sign."""
    flags = ("--optimizer", "sgd")
    expected = unlearned("cpu", method, *flags, tag="-expected")
    assert_close(unlearned(DEVICE, method, *flags), expected, FLOAT32)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_as_it_is_by_default_on_a_gpu(method: str) -> None:
    half = unlearned(DEVICE, method, "--dtype", "bf16", tag="-half")
    assert_close(half, unlearned("cpu", method, "--dtype", "bf16", tag="-half-expected"), HALF)


OPTIONS = {
    "adapters": ("--lora-rank", "4"),
    "merged": ("--lora-rank", "4", "--merge"),
    "recomputed": ("--gradient-checkpointing",),
    "chunks": ("--loss-chunk", "5", "--grad-accum-steps", "2"),
    "some": ("--train-only", "qkv", "--train-layers", "1"),
    "norms": ("--norm-reg-lambda", "0.1"),
    **{optimizer: ("--optimizer", optimizer) for optimizer in sorted(OPTIMIZERS)},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_have_the_losses_of_the_cpu(option: str) -> None:
    expected = unlearned("cpu", "npo", *OPTIONS[option], tag=f"-{option}-expected")
    assert_close(unlearned(DEVICE, "npo", *OPTIONS[option], tag=f"-{option}"), expected, FLOAT32)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("method", ["npo", "rmu"])
def test_bfloat16_weights_rounded_stochastically(method: str, optimizer: str) -> None:
    flags, tag = ("--dtype", "bf16", "--weight-dtype", "bf16", "--optimizer", optimizer), f"-bf16-{optimizer}"
    found = unlearned(DEVICE, method, *flags, tag=tag)
    assert_close(found, unlearned("cpu", method, *flags, tag=f"{tag}-expected"), ROUNDED)


@pytest.mark.parametrize("method", METHODS)
def test_deterministic_runs_have_the_same_bits(method: str) -> None:
    one, two = (unlearned(DEVICE, method, "--deterministic", tag=f"-bits{number}") for number in (1, 2))
    assert_close(one, two, 0.0)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_a_killed_training_goes_on_to_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    """The state is kept on the CPU and restored to where it was: with deterministic algorithms no bit differs."""
    whole = tiny_model().to(DEVICE)
    expected = run(whole, optimizer, device=DEVICE, deterministic=True)
    checkpoints = Checkpoints(tmp_path / "checkpoint", "this run", interval=2)
    with pytest.raises(Killed):
        run(tiny_model(), optimizer, checkpoints, 3, device=DEVICE, deterministic=True)
    resumed = copy.deepcopy(tiny_model())
    history = run(resumed, optimizer, checkpoints, device=DEVICE, deterministic=True)
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters()):
        assert torch.equal(a, b), name
    assert history.terms == expected.terms


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Path]:
    """Two tiny models of one architecture."""
    root = tmp_path_factory.mktemp("pair")
    return {("gpt_neox", seed): tiny_model_folder(root / f"{seed}", "gpt_neox", seed) for seed in (0, 1)}


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_a_diagnostic_finds_what_it_finds_on_the_cpu(name: str, pair) -> None:
    found = []
    for device in (DEVICE, "cpu"):
        models = {key: load(locate(str(folder)), device=device, dtype="fp32") for key, folder in pair.items()}
        found.append(find(name, pair, models, "gpt_neox", every_option=True, device=device))
    assert_same(*found, FLOAT32)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_takes_the_steps_it_takes_on_the_cpu(name: str) -> None:
    if (package := ATTACKS[name].constants.get("NEEDS_PACKAGE")) and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    there, here = Watched(device=DEVICE), Watched()
    asked = [[e.step for e in watched.run(ATTACKS[name].load(), attack_steps=2, **FEW)] for watched in (there, here)]
    assert asked[0] == asked[1]
    for found, expected in zip(there.seen, here.seen, strict=True):
        moved = {key: weight - here.before[key] for key, weight in expected.items() if key in here.before}
        size = float(sum(change.square().sum() for change in moved.values())) ** 0.5
        apart = sum(float((found[key].cpu() - expected[key]).square().sum()) for key in moved) ** 0.5
        assert apart <= 0.05 * size + 1e-5, name
