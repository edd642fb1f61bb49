"""The tensors of a model folder, held against the model that its ``config.json`` describes.

What the files hold and what the model has must be the same: a tensor too few would be filled with random numbers, one
too many (a further layer, a bias that the configuration switches off, an adapter) would be left out without a word.
Loading and comparing checkpoints both begin here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from brittle.models.anatomy import Anatomy, Place, anatomy_of
from brittle.models.configuration import skeleton
from brittle.models.weight_files import StoredTensor, stored_tensors
from brittle.settings import BadInput

RENAMED = {"gpt_neox": ("embed_out.", "lm_head.")}
"""By architecture, the beginning of a name in files and what transformers makes of it."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model: where it is stored and where it sits."""

    stored: StoredTensor
    place: Place


def inventory(folder: Path) -> dict[str, Parameter]:
    """Every parameter of a folder's model by its name in the model, a tied unembedding once; BadInput where they differ."""
    model = skeleton(folder)
    anatomy = anatomy_of(model.config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found: dict[str, StoredTensor] = {}
    for stored in stored_tensors(folder).values():
        name = _name_in(model, anatomy, stored.name, expected)
        if name is None:
            raise BadInput(
                f"{folder}: the model of its config.json has no tensor {stored.name}, which its files hold and loading "
                "would leave out; restore the config.json that belongs to these weights, or save the model again"
            )
        if name in found:
            raise BadInput(f"{folder}: {stored.name} and {found[name].name} are one tensor; save the model again")
        if stored.shape != expected[name]:
            raise BadInput(
                f"{folder}: tensor {stored.name} has shape {stored.shape} not {expected[name]} as in config.json; "
                "restore the config.json that belongs to these weights"
            )
        found[name] = stored
    _untie(folder, found, model.all_tied_weights_keys)
    places = _places(model, anatomy)
    if missing := sorted(places.keys() - found.keys()):
        what = ": it has no unembedding" if missing[0].startswith("lm_head") else ""
        raise BadInput(f"{folder} lacks {missing[0]}, which its config.json asks for{what}; save the model whole")
    return {name: Parameter(stored, places[name]) for name, stored in found.items() if name in places}


def read_tensor(stored: StoredTensor, device: str = "cpu") -> Tensor:
    """The tensor as it is stored. The file is opened anew: one kept open keeps every page that was read in memory."""
    with safe_open(stored.path, framework="pt", device=device) as file:
        tensor: Tensor = file.get_tensor(stored.name)
        return tensor


def _name_in(model: Any, anatomy: Anatomy, name: str, expected: dict[str, Any]) -> str | None:
    """The model's name for a tensor of a file, which may lack the base model's prefix; None if it has none."""
    old, new = RENAMED.get(anatomy.model_type, ("", ""))
    if old and name.startswith(old):
        name = new + name.removeprefix(old)
    return next((each for each in (name, f"{model.base_model_prefix}.{name}") if each in expected), None)


def _untie(folder: Path, found: dict[str, StoredTensor], tied: dict[str, str]) -> None:
    """Leave each of two tied tensors out; where both are stored they must be equal."""
    for target, source in tied.items():
        if target in found and source in found:
            if not read_tensor(found[target]).equal(read_tensor(found[source])):
                raise BadInput(
                    f"{folder}: config.json ties {found[target].name} to {found[source].name}, but they are stored with "
                    "different values; set tie_word_embeddings to false or save the model again"
                )
            del found[target]
        elif target in found:
            found[source] = found.pop(target)


def _places(model: Any, anatomy: Anatomy) -> dict[str, Place]:
    """Where every parameter sits. What is no matrix of a block has layer -1; norms and biases are ``vector``."""
    unembedding, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    names = {id(unembedding.weight): "unembedding"} if unembedding is not None else {}
    names[id(embedding.weight)] = "embedding"
    places = {}
    for name, parameter in model.named_parameters():
        place = anatomy.place(name) if parameter.dim() == 2 else None
        if place is None and parameter.dim() == 2:
            component = names.get(id(parameter), "positions" if "pos" in name or "wpe" in name else "projection")
            place = Place(-1, component, "unembedding" if component == "unembedding" else "embedding")
        places[name] = place or Place(-1, "vector", "vector")
    return places
