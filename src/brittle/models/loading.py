"""A located model, loaded: on which device, in which number type, and refused by the name of what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from brittle.models import encoding
from brittle.models.anatomy import Anatomy, anatomy_of
from brittle.models.configuration import configuration, quiet
from brittle.models.devices import resolve_device, resolve_dtype, word_for
from brittle.models.inventory import inventory
from brittle.models.model_files import model_files, only, tokenizer_files
from brittle.models.references import Located
from brittle.models.weight_files import is_finite
from brittle.settings import BadInput


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in eval mode with its tokenizer (right padding) and where its parts are."""

    model: Any
    tokenizer: Any
    anatomy: Anatomy
    name: str
    digest: str
    device: str

    @property
    def dtype(self) -> str:
        """The number type it computes in: ``fp32``, ``fp16`` or ``bf16``."""
        return word_for(self.anatomy.embeddings(self.model).weight.dtype)


def load(located: Located, device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Load a model and its tokenizer, or raise BadInput with the name of the tensor that is missing or not finite.

    Of its folder only the files are read that its digest covers. With ``auto`` and several visible GPUs the model is
    spread over them (``device_map="auto"``); ``.device`` is then where its embedding sits, which is where token ids
    belong.
    """
    quiet()
    place = resolve_device(device)
    number_type = resolve_dtype(dtype, place)
    spread = device == "auto" and place.startswith("cuda") and torch.cuda.device_count() > 1
    options = {} if place == "cpu" else {"device_map": "auto" if spread else {"": place}}
    inventory(located.folder)
    tokenizer = load_tokenizer(located.folder)
    try:
        with only(located.folder, model_files(located.folder)) as files:
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                files, dtype=number_type, use_safetensors=True, local_files_only=True, output_loading_info=True,
                ignore_mismatched_sizes=True, **options,
            )  # fmt: skip
    except Exception as error:  # whatever a configuration's values do inside transformers
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"model {located.text} cannot be loaded ({type(error).__name__}: {reason})") from error
    model, report = loaded
    if lost := sorted([*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]):
        raise BadInput(f"model {located.text} has missing weights: tensor {lost[0]} was not loaded; save it whole")
    anatomy = anatomy_of(model.config)
    _check_usable(located, model, tokenizer, anatomy)
    where = str(anatomy.embeddings(model).weight.device)
    return LoadedModel(model.eval(), tokenizer, anatomy, located.name, located.digest, where)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, padding on the right, with a padding token (end of text where it has none)."""
    configured = [path for path in (folder / "config.json",) if path.is_file()]  # it can name the tokenizer's class
    try:
        with only(folder, [*configured, *tokenizer_files(folder)]) as files:
            tokenizer = transformers.AutoTokenizer.from_pretrained(files, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"the tokenizer in {folder} cannot be read ({reason}); save it again there") from error
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise BadInput(f"the tokenizer in {folder} has no token that can pad; set its pad_token and save it")
    return tokenizer


def _check_usable(located: Located, model: Any, tokenizer: Any, anatomy: Anatomy) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.is_meta and not is_finite(parameter):  # meta: accelerate holds it elsewhere, out of reach
            raise BadInput(
                f"model {located.text}: tensor {name} has NaN or infinite values as {parameter.dtype}; "
                "use --dtype fp32, or another checkpoint if they are in the file"
            )
    embeddings, unembedding = anatomy.embeddings(model), anatomy.unembedding(model)
    if len(tokenizer) > embeddings.weight.shape[0]:
        raise BadInput(
            f"model {located.text}: its tokenizer knows {len(tokenizer)} tokens but its embedding only "
            f"{embeddings.weight.shape[0]}; restore the tokenizer that belongs to it"
        )
    if unembedding.weight.shape[1] != model.config.hidden_size:
        raise BadInput(
            f"model {located.text} projects hidden states of width {model.config.hidden_size} to "
            f"{unembedding.weight.shape[1]} before the unembedding, which no lens here can follow; use another model"
        )


# What must agree for two models' weights and hidden states to be compared entry by entry.
SHAPE_FIELDS = (
    "model_type", "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "ffn_dim", "n_inner",
)  # fmt: skip


def check_same_architecture(a: Located, b: Located) -> None:
    """Refuse a pair whose configurations describe differently shaped models; reads the two ``config.json`` only."""
    first, second = (configuration(located.folder) for located in (a, b))
    for field in SHAPE_FIELDS:
        left, right = getattr(first, field, None), getattr(second, field, None)
        if left != right:
            raise BadInput(
                f"{a.text} and {b.text} differ in architecture ({field}: {left} and {right}); "
                "compare models of one architecture"
            )


def check_same_vocabulary(a: Located, b: Located) -> None:
    """Refuse a pair whose embedding sizes, vocabularies or encodings differ: a text would not be the same tokens."""
    left, right = (configuration(located.folder).vocab_size for located in (a, b))
    if left != right:
        raise BadInput(f"{a.text} and {b.text} differ in vocabulary size ({left} and {right}); compare like with like")
    quiet()
    files = [{path.name: path.read_bytes() for path in tokenizer_files(located.folder)} for located in (a, b)]
    if files[0] == files[1]:
        return
    tokenizers = [load_tokenizer(located.folder) for located in (a, b)]
    vocabularies = [tokenizer.get_vocab() for tokenizer in tokenizers]
    if vocabularies[0] != vocabularies[1]:
        token = min(token for token, _ in set(vocabularies[0].items()) ^ set(vocabularies[1].items()))
        numbers = " and ".join(str(vocabulary.get(token, "absent")) for vocabulary in vocabularies)
        raise BadInput(
            f"{a.text} and {b.text} differ in vocabulary (token {token!r}: {numbers}); "
            "compare models that share a tokenizer"
        )
    if difference := encoding.difference(*tokenizers):
        raise BadInput(
            f"{a.text} and {b.text} have one vocabulary but encode texts differently ({difference}); "
            "save one model's tokenizer in both folders"
        )
