"""What people report of tools of this kind, about weights: each number against torch, each refusal in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pandas
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import TEXTS, tiny_model, tiny_model_folder, tiny_tokenizer

from brittle import discovery
from brittle.command_line import main
from brittle.models import references
from brittle.models.checkpoints import matrix_pairs
from brittle.models.construction import save
from brittle.models.devices import mixed_precision, what_runs
from brittle.models.inventory import inventory
from brittle.models.loading import check_same_vocabulary, load
from brittle.models.references import LONGEST_NAME, locate
from brittle.records import read_record
from brittle.settings import BadInput

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
DENSE = "gpt_neox.layers.1.attention.dense.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model_folder(tmp_path / "model")


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(BadInput) as caught:
        action()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    return str(caught.value)


def refused_everywhere(folder: Path, other: Path) -> str:
    """The message of loading; comparing refuses too, whichever side the model is."""
    message = refused(lambda: load(locate(str(folder)), device="cpu"))
    for pair in ((folder, other), (other, folder)):
        refused(lambda pair=pair: list(matrix_pairs(*pair)))
    return message


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    tensors = load_file(folder / SINGLE)
    tensors = change(tensors) or tensors
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / SINGLE, {"format": "pt"})
    return folder


def configure(folder: Path, **changes: Any) -> Path:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))
    return folder


def logits(folder: Path) -> torch.Tensor:
    loaded = load(locate(str(folder)), device="cpu")
    with torch.no_grad():
        return loaded.model(**loaded.tokenizer(TEXTS[0], return_tensors="pt", return_token_type_ids=False)).logits


# What is loaded is what the digest covers.


def test_an_adapter_beside_whole_weights_is_refused_and_never_added(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    adapter = peft.get_peft_model(tiny_model(), peft.LoraConfig(r=2, target_modules=["dense"], init_lora_weights=False))
    adapter.save_pretrained(tmp_path / "adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tmp_path / "adapter" / name, folder)
    assert "adapter" in refused(lambda: locate(str(folder)))
    (folder / "adapter_config.json").unlink()
    assert torch.equal(logits(folder), logits(tiny_model_folder(tmp_path / "alone")))


def test_an_adapter_on_the_hub_is_noticed_before_the_weights_arrive(folder: Path, monkeypatch: Any) -> None:
    (folder / "adapter_config.json").write_text("{}")
    asked: list[list[str]] = []

    def hub(_identifier: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert "adapter" in refused(lambda: locate("someone/model"))
    assert len(asked) == 1 and "adapter_config.json" in asked[0]


def test_only_files_of_the_digest_are_read(folder: Path) -> None:
    """Other weights, code and pickles beside the model's own neither change its digest nor what it answers."""
    digest, expected = locate(str(folder)).digest, logits(folder)
    shards = tiny_model_folder(folder.parent / "sharded", seed=1)
    tiny_model(seed=1).save_pretrained(shards, max_shard_size="20KB")
    for path in (*shards.glob("model-*.safetensors"), shards / INDEX):
        shutil.copy(path, folder)
    for name in ("pytorch_model.bin", "modeling_gpt_neox.py", "README.md", "processor_config.json"):
        (folder / name).write_text("{}")
    assert locate(str(folder)).digest == digest
    assert torch.equal(logits(folder), expected)


def test_a_configuration_that_names_other_weights_is_refused(folder: Path) -> None:
    shutil.copy(tiny_model_folder(folder.parent / "other", seed=1) / SINGLE, folder / "other.safetensors")
    configure(folder, transformers_weights="other.safetensors")
    refused(lambda: load(locate(str(folder)), device="cpu"))


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "merges.txt", "chat_template.jinja", "additional_chat_templates/tool.jinja", SINGLE,
    ],
)  # fmt: skip
def test_the_digest_covers_every_file_that_decides_weights_or_tokens(name: str, folder: Path) -> None:
    before, path = locate(str(folder)).digest, folder / name
    path.parent.mkdir(exist_ok=True)
    if name == SINGLE:
        rewrite(folder, lambda tensors: tensors[DENSE][0, 0].add_(1) and None)
    elif name == "config.json":
        configure(folder, hidden_act="relu")
    else:
        path.write_text((path.read_text() if path.is_file() else "{}") + "\n")
    assert locate(str(folder)).digest != before


def test_an_edit_that_keeps_size_and_time_is_noticed(folder: Path) -> None:
    before, times = locate(str(folder)).digest, (folder / SINGLE).stat()
    rewrite(folder, lambda tensors: tensors[DENSE][0, 0].add_(1) and None)
    os.utime(folder / SINGLE, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (folder / SINGLE).stat().st_size == times.st_size
    assert locate(str(folder)).digest != before


# Stored numbers that are not the weights.


def block_scaled(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    scale = tensors[DENSE].abs().max() / 448
    tensors[DENSE.replace("weight", "weight_scale_inv")] = scale.reshape(1, 1)
    tensors[DENSE] = (tensors[DENSE] / scale).to(torch.float8_e4m3fn)
    return tensors


def scaled_in_half(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors[DENSE.replace("weight", "weight_scale")] = torch.tensor([0.01], dtype=torch.float16)
    tensors[DENSE] = (tensors[DENSE] / 0.01).half()
    return tensors


def as_type(kind: torch.dtype) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors | {DENSE: tensors[DENSE].to(kind)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (block_scaled, "F8_E4M3"), (scaled_in_half, "weight_scale"), (as_type(torch.int8), "I8"),
        (as_type(torch.bool), "BOOL"), (as_type(torch.int64), "I64"),
    ],
)  # fmt: skip
def test_codes_and_scaled_numbers_are_refused(change: Any, words: str, folder: Path) -> None:
    other = tiny_model_folder(folder.parent / "other", seed=1)
    rewrite(folder, change)
    assert words in refused_everywhere(folder, other)


@pytest.mark.parametrize(
    "settings",
    [
        {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}},
        {"quantization_config": {"quant_method": "awq", "bits": 4}},
        {"quantization_config": {"load_in_4bit": True, "quant_method": "bitsandbytes"}},
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
        {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}}},
        {"quantization_config": {"quant_method": "never heard of"}},
        {"compression_config": {"quant_method": "compressed-tensors"}},
        {"quantization": {"group_size": 64, "bits": 4}},
    ],
)
def test_a_configuration_of_quantised_weights_is_one_line(settings: dict[str, Any], folder: Path) -> None:
    assert "unquantised" in refused(lambda: locate(str(configure(folder, **settings))))


# Rounding between storage types is no update.


def low_rank_update(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Adds a rank-two change of 3 % to the attention outputs of both layers; the changes by name."""
    generator = torch.Generator().manual_seed(seed)
    changes: dict[str, torch.Tensor] = {}

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in (DENSE, DENSE.replace("layers.1", "layers.0")):
            matrix = tensors[name]
            update = torch.randn(matrix.shape[0], 2, generator=generator) @ torch.randn(
                2, matrix.shape[1], generator=generator
            )
            changes[name] = update * (0.03 * matrix.norm() / update.norm())
            matrix += changes[name]

    rewrite(folder, change)
    return changes


def step_1(a: Path, b: Path, **options: Any) -> Any:
    module = discovery.find("diagnostics", "weight_comparison").load()
    fitter = module.Fitter(module.Settings())
    for pair in matrix_pairs(a, b, everything=True, **options):
        fitter.update(pair)
    return fitter.finish()


def rows_of(findings: Any, table: str = "per_matrix") -> pandas.DataFrame:
    return pandas.DataFrame(findings.tables[table]).set_index("name" if table == "per_matrix" else "layer")


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rounded_side", ["base", "modified"])
def test_a_model_saved_in_half_beside_its_base_shows_its_own_update(kind: Any, rounded_side: str, folder: Path) -> None:
    modified = Path(shutil.copytree(folder, folder.parent / "modified"))
    changes = low_rank_update(modified)
    exact = step_1(folder, modified)
    rewrite(folder if rounded_side == "base" else modified, lambda tensors: {n: t.to(kind) for n, t in tensors.items()})
    found, rows = step_1(folder, modified), rows_of(step_1(folder, modified))
    assert found.summary["changed_matrices"] == exact.summary["changed_matrices"] == 2
    for name, change in changes.items():
        values = torch.linalg.svdvals(change.double())
        expected = float(values.square().sum() / values[0] ** 2)
        assert rows.loc[name, "dW_stable_rank"] == pytest.approx(expected, rel=0.05)
        assert rows.loc[name, "dW_fro"] == pytest.approx(float(change.norm()), rel=0.02)
    assert (rows.drop(list(changes))["dW_fro"] == 0).all()
    assert found.summary["mean_stable_rank"] == pytest.approx(exact.summary["mean_stable_rank"], rel=0.05)
    words = str(kind).removeprefix("torch.")
    sides = (words, "float32") if rounded_side == "base" else ("float32", words)
    assert found.summary["stored_as"] == dict(zip("ab", sides)) and found.summary["compared_at"] == words
    assert exact.summary["stored_as"] == {"a": "float32", "b": "float32"} and "compared_at" not in exact.summary


def test_roundings_of_one_model_to_two_half_types_are_no_change(folder: Path) -> None:
    """float16 rounded to bfloat16 is not always what float32 rounded to it is; the difference counts as none."""
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    rewrite(folder, lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()})
    rewrite(other, lambda tensors: {name: tensor.half() for name, tensor in tensors.items()})
    found = step_1(folder, other)
    assert (rows_of(found)["dW_fro"] > 0).any(), "else this shows nothing"
    assert (found.summary["changed_matrices"], found.summary["mean_stable_rank"]) == (0, 0.0)
    assert found.summary["matrices_within_rounding"] > 0


def test_a_change_below_rounding_counts_as_none_and_a_sparse_one_counts(folder: Path) -> None:
    faint, sparse = (Path(shutil.copytree(folder, folder.parent / name)) for name in ("faint", "sparse"))

    def few(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors[DENSE][3, :4] += 0.05
        return {name: tensor.bfloat16() for name, tensor in tensors.items()}

    def all_by_little(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        moved = tensors[DENSE] * (1 + 1e-4)
        return {name: (moved if name == DENSE else tensor).bfloat16() for name, tensor in tensors.items()}

    rewrite(faint, all_by_little)
    rewrite(sparse, few)
    one, two = step_1(folder, faint), step_1(folder, sparse)
    assert rows_of(one).loc[DENSE, "dW_fro"] > 0 and rows_of(one).loc[DENSE, "within_rounding"]
    assert (one.summary["changed_matrices"], one.summary["mean_stable_rank"]) == (0, 0.0)
    assert two.summary["changed_matrices"] == 1
    assert rows_of(two).loc[DENSE, "dW_stable_rank"] == pytest.approx(1, rel=0.05)


def test_equal_types_are_subtracted_exactly(folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    rewrite(folder, lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()})
    rewrite(other, lambda tensors: {name: (tensor * 1.01).bfloat16() for name, tensor in tensors.items()})
    base, modified = load_file(folder / SINGLE)[DENSE].double(), load_file(other / SINGLE)[DENSE].double()
    row = rows_of(step_1(folder, other)).loc[DENSE]
    assert row["dW_fro"] == pytest.approx(float((modified - base).norm())) and not row["within_rounding"]


# Tensors that the model does not use.


def without_last_layer(folder: Path) -> None:
    configure(folder, num_hidden_layers=1)


def a_bias(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors | {"embed_out.bias": torch.zeros(320)})


def an_adapter_inside(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors | {DENSE.replace("weight", "lora_A.weight"): torch.ones(2, 32)})


@pytest.mark.parametrize(
    ("damage", "name"),
    [(without_last_layer, "layers.1."), (a_bias, "embed_out.bias"), (an_adapter_inside, "lora_A.weight")],
)
def test_tensors_that_the_model_has_no_place_for_are_named(damage: Any, name: str, folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    damage(folder)
    assert name in refused_everywhere(folder, other)


def test_biases_that_the_configuration_switches_off_are_named(tmp_path: Path) -> None:
    folder = configure(tiny_model_folder(tmp_path / "model", "llama", attention_bias=True), attention_bias=False)
    assert "_proj.bias" in refused(lambda: load(locate(str(folder)), device="cpu"))


def test_constants_of_older_versions_are_let_pass(folder: Path) -> None:
    expected = logits(folder)
    block = "gpt_neox.layers.0.attention."
    constants = {
        f"{block}bias": torch.ones(1, 1, 64, 64, dtype=torch.bool), f"{block}masked_bias": torch.tensor(-1e9),
        f"{block}rotary_emb.inv_freq": torch.rand(4),
    }  # fmt: skip
    rewrite(folder, lambda tensors: tensors | constants)
    assert torch.equal(logits(folder), expected)
    assert all(pair.identical for pair in matrix_pairs(folder, tiny_model_folder(folder.parent / "same")))


def test_a_tied_unembedding_may_be_stored_if_it_is_equal(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "model", "gpt2")
    expected, embedding = logits(folder), load_file(folder / SINGLE)["transformer.wte.weight"]
    rewrite(folder, lambda tensors: tensors | {"lm_head.weight": embedding.clone()})
    assert torch.equal(logits(folder), expected)
    rewrite(folder, lambda tensors: tensors | {"lm_head.weight": embedding + 1})
    other = tiny_model_folder(tmp_path / "other", "gpt2")
    assert "tie" in refused_everywhere(folder, other)


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    tiny_model().save_pretrained(folder, max_shard_size="20KB")
    (folder / SINGLE).unlink(missing_ok=True)
    first, second, *_ = sorted(folder.glob("model-*.safetensors"))
    tensors = load_file(second)
    save_file(tensors | {key: value + 1 for key, value in load_file(first).items()}, second, {"format": "pt"})
    assert "is stored in" in refused(lambda: locate(str(folder)))


# Names.


def test_two_models_of_one_folder_name_have_two_names(tmp_path: Path) -> None:
    runs = [tiny_model_folder(tmp_path / f"run{seed}" / "checkpoint-500", seed=seed) for seed in (1, 2)]
    names = {locate(str(run)).name for run in runs}
    assert len(names) == 2
    assert names == {f"checkpoint-500-{locate(str(run)).digest[:6]}" for run in runs}


@pytest.mark.parametrize("name", ["x" * 200, "mit raum & ümlaut", ".hidden", "a|b$(c)", "…"])
def test_names_are_short_and_safe(name: str, folder: Path) -> None:
    found = locate(str(folder.rename(folder.parent / name)))
    own, _, digest = found.name.rpartition("-")
    assert 1 <= len(own) <= LONGEST_NAME and digest == found.digest[:6]
    assert found.name.isascii() and not found.name.startswith(".") and not set(found.name) & set(" |&$()/")


def test_names_do_not_grow_from_round_to_round(folder: Path) -> None:
    for _ in range(5):
        name = locate(str(folder)).name
        folder = folder.rename(folder.parent / f"{name}__rmu__ep1_lr1e-05_bs4_a100.0_sc20.0_ly5-6-7_data1a2b3c")
    assert len(folder.name) < 130


def test_long_hub_ids_keep_apart(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(references, "download", lambda text: folder)
    first, second = (locate(f"{'o' * 40}/{'m' * 40}{end}").name for end in "ab")
    assert first != second and len(first) == LONGEST_NAME + 7
    assert locate("EleutherAI/deep-ignorance@main").name == "EleutherAI_deep-ignorance@main"


# What runs is what is said.


def test_a_loaded_model_knows_what_it_computes_in(folder: Path) -> None:
    for word, kind in (("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)):
        loaded = load(locate(str(folder)), "cpu", word)
        assert (loaded.dtype, loaded.anatomy.unembedding(loaded.model).weight.dtype) == (word, kind)
    assert what_runs("cpu", "auto") == what_runs("cpu", "fp32") == {"device": "cpu", "dtype": "fp32"}
    assert mixed_precision("bf16", "cpu") == torch.bfloat16
    assert "fp16" in refused(lambda: mixed_precision("fp16", "cpu"))


def test_the_saved_tokenizer_is_the_bases_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }} {# mine #}\n")
    (folder / "special_tokens_map.json").write_text('{"eos_token":   "<|endoftext|>"}')
    loaded = load(locate(str(folder)), device="cpu")
    loaded.tokenizer(list(TEXTS), truncation=True, max_length=5, padding=True)
    save(loaded.model, loaded.tokenizer, tmp_path / "saved", folder)
    names = {path.name for path in folder.iterdir()} - {"config.json", "generation_config.json", SINGLE}
    assert names >= {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"}
    for name in names:
        assert (tmp_path / "saved" / name).read_bytes() == (folder / name).read_bytes()
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "saved").pad_token is None


def test_tokenizers_of_one_vocabulary_that_encode_otherwise_are_refused(folder: Path) -> None:
    from tokenizers import processors

    other = Path(shutil.copytree(folder, folder.parent / "other"))
    tokenizer = tiny_tokenizer().__class__.from_pretrained(other)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    tokenizer.save_pretrained(other)
    message = refused(lambda: check_same_vocabulary(locate(str(folder)), locate(str(other))))
    assert "encode" in message


# Step 1 covers everything, step 4 leaves it alone.


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gpt2", "opt", "gemma"])
def test_step_1_covers_every_matrix_and_every_parameter(architecture: str, tmp_path: Path) -> None:
    """Against the two models' own parameters; a tied unembedding counts once, biases and norms in the total."""
    folders = [tiny_model_folder(tmp_path / str(seed), architecture, seed) for seed in (0, 1)]
    found = step_1(*folders)
    base, modified = (dict(tiny_model(architecture, seed).named_parameters()) for seed in (0, 1))
    with torch.no_grad():
        squares = {name: ((modified[name] - base[name]).double().norm(), base[name].double().norm()) for name in base}
    total = np.sqrt(sum(float(c) ** 2 for c, _ in squares.values()) / sum(float(b) ** 2 for _, b in squares.values()))
    assert found.summary["relative_frobenius_norm_all_parameters"] == pytest.approx(total)
    rows = rows_of(found)
    matrices = {name.replace("lm_head.", "embed_out.") if architecture == "gpt_neox" else name: values
                for name, values in squares.items() if base[name].dim() == 2}  # fmt: skip
    assert set(rows.index) == set(matrices)
    for name, (change, norm) in matrices.items():
        assert rows.loc[name, "dW_fro"] == pytest.approx(float(change), rel=1e-5)
        assert rows.loc[name, "W_fro"] == pytest.approx(float(norm), rel=1e-5)
    outside = rows[rows.layer == -1]
    tied = architecture in ("gpt2", "opt", "gemma")
    positions = ["positions"] if architecture in ("gpt2", "opt") else []
    assert sorted(outside.component) == sorted(["embedding", *positions, *([] if tied else ["unembedding"])])
    assert set(rows_of(found, "per_layer").index) == {0, 1}
    assert set(rows_of(found, "per_coarse_layer").index) == {-1, 0, 1}


def test_a_change_of_embedding_and_norms_alone_is_not_called_none(folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.parent / "other"))

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["gpt_neox.embed_in.weight"] *= 1.5
        tensors["gpt_neox.final_layer_norm.weight"] += 1

    rewrite(other, change)
    summary = step_1(folder, other).summary
    assert summary["relative_frobenius_norm"] == 0 < summary["relative_frobenius_norm_all_parameters"]
    assert summary["embedding"]["relative_frobenius_norm"] == pytest.approx(0.5)


@pytest.mark.end_to_end
def test_step_4_leaves_step_1_as_it_is(tmp_path: Path) -> None:
    a, b = (tiny_model_folder(tmp_path / name, seed=seed) for seed, name in enumerate("ab"))
    common = ["--model-a", str(a), "--model-b", str(b), "--outroot", str(tmp_path / "outputs"), "--device", "cpu"]
    for arguments in (
        ["weight_comparison", "--empirical-rank"],
        ["mlp_attn_analysis"],
        ["mlp_attn_analysis", "--force"],
    ):
        with pytest.raises(SystemExit) as end:
            main("diagnose", [*arguments, *common])
        assert end.value.code in (0, None)
        (place,) = (tmp_path / "outputs").glob("*__to__*/weight_comparison")
        content = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        if arguments[0] == "weight_comparison":
            first = content
            assert "dW_empirical_rank" in (place / "per_matrix.csv").read_text().partition("\n")[0]
            assert (place.parent / "param_plots" / "rank_comparison.png").is_file()
            record = read_record(place) or {}
            assert record["notes"]["stored_as"] == {"a": "float32", "b": "float32"}
    assert content == first
    assert (place.parent / "mlp_attn_analysis" / "mlp_attn_summary.csv").is_file()


# Files that are broken.


def write(name: str, content: str | bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def replace_by(name: str, target: str | None) -> Callable[[Path], None]:
    """A folder (None) or a link to ``target`` in a file's place."""

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir() if target is None else (folder / name).symlink_to(target)

    return damage


def index_to(shard: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / SINGLE).rename(folder.parent / "elsewhere.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": {DENSE: shard}}))

    return damage


BROKEN: dict[str, Callable[[Path], Any]] = {
    "deep": write("config.json", "[" * 100_000),
    "deep object": write("config.json", '{"a":' * 100_000),
    "digits": write("config.json", '{"model_type": "gpt_neox", "vocab_size": ' + "9" * 5000 + "}"),
    "null": write("config.json", "null"),
    "type a list": write("config.json", '{"model_type": ["gpt_neox"]}'),
    "type long": write("config.json", json.dumps({"model_type": "x" * 10_000})),
    **{
        f"{key}={value!r}": lambda folder, key=key, value=value: configure(folder, **{key: value})
        for key, value in (
            ("hidden_size", "x"), ("hidden_size", 0), ("hidden_size", 33), ("num_hidden_layers", -1),
            ("num_hidden_layers", 10**9), ("num_hidden_layers", None), ("num_hidden_layers", True),
            ("num_hidden_layers", 2.0), ("vocab_size", 10**15), ("vocab_size", 10**9), ("num_attention_heads", 0),
            ("num_attention_heads", 5), ("intermediate_size", []), ("max_position_embeddings", {}),
            ("hidden_act", "nonsense"), ("rope_parameters", "x"), ("rope_parameters", {"rope_type": "nonsense"}),
            ("layer_norm_eps", "x"), ("_attn_implementation", "nonsense"), ("attn_implementation", 3),
        )
    },
    "config a folder": replace_by("config.json", None),
    "config a loop": replace_by("config.json", "config.json"),
    "weights a folder": replace_by(SINGLE, None),
    "weights dangling": replace_by(SINGLE, "/no/such/file"),
    "tokenizer a folder": replace_by("tokenizer.json", None),
    "tokenizer settings a loop": replace_by("tokenizer_config.json", "tokenizer_config.json"),
    "tokenizer deep": write("tokenizer.json", "[" * 100_000),
    "tokenizer settings deep": write("tokenizer_config.json", '{"a":' * 100_000),
    "header bomb": write(SINGLE, (2**60).to_bytes(8, "little") + b"{}"),
    "header deep": write(SINGLE, (100_000).to_bytes(8, "little") + b"[" * 100_000),
    "header no dictionary": write(SINGLE, (2).to_bytes(8, "little") + b"[]"),
    "header shape": write(
        SINGLE, (lambda h: len(h).to_bytes(8, "little") + h)(
            b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}') + b"0000"
    ),
    "shard absolute": lambda folder: index_to(str(folder.parent / "elsewhere.safetensors"))(folder),
    "shard above": index_to("../elsewhere.safetensors"),
    "shard a number": index_to(7),
    "shard a list": index_to(["a"]),
    "shard a pickle": index_to("pytorch_model.bin"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_one_line(case: str, folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    BROKEN[case](folder)
    refused(lambda: load(locate(str(folder)), device="cpu"))
    if "tokenizer" not in case and "implementation" not in case:
        refused(lambda: list(matrix_pairs(folder, other)))


def test_paths_that_no_system_takes_are_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for text in ("x" * 5000, "a\0b", "~nobody-of-this-name/model", str(tmp_path / "loop"), "\ud800", "..\n.."):
        refused(lambda text=text: locate(text))


def test_a_folder_that_cannot_be_read_is_one_line(folder: Path, monkeypatch: Any) -> None:
    def no(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(references, "digest_of_file", no)
    rewrite(folder, lambda tensors: tensors[DENSE].add_(1).sum() and None)
    assert "Permission denied" in refused(lambda: locate(str(folder)))


def test_a_home_folder_that_cannot_be_written_costs_nothing_but_time(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    digest = locate(str(folder)).digest
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "file" / "home"))
    assert locate(str(folder)).digest == digest


def test_the_inventory_lists_every_parameter_once(folder: Path) -> None:
    assert set(inventory(folder)) == {name for name, _ in tiny_model().named_parameters()}
