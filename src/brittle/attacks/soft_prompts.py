"""Learn a few input vectors that bring knowledge out, and no weight: is the model only waiting for the right words?

``prompt_tokens`` vectors p_1 … p_n in embedding space stand before every text and every question. They alone are trained
(the likelihood of texts about T, given the vectors); all weights stay bit for bit. So little room teaches next to nothing:
what comes back on V was in the model. A filtered model may never learn T this way: it is no control then.
The vectors count in units of the embedding's root mean square entry, so that one learning rate suits every model. A
question that fills the whole context loses its beginning, never the prompt.
Source: Lester et al. 2021 (prompt tuning); Schwinn et al. 2024 ("Soft prompt threats", on unlearned models); the
embedding attack of TamperBench.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from brittle.contracts import AttackFacts, AttackTarget, Evaluation, at_most
from brittle.settings import setting, with_default
from brittle.training.teaching import TeachingSettings, teach

NAME = "soft_prompts"
TEACHES = "T"
NEVER = -1e4
"""The logit of a prompt token; finite, so that a loss that counts it 0 times is 0."""


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How hard the attack tries, and with how many vectors."""

    prompt_tokens: int = setting(16, "vectors learned before every text", minimum=1)
    attack_lr: float = with_default(TeachingSettings, "attack_lr", 0.1)
    trajectory_steps: tuple[int, ...] = with_default(TeachingSettings, "trajectory_steps", ())


def check(settings: Settings, facts: AttackFacts) -> None:
    """Refuse more vectors than leave a text as much room as they take."""
    room = min(facts.window, settings.attack_max_length)
    at_most("--prompt-tokens", settings.prompt_tokens, room // 2, 16, f"a text and the prompt share {room} tokens")


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Freeze the model and train vectors before the texts; step 0 is the model without them."""
    before = [target.evaluate(0, 0)]
    for parameter in target.loaded.model.parameters():
        parameter.requires_grad_(False)
    with prompted(target.loaded, settings.prompt_tokens, seed) as prefix:
        return teach(settings, target, target.texts, seed, tick, start=before, prefix=prefix)


@contextlib.contextmanager
def prompted(loaded: Any, count: int, seed: int) -> Iterator[str]:
    """While inside, the model has a parameter ``prompt`` and the text given stands for its vectors.

    The tokenizer learns ``count`` new tokens and keeps them. Their ids, which the embedding does not know, become
    vectors on the way through the embedding module; behind the unembedding they are tokens that never come next.
    Vectors start at embeddings of random tokens.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    tokenizer, embedding = loaded.tokenizer, loaded.anatomy.embeddings(loaded.model)
    unembedding = loaded.anatomy.unembedding(loaded.model)
    where = embedding.weight.device
    drawn = torch.randint(len(tokenizer), (count,), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():  # not rows of the matrix: Gemma 3 scales them in this module
        start = embedding(drawn.to(where))
        unit = embedding(torch.arange(len(tokenizer), device=where)).float().square().mean().sqrt()
    names = [f"<prompt-{number}>" for number in range(count)]
    tokenizer.add_tokens(names, special_tokens=True)
    first = tokenizer.convert_tokens_to_ids(names[0])
    places = [torch.empty(0, dtype=torch.long)]

    def known(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        places[0] = inputs[0] - first
        ours = (places[0] >= 0) & (places[0] < count)
        return (inputs[0].masked_fill(ours, 0), *inputs[1:])

    def learned(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        at = places[0].to(output.device)
        vectors = (unit * module.prompt).to(output.dtype)
        ours = ((at >= 0) & (at < count)).unsqueeze(-1)
        return torch.where(ours, vectors[at.clamp(0, count - 1)], output)

    def never(_module: nn.Module, _inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        missing = first + count - logits.shape[-1]  # none where the matrix has rows to spare
        return functional.pad(logits, (0, missing), value=NEVER) if missing > 0 else logits

    embedding.register_parameter("prompt", nn.Parameter(start.float() / unit))
    with contextlib.ExitStack() as stack:
        stack.callback(delattr, embedding, "prompt")
        stack.callback(embedding.register_forward_pre_hook(known).remove)
        stack.callback(embedding.register_forward_hook(learned).remove)
        stack.callback(unembedding.register_forward_hook(never).remove)
        yield "".join(names)
