"""Where things are in a language model: one table row per architecture.

Diagnostics speak of layers, of four weight components (``qkv`` and ``proj`` of attention, ``mlp_expand`` and
``mlp_contract`` of the MLP), of the final norm and of the unembedding. A row says what an architecture calls them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from brittle.settings import BadInput

if TYPE_CHECKING:
    from torch import nn

Component = Literal["qkv", "proj", "mlp_expand", "mlp_contract"]
COMPONENTS: tuple[Component, ...] = ("qkv", "proj", "mlp_expand", "mlp_contract")
GROUP_OF: dict[str, str] = {"qkv": "attn", "proj": "attn", "mlp_expand": "mlp", "mlp_contract": "mlp"}


@dataclass(frozen=True)
class Place:
    """Where a weight matrix sits: its layer from 0, its component, and ``attn`` or ``mlp``."""

    layer: int
    component: str
    group: str


@dataclass(frozen=True)
class Anatomy:
    """One architecture: module paths inside ``AutoModelForCausalLM`` and the names of weight modules in a block.

    ``transposed`` says that the matrices are stored as inputs x outputs (GPT-2's Conv1D).
    """

    model_type: str
    blocks_path: str
    final_norm_path: str
    qkv: tuple[str, ...]
    proj: tuple[str, ...]
    mlp_expand: tuple[str, ...]
    mlp_contract: tuple[str, ...]
    transposed: bool = False

    def blocks(self, model: Any) -> list[nn.Module]:
        """The transformer blocks, first to last."""
        return list(model.get_submodule(self.blocks_path))

    def embeddings(self, model: Any) -> nn.Embedding:
        """The token embedding."""
        embeddings: nn.Embedding = model.get_input_embeddings()
        return embeddings

    def final_norm(self, model: Any) -> nn.Module | None:
        """The norm between the last block and the unembedding; None where there is none (post-norm OPT)."""
        parent, _, name = self.final_norm_path.rpartition(".")
        norm: nn.Module | None = getattr(model.get_submodule(parent), name)
        return norm

    def unembedding(self, model: Any) -> nn.Linear:
        """The linear map from the last hidden state to logits, or BadInput for a model without one."""
        found: nn.Linear | None = model.get_output_embeddings()
        if found is None:
            raise BadInput(f"this {self.model_type} model has no unembedding; use a causal language model")
        return found

    def place(self, parameter_name: str) -> Place | None:
        """Where a parameter of that name sits, or None for biases, norms and embeddings.

        Takes the names of checkpoints, with or without the leading base-model prefix:
        ``gpt_neox.layers.3.attention.dense.weight`` and ``layers.3.attention.dense.weight`` are one place.
        """
        match = self._pattern.fullmatch(parameter_name)
        component = self._component_of.get(match["module"]) if match else None
        if match is None or component is None:
            return None
        return Place(int(match["layer"]), component, GROUP_OF[component])

    @cached_property
    def _component_of(self) -> dict[str, str]:
        return {module: component for component in COMPONENTS for module in getattr(self, component)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        *prefix, blocks = self.blocks_path.split(".")
        optional = ""
        for part in prefix:
            optional = rf"(?:{optional}{re.escape(part)}\.)?"
        return re.compile(rf"{optional}{blocks}\.(?P<layer>\d+)\.(?P<module>.+)\.weight")


QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
# What Llama's many relatives share: separate projections, a gated MLP whose gate and up matrices both expand.
LLAMA: dict[str, Any] = {
    "blocks_path": "model.layers",
    "final_norm_path": "model.norm",
    "qkv": QKV,
    "proj": ("self_attn.o_proj",),
    "mlp_expand": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp_contract": ("mlp.down_proj",),
}
ROWS = (
    Anatomy(
        "gpt_neox", "gpt_neox.layers", "gpt_neox.final_layer_norm",
        ("attention.query_key_value",), ("attention.dense",), ("mlp.dense_h_to_4h",), ("mlp.dense_4h_to_h",),
    ),
    Anatomy("llama", **LLAMA),
    Anatomy("mistral", **LLAMA),
    Anatomy("qwen2", **LLAMA),
    Anatomy("qwen3", **LLAMA),
    Anatomy("gemma", **LLAMA),
    Anatomy("gemma2", **LLAMA),
    Anatomy("gemma3_text", **LLAMA),
    Anatomy("phi", "model.layers", "model.final_layernorm", QKV, ("self_attn.dense",), ("mlp.fc1",), ("mlp.fc2",)),
    Anatomy("phi3", **{**LLAMA, "qkv": ("self_attn.qkv_proj",), "mlp_expand": ("mlp.gate_up_proj",)}),
    Anatomy(
        "opt", "model.decoder.layers", "model.decoder.final_layer_norm",
        QKV, ("self_attn.out_proj",), ("fc1",), ("fc2",),
    ),
    Anatomy(
        "gpt2", "transformer.h", "transformer.ln_f",
        ("attn.c_attn",), ("attn.c_proj",), ("mlp.c_fc",), ("mlp.c_proj",), transposed=True,
    ),
)  # fmt: skip
ANATOMIES: dict[str, Anatomy] = {row.model_type: row for row in ROWS}


def anatomy_of(config: Any) -> Anatomy:
    """The row for a configuration (an object, or the dictionary of a ``config.json``)."""
    mapping = isinstance(config, Mapping)
    model_type = config.get("model_type") if mapping else getattr(config, "model_type", None)
    if not isinstance(model_type, str) or model_type not in ANATOMIES:
        known = ", ".join(ANATOMIES)
        raise BadInput(
            f"architecture '{str(model_type)[:60]}' is not known to Brittle; use a model of one of these: {known}"
        )
    return ANATOMIES[model_type]
