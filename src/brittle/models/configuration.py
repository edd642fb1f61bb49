"""A model's ``config.json``: checked before anything is built from it, and the model it describes without weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle.models.anatomy import anatomy_of
from brittle.models.weight_files import read_json
from brittle.settings import BadInput

if TYPE_CHECKING:
    from transformers import PretrainedConfig

QUANTISED = ("quantization_config", "compression_config", "quantization")
"""Keys that say: what is stored are codes or scaled numbers, not the weights."""
LAYERS, MOST_LAYERS = ("num_hidden_layers", "n_layer"), 1000
POSITIONS = ("max_position_embeddings", "n_positions")
COUNTS = (
    *LAYERS, "hidden_size", "n_embd", "num_attention_heads", "n_head", "num_key_value_heads", "head_dim",
    "intermediate_size", "ffn_dim", "n_inner", "word_embed_proj_dim", "vocab_size", *POSITIONS,
)  # fmt: skip
LARGEST_COUNT = 2**31 - 1


def read_configuration(folder: Path) -> dict[str, Any]:
    """The content of ``config.json``, of a known architecture, unquantised, its sizes whole numbers within reason."""
    path = folder / "config.json"
    content = read_json(path)
    try:
        anatomy_of(content)
    except BadInput as problem:
        raise BadInput(f"{path}: {problem}") from None
    if kind := next((key for key in QUANTISED if content.get(key)), None):
        raise BadInput(f"{path} has a {kind}: stored numbers are not the weights there; use the unquantised model")
    for key in COUNTS:
        value, most = content.get(key), MOST_LAYERS if key in LAYERS else LARGEST_COUNT
        if value is not None and not (type(value) is int and 1 <= value <= most):
            raise BadInput(
                f"{path}: {key} is {str(value)[:40]}, not a whole number from 1 to {most}; "
                "restore the config.json that belongs to these weights"
            )
    return content


def number_of_layers(folder: Path) -> int:
    """How many transformer blocks the model has; where the file says so, without loading transformers."""
    return int(_number(folder, LAYERS))


def most_positions(folder: Path) -> int | None:
    """How many tokens the model reads at most, as :func:`number_of_layers`; None where there is no such bound."""
    limit = _number(folder, POSITIONS)
    return None if limit is None else int(limit)


def _number(folder: Path, keys: tuple[str, str]) -> Any:
    content = read_configuration(folder)
    said = [content[key] for key in keys if content.get(key) is not None]
    return said[0] if len(said) == 1 else getattr(configuration(folder), keys[0], None)


def configuration(folder: Path) -> PretrainedConfig:
    """The configuration as transformers understands it; BadInput where it does not."""
    import transformers

    content = read_configuration(folder)
    quiet()
    try:
        return transformers.AutoConfig.for_model(**content)
    except Exception as error:  # whatever a value of the wrong type does inside transformers
        raise _unusable(folder, error) from error


def skeleton(folder: Path) -> Any:
    """The causal language model that ``config.json`` describes, its weights without memory (torch's meta device)."""
    import torch
    import transformers

    settings = configuration(folder)
    architectures: Any = transformers.AutoModelForCausalLM  # whose from_config has no types
    try:
        with torch.device("meta"):
            return architectures.from_config(settings)
    except Exception as error:  # as above
        raise _unusable(folder, error) from error


def quiet() -> None:
    """No progress bars or advice from transformers; errors still appear."""
    import transformers

    logging: Any = transformers.utils.logging  # whose functions have no types
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _unusable(folder: Path, error: Exception) -> BadInput:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return BadInput(f"{folder / 'config.json'} cannot be used ({reason}); restore it")
