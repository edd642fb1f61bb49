"""Cases with broken models, texts, questions, results and environments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import flag_cases as flags
import torch
from fresh import Case
from safetensors.torch import load_file, save_file

Spoil = Callable[[Path], None]


def _weights(change: Callable[[dict[str, torch.Tensor]], object], folder: Path) -> None:
    path = folder / "unlearned" / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def _json(name: str, changes: dict[str, object], folder: Path) -> None:
    path = folder / "unlearned" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _bytes(name: str, content: bytes, folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _folder_instead(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def _link_instead(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("nowhere")


FIRST = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight"
DEEP = b"[" * 100_000 + b"]" * 100_000


def spoiled_models() -> dict[str, Spoil]:
    """What can be wrong with a model's folder; each must be refused."""
    found: dict[str, Spoil] = {
        "NaN": partial(_weights, lambda t: t[FIRST].view(-1)[:1].fill_(torch.nan)),
        "infinity": partial(_weights, lambda t: t[FIRST].fill_(torch.inf)),
        "integers": partial(_weights, lambda t: t.update({FIRST: t[FIRST].to(torch.int8)})),
        "booleans": partial(_weights, lambda t: t.update({FIRST: t[FIRST] > 0})),
        "fp8": partial(_weights, lambda t: t.update({FIRST: t[FIRST].to(torch.float8_e4m3fn)})),
        "scales": partial(_weights, lambda t: t.update({f"{FIRST}_scale_inv": torch.ones(1)})),
        "missing tensor": partial(_weights, lambda t: t.pop(FIRST)),
        "more layers": partial(_weights, lambda t: t.update({FIRST.replace("layers.0", "layers.9"): t[FIRST].clone()})),
        "adapter inside": partial(_weights, lambda t: t.update({f"base_model.model.{FIRST}.lora_A": torch.ones(2, 2)})),
        "wrong shape": partial(_weights, lambda t: t.update({FIRST: t[FIRST][:-1].clone()})),
        "no tensors": partial(_weights, lambda t: t.clear()),
    }
    for name, content in {
        "empty": b"",
        "text": b"weights",
        "half": b"\x10\0\0\0\0\0\0\0{",
        "huge header": b"\xff" * 64,
    }.items():
        found[f"weights {name}"] = partial(_bytes, "unlearned/model.safetensors", content)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        for label, content in {
            "empty": b"",
            "null": b"null",
            "deep": DEEP,
            "bytes": b"\xff\xfe\0",
            "list": b"[]",
        }.items():
            found[f"{name} {label}"] = partial(_bytes, f"unlearned/{name}", content)
        found[f"{name} folder"] = partial(_folder_instead, f"unlearned/{name}")
        found[f"{name} link"] = partial(_link_instead, f"unlearned/{name}")
    for field, values in {
        "num_hidden_layers": (1, 3, 10**9, -1, "two", None),
        "hidden_size": (31, "x", 0, 10**12),
        "vocab_size": (10, -5, 10**15, "x"),
        "model_type": ("bert", 7, None, "llama"),
        "num_attention_heads": (3, 0),
        "quantization_config": ({"quant_method": "gptq", "bits": 4}, {"quant_method": "fp8"}, {"quant_method": "bitsandbytes", "load_in_4bit": True}, "x"),
        "attention_bias": (False,),
    }.items():  # fmt: skip
        for value in values:
            found[f"{field} {str(value)[:30]}"] = partial(_json, "config.json", {field: value})
    found["adapter beside"] = partial(_bytes, "unlearned/adapter_config.json", b'{"peft_type": "LORA"}')
    found["index outside"] = _index_outside
    return found


def _index_outside(folder: Path) -> None:
    (folder / "unlearned" / "model.safetensors").unlink()
    index = {"weight_map": {FIRST: "../base/model.safetensors"}}
    (folder / "unlearned" / "model.safetensors.index.json").write_text(json.dumps(index))


def models() -> Iterator[Case]:
    """Each broken model through three commands."""
    for name, spoil in spoiled_models().items():
        kind, harmless = "broken models", name in ("adapter beside", "tokenizer_config.json list")
        named = ("unlearned",)
        evals = ("evals", "--model", "unlearned", *flags.TEXTS, *flags.QUESTIONS)
        yield Case(kind, "diagnose", ("weight_comparison", *flags.PAIR), not harmless, spoil, names=named)
        yield Case(kind, "diagnose", evals, not harmless, spoil, names=named)
        unlearn = ("--model", "unlearned", "--method", "grad_diff", "--no-eval", *flags.ONE_STEP)
        yield Case(kind, "unlearn", unlearn, not harmless, spoil, names=named)


def data() -> Iterator[Case]:
    """Each strange file of texts as what is to be forgotten, each of questions as what is asked."""
    from strange_files import QUESTIONS, TEXTS

    for name, content in TEXTS.items():
        unlearn = (
            *flags._without(flags.UNLEARN, "--forget-data"),
            "--method",
            "ga_simple",
            "--forget-data",
            f"strange/{name}",
        )
        yield Case(
            "strange texts", "unlearn", unlearn, True, partial(_bytes, f"strange/{name}", content), names=("strange",)
        )
    for name, content in QUESTIONS.items():
        asked = ("--forget-questions", f"strange/{name}", "--retain-questions", "retain.jsonl")
        evals = ("evals", "--model", "base", *flags.TEXTS, *asked)
        yield Case(
            "strange questions",
            "diagnose",
            evals,
            True,
            partial(_bytes, f"strange/{name}", content),
            names=("strange",),
        )


def _outputs(folder: Path) -> None:
    """Results of a small attack, as the commands that read results expect them."""
    from reports_tree import build, more_attacks

    build(folder / "outputs")
    more_attacks(folder / "outputs" / "recovery")


def _spoil_outputs(name: str, content: bytes, folder: Path) -> None:
    _outputs(folder)
    for path in sorted((folder / "outputs").rglob(name)) or [folder / "outputs" / name]:
        path.write_bytes(content)


def results() -> Iterator[Case]:
    """Broken records and tables through the commands that read them."""
    contents = {
        "empty": b"", "null": b"null", "list": b"[]", "number": b"7", "text": b'"x"', "bytes": b"\xff\xfe\0", "deep": DEEP,
        "types": b'{"models": "x", "comparisons": 7}', "names": b'{"models": [{"role": 3}], "comparisons": [{}]}',
        "version": b'{"kind": 3, "status": "complete", "version": 99, "notes": null, "files": null, "settings": []}',
    }  # fmt: skip
    for name in ("comparison.json", "record.json", "summary.json"):
        for content in contents.values():
            spoil = partial(_spoil_outputs, name, content)
            for command, arguments in (("report", ("outputs",)), ("signature", ("outputs", "--page", "page.md"))):
                yield Case("broken results", command, arguments, False, spoil)
    header = b"model,role,attack,seed,step,examples_seen,accuracy_t,accuracy_v,accuracy_retain\n"
    tables = {
        "empty": b"", "header": header, "columns": b"a,b\n1,2\n", "bytes": b"\xff\xfe\0\0", "null": b"\0" * 50,
        "words": header + b"m,unlearned,relearning,x,y,z,a,b,c\n", "missing": header + b",,,,,,,,\n",
        "twice": header + b"m,unlearned,relearning,1,0,0,0.2,0.2,0.9\n" * 2, "quote": header + b'"m,unlearned\n',
        "nan": header + b"m,unlearned,relearning,1,0,0,nan,inf,-inf\n", "role": header + b"m,king,x,1,0,0,1,1,1\n",
    }  # fmt: skip
    for name in ("recovery.csv", "per_matrix.csv", "recovery_answers.csv", "trajectory.csv"):
        for content in tables.values():
            spoil = partial(_spoil_outputs, name, content)
            for command, arguments in (
                ("report", ("outputs",)),
                ("signature", ("outputs", "--attacks-page", "page.md")),
            ):
                yield Case("broken results", command, arguments, False, spoil)


def places() -> Iterator[Case]:
    """A user's folders and files where results would go, and results that stand there."""
    weights = ("weight_comparison", *flags.PAIR)
    yield Case("the user's files", "diagnose", (*weights, "--outdir", "keep"))
    yield Case("the user's files", "diagnose", (*weights, "--outdir", "."))
    yield Case("the user's files", "diagnose", (*weights, "--outdir", ".."), False)
    yield Case("the user's files", "diagnose", (*weights, "--outdir", "base"))
    yield Case("the user's files", "diagnose", (*weights, "--outroot", "keep"), False)
    yield Case("the user's files", "diagnose", (*weights, "--outdir", "out", "--plot-outdir", "keep"), False)
    yield Case("the user's files", "diagnose", (*weights, "--outdir", "dangling"))
    yield Case("the user's files", "methods", ("--page", "loop"))
    yield Case("the user's files", "methods", ("--page", "dangling"))
    yield Case("the user's files", "methods", ("--page", "/dev/full"))
    yield Case("the user's files", "attacks", ("--page", "keep"))
    yield Case(
        "the user's files", "create-datasets", ("--forget", "forget.txt", "--outdir", "forget.txt", "--only", "forget")
    )
    yield Case("the user's files", "report", ("keep",))
    yield Case("the user's files", "report", ("forget.txt",))


def environments() -> Iterator[Case]:
    """``.env`` files and variables that cannot be used."""
    unlearn = (*flags.UNLEARN, "--method", "grad_diff")
    for content in (b"\xff\xfe\0x", b"\0\0", b"=\n==\n", b"A" * 100_000, DEEP):
        yield Case("environments", "unlearn", unlearn, False, partial(_bytes, ".env", content))
    yield Case("environments", "unlearn", unlearn, False, lambda folder: (folder / ".env").mkdir())
    for name, value in {
        "LR": "abc", "EPOCHS": "1.5", "BATCH_SIZE": "0", "SEED": "9" * 30, "NO_SAVE": "perhaps", "OPTIMIZER": "foo",
        "TRAIN_LAYERS": "a", "LORA_RANK": "-1", "EVAL_SPLIT": "1.0", "GRAD_CLIP": "nan", "WEIGHT_DECAY": "inf",
    }.items():  # fmt: skip
        yield Case(
            "environments",
            "unlearn",
            unlearn,
            True,
            environment={name: value},
            names=(name, f"--{name.lower().replace('_', '-')}"),
        )
    for value in ("forget.txt", "forget.txt/below", "/dev/null", "/proc/nowhere"):
        yield Case("environments", "unlearn", unlearn, False, environment={"BRITTLE_HOME": value})


def cases() -> Iterator[Case]:
    """All of them."""
    for part in (places, environments, models, data, results):
        yield from part()
