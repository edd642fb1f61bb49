"""What people reported of tools that unlearn: runs that overwrite each other, data that is ignored, chance without a seed."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import TEXTS, tiny_model_folder

from brittle.command_line import main
from brittle.records import read_record
from brittle.runs import saving, stages, unlearning, unlearning_identity, unlearning_plan, unlearning_settings
from brittle.settings import BadInput

PROGRAM = str(Path(__file__).parent.parent / "unlearn" / "unlearn.py")
DOCUMENTED = "EleutherAI_deep-ignorance-unfiltered__cb_lat__ep1_lr1e-05_bs4_a100.0_sc20.0_le0.1_ls5_ly5-6-7"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model, two files of forget texts and the documented ones, in the current folder."""
    tiny_model_folder(tmp_path / "base")
    words = " ".join(TEXTS).split()
    for name, first in (("data/forget", 0), ("data/retain", 9), ("a", 0), ("b", 5)):
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(" ".join(words[start : start + 7]) for start in range(first, first + 16)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


FLAGS = {"model": "base", "method": "grad_diff", "device": "cpu", "max_steps": 1, "max_length": 16, "no_eval": True}


def planned(environment: dict[str, str] | None = None, **changes) -> unlearning_plan.Plan:
    return unlearning_plan.plan(FLAGS | changes, environment)


def made(**changes) -> unlearning_plan.Plan:
    chosen = planned(**changes)
    unlearning.make_model(chosen, lambda _: None)
    return chosen


def refusal(action, *arguments, **named) -> str:
    with pytest.raises(BadInput) as caught:
        action(*arguments, **named)
    return str(caught.value)


def test_a_flag_the_environment_and_a_default_are_one_run(place) -> None:
    folders = {
        planned(forget_data="a.txt").folder, planned({"FORGET_DATA": "a.txt"}).folder,
        planned({"FORGET_DATA": "b.txt"}, forget_data="a.txt").folder,
    }  # fmt: skip
    assert len(folders) == 1
    assert planned({"FORGET_DATA": "b.txt"}).folder not in folders
    named = planned({"RETAIN_DATA": "./data/retain.txt"}, forget_data=str(place / "data" / "forget.txt"))
    assert named.folder == planned().folder and "_data" not in named.folder.name
    assert named.identity == planned().identity
    (place / "c.txt").write_bytes((place / "a.txt").read_bytes())
    assert planned(forget_data="c.txt").folder in folders  # the texts decide, not the file's name


def test_the_documented_name_is_that_of_the_documented_run(place, monkeypatch) -> None:
    deep = tiny_model_folder(place / "deep", num_hidden_layers=8)
    hub = unlearning_plan.laboratory_models.find(str(deep))
    documented = unlearning_identity.dataclasses.replace(
        hub, text=unlearning_settings.DEFAULT_BASE, name="EleutherAI_deep-ignorance-unfiltered"
    )
    monkeypatch.setattr(unlearning_plan.laboratory_models, "find", lambda text: documented)
    monkeypatch.setattr(unlearning_plan.unlearning_checks, "within_context", lambda base, training: training)
    for given, environment in (
        ({"method": "cb_lat"}, None),
        ({"method": "cb_lat", "device": "cpu", "dtype": "fp32", "forget_data": "data/forget.txt"}, {}),
        ({"method": "cb_lat", "checkpoint_interval": 7, "no_save": True, "eval_interval": 3}, {"EVAL_TASKS": "mmlu"}),
        (
            {"method": "cb_lat", "gradient_checkpointing": False},
            {"BASE": unlearning_settings.DEFAULT_BASE, "LAYER_ID": "5-6-7"},
        ),
    ):
        assert unlearning_plan.plan(given, environment).folder == Path("unlearned_models") / DOCUMENTED
    changed = unlearning_plan.plan({"method": "cb_lat"}, {"EPOCHS": "2", "LR": "5e-6"}).folder.name
    assert changed == DOCUMENTED.replace("ep1_lr1e-05", "ep2_lr5e-06")


CHANGES: dict[str, dict] = {
    "texts": {"forget_data": "b.txt"}, "retain texts": {"retain_data": "b.txt"}, "type": {"dtype": "bf16"},
    "algorithms": {"deterministic": True}, "chunks": {"loss_chunk": 8}, "share": {"eval_split": 0.2}, "seed": {"seed": 7},
    "stop": {"stop_on_collapse": True, "eval_interval": 1}, "stop later": {"stop_on_collapse": True, "eval_interval": 2},
    "adapters": {"lora_rank": 2}, "merged": {"lora_rank": 2, "merge": True}, "alpha": {"lora_rank": 2, "lora_alpha": 4.0},
    "weights": {"weight_dtype": "bf16"}, "length": {"max_length": 12}, "steps": {"max_steps": 2},
}  # fmt: skip


def test_what_changes_weights_is_in_the_name_and_what_does_not_in_neither(place) -> None:
    usual = planned()
    plans = {words: planned(**changes) for words, changes in CHANGES.items()} | {"nothing": usual}
    assert len({plan.folder for plan in plans.values()}) == len({p.identity.fingerprint for p in plans.values()}) == 16
    for same in (
        {"eval_interval": 3}, {"checkpoint_interval": 1}, {"gradient_checkpointing": True}, {"no_save": True},
        {"dtype": "fp32"}, {"eval_limit": 3}, {"push_to_hub": True}, {"resume": True}, {"preset": None},
    ):  # fmt: skip
        plan = planned(**same)
        assert (plan.folder, plan.identity) == (usual.folder, usual.identity), same


def test_settings_outside_the_identity_change_no_bit(place) -> None:
    usual = made(outdir="usual", max_steps=3)
    for number, same in enumerate(({"eval_interval": 1}, {"checkpoint_interval": 1}, {"gradient_checkpointing": True})):
        other = made(outdir=f"other{number}", max_steps=3, **same)
        assert weights(other) == weights(usual), same
    assert weights(made(outdir="usual", max_steps=3, seed=7)) != weights(usual)


def weights(plan: unlearning_plan.Plan) -> bytes:
    return next(plan.folder.glob("*.safetensors")).read_bytes()


def test_two_bases_of_one_last_name_have_folders_of_their_own(place) -> None:
    names = set()
    for number in (1, 2):
        tiny_model_folder(place / f"run{number}" / "checkpoint-500", seed=number)
        names.add(made(model=f"run{number}/checkpoint-500").folder.name)
    assert len(names) == 2


def test_a_finished_model_is_replaced_by_force_alone(place) -> None:
    first = made()
    before = weights(first)
    (place / "data" / "forget.txt").write_text("\n".join(TEXTS[0].split()[n] + " fox dog" for n in range(9)))
    line = refusal(unlearning.make_model, planned())
    assert "the forget texts" in line and "--force" in line and str(first.folder) in line
    assert weights(first) == before
    assert refusal(stages.finished, planned()) == line
    with pytest.raises(SystemExit, match="^2$"):
        main("unlearn", ["--model", "base", "--method", "grad_diff", "--device", "cpu", "--max-steps", "1",
                         "--max-length", "16", "--no-eval", "--check-wandb-only"])  # fmt: skip
    made(force=True)
    assert weights(first) != before
    assert read_record(first.folder)["inputs"]["forget"] == planned().identity.inputs["forget"]
    unlearning.make_model(planned())


def test_a_model_of_other_code_counts_with_a_warning_unless_strict(place, monkeypatch, capsys) -> None:
    first = made()
    before = os.stat(first.folder / "record.json").st_mtime_ns
    monkeypatch.setattr(unlearning_identity.source, "digest_of", lambda *_, **__: "another")
    stages._say_once.cache_clear()
    assert stages.finished(planned())
    assert capsys.readouterr().err.count("other code") == 1
    unlearning.make_model(planned())
    assert os.stat(first.folder / "record.json").st_mtime_ns == before
    assert "Brittle's code" in refusal(unlearning.make_model, planned(strict=True))


def test_what_no_record_lists_stays(place) -> None:
    folder = planned().folder
    folder.mkdir(parents=True)
    (folder / "thesis.md").write_text("mine")
    assert "thesis.md" in refusal(unlearning.make_model, planned())
    assert "thesis.md" in refusal(unlearning.make_model, planned(force=True))
    assert (folder / "thesis.md").read_text() == "mine"


def test_names_stay_short_over_rounds_of_unlearning(place) -> None:
    model = "base"
    for _ in range(3):
        plan = made(
            model=model,
            checkpoint_interval=1,
            seed=123456,
            train_layers=(0, 1),
            train_only=("qkv", "proj", "mlp_expand", "mlp_contract"),
        )
        assert len(plan.folder.name.encode()) <= unlearning_identity.LONGEST_NAME
        model = str(plan.folder)
    long = unlearning_identity.shortened("ä" * 150, 200)
    assert len(long.encode()) <= 200 and long.startswith("ää") and long != unlearning_identity.shortened("ä" * 151, 200)


def test_a_laboratory_base_uses_the_texts_that_are_named(place, monkeypatch) -> None:
    monkeypatch.setattr(
        unlearning_plan.laboratory_models, "find", lambda text: unlearning_plan.laboratory_models.locate("base")
    )
    own = planned(model="laboratory:base")
    assert "_data" not in own.folder.name and "fox" not in own.texts["forget"][0]
    named = planned({"FORGET_DATA": "a.txt"}, model="laboratory:base")
    assert named.texts["forget"] == (place / "a.txt").read_text().splitlines()
    assert named.texts["retain"] == own.texts["retain"]
    assert (
        named.folder != own.folder and named.folder != planned({"FORGET_DATA": "b.txt"}, model="laboratory:base").folder
    )
    usual = planned({"FORGET_DATA": "data/forget.txt"}, model="laboratory:base")
    assert usual.texts["forget"] == (place / "data" / "forget.txt").read_text().splitlines()


def with_flags(*flags: str, fresh: bool = False) -> bytes:
    """The weights that the program makes, in this process or in a fresh one."""
    outdir = f"out{len(list(Path().glob('out*')))}"
    given = "--model base --device cpu --max-steps 2 --max-length 16 --no-eval --lr 1e-3"
    if fresh:
        result = subprocess.run(
            [sys.executable, PROGRAM, *given.split(), "--outdir", outdir, *flags], env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    else:
        torch.rand(7), np.random.rand(7), random.random()  # whoever draws without a seed goes on from here
        with pytest.raises(SystemExit, match="^0$"):
            main("unlearn", [*given.split(), "--outdir", outdir, *flags])
    (file,) = Path(outdir).glob("*/*.safetensors")
    return file.read_bytes()


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "flags", ["--method grad_diff --lora-rank 2", "--method wt_dist", "--method cb_lat --layer-id 0-1"]
)
def test_every_draw_has_its_seed(place, flags) -> None:
    first = with_flags(*flags.split())
    assert first == with_flags(*flags.split())
    assert first == with_flags(*flags.split(), fresh=True)
    assert with_flags(*flags.split(), "--seed", "7") != first


def test_adapters_start_from_the_seed_and_leave_the_callers_chance_alone(place) -> None:
    from tiny_loaded import tiny_loaded

    from brittle.models.adapters import add_adapters

    found = []
    for state, seed in ((1, 5), (2, 5), (2, 6)):
        torch.manual_seed(state)
        expected = torch.rand(3)
        torch.manual_seed(state)
        loaded = tiny_loaded()
        torch.manual_seed(state)
        add_adapters(loaded.model, loaded.anatomy, 2, 4.0, seed=seed)
        assert torch.equal(torch.rand(3), expected)
        found.append(next(p for name, p in loaded.model.named_parameters() if "lora_A" in name))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_the_tokenizer_is_the_bases_byte_for_byte(place) -> None:
    for outdir, flags in (("whole", {}), ("adapters", {"lora_rank": 2}), ("merged", {"lora_rank": 2, "merge": True})):
        folder = made(outdir=outdir, **flags).folder
        for path in (place / "base").glob("tokenizer*"):
            assert (folder / path.name).read_bytes() == path.read_bytes(), (outdir, path.name)


def test_texts_with_nothing_to_predict_have_no_part_in_the_mean(place) -> None:
    from tiny_loaded import tiny_loaded

    from brittle.runs import unlearning_preparation, unlearning_training

    loaded = tiny_loaded()
    alone = unlearning_preparation.likelihoods(loaded, {"one": ["a fox"], "two": ["the dog"]}, 16)
    found = unlearning_preparation.likelihoods(loaded, {"forget": ["a fox", "x", "", "the dog"], "none": []}, 16)
    assert found == {"forget_nll": pytest.approx((alone["one_nll"] + alone["two_nll"]) / 2)}
    assert unlearning_training.collapsed({"retain_nll": 1.0}, {"retain_nll": float("nan")})


def test_before_is_the_base_not_the_base_with_noise(place) -> None:
    noisy = json.loads((made(method="wt_dist", wt_noise_std=0.5).folder / "summary.json").read_text())
    plain = json.loads((made(method="grad_diff").folder / "summary.json").read_text())
    assert noisy["retain_nll_before"] == plain["retain_nll_before"]


def test_weights_that_are_no_numbers_are_not_saved(place, monkeypatch) -> None:
    from brittle.methods import task_vector

    def broken(_settings, model, _initial) -> None:
        with torch.no_grad():
            list(model.parameters())[-1][0] = torch.nan

    monkeypatch.setattr(task_vector, "finish", broken)
    assert "NaN" in refusal(made, method="task_vector")
    assert not planned(method="task_vector").folder.exists()


def test_files_of_one_text_each(place) -> None:
    (place / "data" / "forget.txt").write_text("the quick brown fox jumps\nx\n")
    assert "two tokens" in refusal(made, eval_split=0.5)
    (place / "data" / "forget.txt").write_text("the quick brown fox jumps\n")
    for share in (0.0, 1e-300, 0.999999):
        assert load_file(made(eval_split=share, outdir=f"share{share}").folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"batch_size": 10**5}, "--batch-size"), ({"batch_size": 10**30}, "--batch-size"),
        ({"grad_accum_steps": 10**30}, "--grad-accum-steps"), ({"lora_rank": 33}, "--lora-rank"),
        ({"lora_rank": 10**30}, "--lora-rank"), ({"max_length": 65}, "--max-length"), ({"max_length": 10**30}, "--max-length"),
        ({"epochs": 10**30}, "--epochs"), ({"max_steps": 10**30}, "--max-steps"), ({"train_layers": (0, 2)}, "--train-layers"),
        ({"train_layers": (10**30,)}, "--train-layers"), ({"lr": 1e39}, "--lr"), ({"seed": 2**64}, "--seed"),
        ({"method": "rmu"}, "--layer-id"), ({"method": "lat", "layer_id": (0,), "lat_steps": 10**9}, "--lat-steps"),
        ({"method": "tar", "tar_inner_steps": 10**9}, "--tar-inner-steps"), ({"train_only": ("mlp",)}, "--train-only"),
        ({"lora_alpha": 3.0}, "--lora-alpha"), ({"loss_chunk": 10**30}, "--loss-chunk"),
    ],
)  # fmt: skip
def test_what_is_out_of_all_bounds_is_refused_before_weights_are_loaded(place, monkeypatch, changes, flag) -> None:
    from brittle.models import loading

    monkeypatch.setattr(loading, "load", None)
    line = refusal(planned, **changes)
    assert flag in line and len(line) < 250
    assert not (place / "unlearned_models").exists()


@pytest.mark.parametrize(
    "content", ["", "method,seed\n", "method,seed\nga,1\n", "\x00\x01", 'method,seed\n"ga,1\n', None]
)
def test_a_broken_table_of_measurements_is_named_in_one_line(place, capsys, content) -> None:
    text = content
    if content is None:  # whole, but for one word where a number belongs
        text = (Path(__file__).parent.parent / "benchmarks" / "results" / "methods.csv").read_text()
        first = text.splitlines()[1].split(",")
        text = text.replace(",".join(first), ",".join([*first[:2], "many", *first[3:]]))
    Path("broken.csv").write_text(text)
    with pytest.raises(SystemExit, match="^2$"):
        main("methods", ["--page", "page.md", "--results", "broken.csv"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "broken.csv" in error and not Path("page.md").exists()


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_disk_that_is_full_at_the_end_does_not_lose_the_training(place, monkeypatch, capsys, elsewhere) -> None:
    """The weights go below BRITTLE_HOME, if there is room; if not, the last checkpoint stays, and both are said."""
    monkeypatch.setenv("BRITTLE_HOME", str(place / "home"))
    (place / "home").mkdir()
    written = saving.save

    def full(model, tokenizer, folder, base) -> None:
        (folder / "model.safetensors").write_bytes(b"half of")
        if not elsewhere or (place / "home") not in folder.parents:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        written(model, tokenizer, folder, base)

    monkeypatch.setattr(saving, "save", full)
    asked = {"max_steps": 3, "checkpoint_interval": 2}
    flags = (
        "--model base --method grad_diff --device cpu --max-length 16 --no-eval --max-steps 3 --checkpoint-interval 2"
    )
    with pytest.raises(SystemExit, match="^2$"):
        main("unlearn", flags.split())
    said, chosen = capsys.readouterr().err, planned(**asked)
    assert "No space left on device" in said and not chosen.folder.exists()
    kept = sorted((place / "home" / "rescued").glob("[!.]*")) if elsewhere else []
    if not elsewhere:
        assert "the same command with --resume goes on after step 2, the last checkpoint" in said
        assert not (place / "home" / "rescued").exists()
    monkeypatch.setattr(saving, "save", written)
    made(**asked, resume=True)
    expected = load_file(chosen.folder / "model.safetensors")
    for folder in kept:
        assert str(folder) in said
        found = load_file(folder / "model.safetensors")
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(kept) == elsewhere


def test_whether_a_model_is_finished_is_said_without_building_what_it_would_be_made_from(
    place, monkeypatch, capsys
) -> None:
    from brittle.runs import laboratory_models

    monkeypatch.setenv("BRITTLE_HOME", str(place / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(laboratory_models, "build", lambda *_: pytest.fail("nothing needs the base"))
    asked = [
        "--model",
        "laboratory:base@tiny-7",
        "--method",
        "grad_diff",
        "--preset",
        "laboratory",
        "--check-wandb-only",
    ]
    with pytest.raises(SystemExit, match="^1$"):
        main("unlearn", asked)
    assert "not finished: laboratory:base@tiny-7, which it is made from, is not built here" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="^2$"):  # what does not fit is refused all the same
        main("unlearn", [*asked, "--merge"])
    assert not (place / "home" / "laboratory").exists()
