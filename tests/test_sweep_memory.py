"""The memory plan of a sweep: from config.json what the loaded model gives, near what processes held, and groups of GPUs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_model, tiny_model_folder

from brittle import discovery
from brittle.attacks import relearning_search
from brittle.commands.sweep_groups import attacked, groups, planned
from brittle.models import references
from brittle.models.anatomy import anatomy_of
from brittle.runs.unlearning_plan import resolved
from brittle.runs.unlearning_preparation import choose_what_trains
from brittle.settings import BadInput
from brittle.sweeps import memory as sweep_memory
from brittle.sweeps.configurations import Configuration, configurations
from brittle.sweeps.file import Stage, read
from brittle.sweeps.memory import CONTEXT, GIB, PROCESS, Estimate, estimate, gpus, group, grouped
from brittle.training import memory
from brittle.training.rehearsal import rehearse

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SHORT = {"model": "a folder", "batch_size": 2, "max_length": 16, "device": "cpu"}
LAYERS = {"layer_id": (0, 1)}


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A folder with nothing but a config.json."""
    folder = tiny_model_folder(tmp_path / "model")
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    return folder


def of(method: str, **flags):
    module = discovery.find("methods", method).load()
    return resolved(SHORT | (LAYERS if module.NEEDS.layers else {}) | {"method": method} | flags, {})


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("rmu", {}), ("grad_diff", {"lora_rank": 4}), ("npo", {"weight_dtype": "bf16"}), ("cb_lat", {"lora_rank": 4}),
        ("wt_dist_reg", {}), ("npo", {"gradient_checkpointing": True, "optimizer": "sgd"}), ("rmu_paper", {}),
    ],
)  # fmt: skip
def test_config_alone_gives_what_the_loaded_model_gives(method: str, flags: dict, configuration: Path) -> None:
    asked = of(method, **flags)
    found = estimate(asked, configuration, half=True, on_cpu=False).parts
    training, model = asked.training, tiny_model()
    model = model.bfloat16() if training.weight_dtype == "bf16" else model
    anatomy, needs = anatomy_of(model.config), asked.module.NEEDS
    choose_what_trains(model, anatomy, training)
    rehearsed = rehearse(model, anatomy, training, asked.module, asked.method, half=True)
    expected = memory.parts(model, training, needs.initial_weights, rehearsed)
    assert {name: found[name] for name in expected} == expected and found["gradients"] > 0


def test_the_sum_has_what_else_a_process_holds_at_its_peak(configuration: Path) -> None:
    asked = of("undial")
    unembedding = 4 * tiny_model().get_output_embeddings().weight.numel()
    here, on_gpu = (estimate(asked, configuration, half=False, on_cpu=which) for which in (True, False))
    assert here.parts["this process"] == PROCESS and "this process" not in on_gpu.parts
    assert on_gpu.parts["unembedding of the base"] == unembedding
    assert on_gpu.total == sum(on_gpu.parts.values())
    assert on_gpu.line().endswith(f"together {on_gpu.total / 2**20:.1f}") and "without" not in on_gpu.line()


def test_what_is_kept_of_the_base_is_counted_by_text_on_disk(configuration: Path) -> None:
    width, tokens = 32, 16
    kept = {
        method: estimate(of(method), configuration, half=False).cache_per_text
        for method in ("rmu", "npo", "undial", "grad_diff")
    }
    assert kept == {"rmu": 2 * 4 * tokens * width, "npo": 8, "undial": 4 * tokens * width, "grad_diff": 0}


def test_reading_the_base_can_be_the_peak_and_evaluations_meet_the_optimizer(configuration: Path) -> None:
    """Of 16 rows of 16 tokens: logits and their log-softmax, three times 320 numbers a token, beside one adapter's step."""
    asked = of("npo", lora_rank=2, batch_size=1)
    plan = estimate(asked, configuration, half=False, on_cpu=False).parts
    reading = "reading held-out texts and the base, beyond a step"
    assert sum(plan.values()) - plan["weights"] >= 3 * 4 * 16 * 15 * 320 and plan[reading] > 0
    often = replace(asked, training=replace(asked.training, eval_interval=1))
    assert estimate(often, configuration, half=False, on_cpu=False).parts[reading] == plan[reading] + plan["optimizer"]


def test_short_texts_need_less_and_weights_of_terms_change_nothing(configuration: Path) -> None:
    whole, short = (estimate(of("grad_diff"), configuration, False, longest) for longest in (None, 4))
    assert short.total < whole.total
    sweep_memory._estimated.cache_clear()
    first = estimate(of("grad_diff", lr=1e-3, forget_weight=2.0), configuration, False)
    assert first == whole and estimate(of("grad_diff", seed=7, max_steps=9), configuration, False) is first


def test_of_a_hub_model_only_the_configuration_is_fetched(configuration: Path, monkeypatch) -> None:
    asked_for = []

    def snapshot(identifier, revision, patterns):
        asked_for.append((identifier, revision, tuple(patterns)))
        return configuration

    monkeypatch.setattr(references, "_snapshot", snapshot)
    found = estimate(of("npo"), "someone/model@main", half=False)
    assert asked_for == [("someone/model", "main", ("config.json",))] and found.total > PROCESS


def test_layers_that_the_model_lacks_are_refused(configuration: Path) -> None:
    with pytest.raises(BadInput, match="--layer-id: 5 is outside"):
        estimate(of("rmu", layer_id=(5,)), configuration, half=False)


def test_a_model_that_cannot_be_rehearsed_is_planned_without_activations(configuration: Path, monkeypatch) -> None:
    asked = of("grad_diff")

    def looks_at_numbers(_settings, step):
        return {"loss": step.forward("forget").sum() * float(step.forward("retain").detach().sum())}

    monkeypatch.setattr(asked.module, "loss", looks_at_numbers)
    sweep_memory._estimated.cache_clear()
    plan = estimate(asked, configuration, half=False)
    sweep_memory._estimated.cache_clear()
    assert "without activations: this model cannot be rehearsed (DataDependentOutputException" in plan.line()
    assert plan.parts["gradients"] == plan.parts["weights"]


# ---------------------------------------------------------------- groups of GPUs

HELD = 40 * GIB


@pytest.mark.parametrize(
    ("gib", "number", "named", "expected"),
    [
        (10, 8, None, 1), (39.5, 8, None, 1), (39.6, 8, None, 2), (100, 8, None, 4), (316, 8, None, 8), (316, 16, None, 8),
        (500, 16, None, 16), (60, 6, None, 2), (10, 3, None, 1), (100, 8, 1, 1), (100, 8, 3, 3), (None, 8, None, 1), (10, 0, None, 0),
    ],
)  # fmt: skip
def test_the_smallest_power_of_two_that_holds_it_and_divides_the_number(gib, number, named, expected) -> None:
    assert group(gib and gib * GIB, HELD, number, named) == expected


@given(st.floats(0, 2000), st.integers(1, 64))
def test_a_group_divides_the_number_and_none_smaller_would_do(gib: float, number: int) -> None:
    try:
        found = group(gib * GIB, HELD, number)
    except BadInput:
        found = 32
        assert gib * GIB > max(n for n in (1, 2, 4, 8, 16) if number % n == 0) * (HELD - CONTEXT)
    else:
        assert number % found == 0 and found * (HELD - CONTEXT) >= gib * GIB
    assert all(n * (HELD - CONTEXT) < gib * GIB for n in (1, 2, 4, 8, 16) if n < found and number % n == 0)


@pytest.mark.parametrize(
    ("gib", "number", "named", "words"),
    [
        (400, 8, None, "needs 400.0 GiB, and the largest group, 8 of 8 GPUs, has 316.0; try --lora-rank 16, --weight-dtype bf16"),
        (100, 6, None, "the largest group, 2 of 6 GPUs, has 79.0; groups of GPUS_PER_JOB=6 are possible; try"),
        (1, 8, 9, "GPUS_PER_JOB is 9, and there are 8 GPUs; name 1 to 8"),
        (1, 8, 0, "GPUS_PER_JOB is 0"),
    ],
)  # fmt: skip
def test_what_no_group_holds_is_refused_in_one_line(gib, number, named, words: str) -> None:
    with pytest.raises(BadInput) as problem:
        group(gib * GIB, HELD, number, named)
    assert words in str(problem.value) and "\n" not in str(problem.value)


def test_the_line_has_the_rule_of_thumb_beside_the_plan() -> None:
    plan = Estimate({"weights": 10 * GIB, "activations and logits": 20 * GIB}, 0.0)
    assert grouped(plan, HELD, 8) == (
        1, "1 of 8 GPUs a training, by the memory plan: planned 30.0 GiB, by the rule of thumb (4.5 times the weights) 45.0 GiB on 2, of 40.0 GiB each",
    )  # fmt: skip
    assert grouped(plan, HELD, 8, named=4)[1].startswith("4 of 8 GPUs a training, by GPUS_PER_JOB: planned 30.0 GiB")
    assert grouped(plan, 0, 0) == (0, "no GPU here: trainings share the processor cores")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [80, 40, 24]), ("", []), ("2,0", [24, 80]), ("GPU-b", [40]), ("0,7,1", [80]), ("-1", []),
    ],
)  # fmt: skip
def test_gpus_are_those_that_a_program_would_see(visible, expected, tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0, GPU-a1, 81920\\n1, GPU-b2, 40960\\n2, GPU-c3, 24576\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == [size * GIB for size in expected]


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found", None])
def test_without_a_gpu_or_its_program_there_are_none(script, tmp_path: Path, monkeypatch) -> None:
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))
    assert gpus() == []


def test_groups_need_no_torch() -> None:
    code = "import sys; from brittle.sweeps.memory import gpus, group; gpus(), group(1, 2**40, 8); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


# ---------------------------------------------------------------- beside what was measured

CASES = [("rmu", 0), ("npo", 8), ("wt_dist_reg", 0)]


@pytest.fixture(scope="module")
def on_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import memory_on_cpu

        yield memory_on_cpu


@pytest.fixture(scope="module")
def shapes(on_cpu, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    on_cpu.prepare(folder, "tiny")
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident sets as Linux counts them")
@pytest.mark.skipif(not torch.version.cuda, reason="PROCESS was measured with a CUDA build of torch")
@pytest.mark.parametrize(("method", "rank"), CASES)
def test_a_tiny_training_holds_what_is_planned(method: str, rank: int, on_cpu, shapes: Path) -> None:
    case = on_cpu.Case("tiny", method, rank)
    row = on_cpu.compared(case, shapes, on_cpu.measured(case, shapes))
    assert row["planned_mib"] == pytest.approx(row["peak_mib"], rel=0.2)


def test_plans_are_near_the_peaks_that_were_measured_and_are_still_what_is_planned(on_cpu, tmp_path: Path) -> None:
    """``benchmarks/memory_on_cpu.py`` wrote the file; a fifth is what a plan may be off."""
    rows = [json.loads(line) for line in (BENCHMARKS / "results" / "memory_on_cpu.jsonl").read_text().splitlines()]
    cases = [case for size in on_cpu.SHAPES for case in on_cpu.cases(size)]
    assert [{name: row[name] for name in case.name} for row, case in zip(rows, cases)] == [case.name for case in cases]
    assert all(abs(row["planned_mib"] / row["peak_mib"] - 1) <= 0.2 for row in rows)
    on_cpu.prepare_configuration(tmp_path, "160M")
    for row, case in zip(rows, cases):
        if (case.size, case.method) == ("160M", "rmu"):
            assert on_cpu.planned(case, tmp_path).total / 2**20 == pytest.approx(row["planned_mib"], rel=0.02)


def swept(configuration: Path, text: str) -> tuple[list[Configuration], Stage | None]:
    path = configuration.parent / "sweep.yaml"
    path.write_text(f"base: {configuration}\nset: {{merge: true, device: cpu, max_length: 16, batch_size: 2}}\n{text}")
    found = read(str(path))
    return configurations(found, {}), found.attack


def test_an_attack_that_holds_more_than_making_decides(configuration: Path) -> None:
    adapters = "models:\n  - {method: npo, lora_rank: 2}\n"
    texts = "attack_batch_size: 8, attack_max_length: 16"
    own, attack = swept(configuration, f"{adapters}attack: {{names: 'relearning,quantization', {texts}}}\n")
    name, plan = attacked(own[0], attack)
    assert name == "relearning" and plan is not None
    step = estimate(of("ga_simple", batch_size=8, max_length=16), configuration, half=False)
    assert plan.parts == {**step.parts, "the base beside it": step.parts["weights"]}  # a trajectory compares with it
    _, alone = swept(configuration, f"{adapters}attack: {{names: relearning, trajectory_steps: none, {texts}}}\n")
    assert attacked(own[0], alone)[1].parts["the base beside it"] == 0
    made = planned(own[0])
    assert made.total < plan.total
    found = groups(own, attack=attack)
    assert found.largest == plan.total and found.lines[0].startswith("relearning on npo: memory plan")
    for nothing in (None, swept(configuration, f"{adapters}attack: [quantization]\n")[1]):
        assert attacked(own[0], nothing) == ("", None)
        assert groups(own, attack=nothing).largest == made.total


def test_a_search_is_planned_with_the_largest_batch_that_it_draws(configuration: Path) -> None:
    own, attack = swept(
        configuration,
        "models: [{method: npo, lora_rank: 2}]\nattack: {names: relearning_search, attack_max_length: 16}\n",
    )
    drawn = [relearning_search.describe(relearning_search.Settings(), number)["batch_size"] for number in range(12)]
    step = estimate(of("ga_simple", batch_size=max(drawn), max_length=16), configuration, half=False)
    plan = attacked(own[0], attack)[1]
    assert plan.total == step.total and max(drawn) == 32
