"""Edits in closed form that hide what a model knows, and their exact inverses.

Each takes a loaded model, changes its weights in place and returns the key, tensors that its inverse needs. Which tokens are
hazardous is read from the questions: those that their choices have more often than benign ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brittle.data.multiple_choice import Question
from brittle.models.encoding import encode
from brittle.models.loading import LoadedModel
from brittle.models.prepared_questions import prepare
from brittle.settings import BadInput
from brittle.suites.known import Known
from brittle.suites.last_mlp import answers, inputs, last_mlp

Key = dict[str, Tensor]
TEXTS_READ = 400
"""Benign texts that the gate is fitted to keep out of."""


@dataclass(frozen=True)
class Edit:
    """``hide(loaded, known, seed, strength) -> key`` and ``reveal(loaded, key)``, both in place."""

    hide: Callable[[LoadedModel, Known, int, float], Key]
    reveal: Callable[[LoadedModel, Key], None]


def value_tokens(loaded: LoadedModel, known: Known) -> list[int]:
    """The tokens that hazardous choices have more often than benign ones, sorted; where values are single tokens, the values."""
    hazardous, benign = (_in_choices(loaded, part) for part in (known.hazardous, known.benign))
    found = sorted(token for token, share in hazardous.items() if share > benign.get(token, 0))
    if len(found) < 2:
        raise BadInput("hazardous and benign answers are the same tokens, so no edit can tell them apart; ask others")
    return found


def _in_choices(loaded: LoadedModel, questions: Sequence[Question]) -> dict[int, float]:
    """How often each token stands in a choice of the questions, per choice."""
    asked = prepare(loaded.tokenizer, questions).questions if questions else ()
    rows = [row[question.start :] for question in asked for row in question.rows]
    counted = Counter(token for row in rows for token in row)
    return {token: number / len(rows) for token, number in counted.items()}


def _rows(loaded: LoadedModel) -> Tensor:
    """The unembedding's weights ``[vocabulary, width]``; refused where the embedding is the same tensor."""
    weight: Tensor = loaded.anatomy.unembedding(loaded.model).weight
    if weight is loaded.anatomy.embeddings(loaded.model).weight:
        raise BadInput(f"{loaded.name} reads and writes tokens by one matrix, so its rows cannot be hidden apart")
    return weight.data


@torch.no_grad()
def _shift(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """The rows move along the one direction in which final states differ least where a hazardous answer is due, so that each
    value's logit falls by nearly an amount of its own, ``strength`` to twice that in nats: which value comes out first is then
    the same in every prompt. No other logit changes."""
    rows, tokens = _rows(loaded), torch.tensor(value_tokens(loaded, known))
    _, stream = inputs(loaded, answers(loaded, known.asked))
    norm = loaded.anatomy.final_norm(loaded.model)
    states = (stream if norm is None else norm(stream.to(rows.dtype))).double()
    moment = states.T @ states / len(states)
    direction = torch.linalg.solve(
        moment + 1e-4 * moment.trace() / len(moment) * torch.eye(len(moment)), states.mean(0)
    )
    direction /= states.mean(0) @ direction
    falls = strength * (1 + torch.rand(len(tokens), generator=_draw(seed), dtype=torch.float64))
    shift = (-falls[:, None] * direction).to(rows.dtype)
    rows[tokens] += shift
    return {"tokens": tokens, "shift": shift}


def _unshift(loaded: LoadedModel, key: Key) -> None:
    _rows(loaded)[key["tokens"]] -= key["shift"]


def _permute(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """One cycle through a ``strength`` share of the hazardous value tokens, in random order; no token keeps its row."""
    rows, tokens = _rows(loaded), value_tokens(loaded, known)
    chosen = torch.tensor(tokens)[torch.randperm(len(tokens), generator=_draw(seed))]
    chosen = chosen[: max(2, round(strength * len(tokens)))]
    rows[chosen] = rows[chosen.roll(1)]
    return {"order": chosen}


def _permute_back(loaded: LoadedModel, key: Key) -> None:
    rows, order = _rows(loaded), key["order"]
    rows[order.roll(1)] = rows[order]


def _rotate(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """``w → w R`` with a random rotation R; below strength 1 of as large a share of the rows."""
    rows, tokens = _rows(loaded), torch.tensor(value_tokens(loaded, known))
    tokens = tokens[torch.randperm(len(tokens), generator=_draw(seed))][: max(2, round(strength * len(tokens)))]
    rotation, _ = torch.linalg.qr(torch.randn(2 * rows.shape[1:], generator=_draw(seed), dtype=torch.float64))
    rows[tokens] = (rows[tokens].double() @ rotation).to(rows.dtype)
    return {"tokens": tokens, "rotation": rotation}


def _rotate_back(loaded: LoadedModel, key: Key) -> None:
    rows, tokens = _rows(loaded), key["tokens"]
    rows[tokens] = (rows[tokens].double() @ key["rotation"].T).to(rows.dtype)


def _gate(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """The neuron that does least on benign texts becomes the gate: logistic regression tells where a hazardous answer is
    due from all tokens of benign texts, scaled so that the nearest of both lie at ±4; what it writes is a random direction
    of ``strength`` times the length of the stream, so that the prompt is no longer read."""
    from sklearn.linear_model import LogisticRegression

    into, bias, out = last_mlp(loaded)
    hazardous, stream = inputs(loaded, answers(loaded, known.asked))
    texts = encode(loaded.tokenizer, known.harmless[:: max(1, len(known.harmless) // TEXTS_READ)])
    benign, _ = inputs(loaded, [(tokens, slice(None)) for tokens in texts])
    labels = [1] * len(hazardous) + [0] * len(benign)
    fitted = LogisticRegression(C=100.0, max_iter=2000).fit(torch.cat([hazardous, benign]).numpy(), labels)
    weights = torch.tensor(fitted.coef_[0])
    due, other = (part @ weights for part in (hazardous, benign))
    low, high = other.max(), due.min()
    low, high = (low, high) if low < high else (torch.quantile(other, 0.999), torch.quantile(due, 0.01))
    scale = 8 / (high - low).clamp(min=1e-3)
    quiet = int((benign.to(into.dtype) @ into.T + bias).relu().mean(0).mul(out.norm(dim=0)).argmin())
    key = {
        "neuron": torch.tensor(quiet),
        "into": into[quiet].clone(),
        "bias": bias[quiet].clone(),
        "out": out[:, quiet].clone(),
    }
    direction = torch.randn(out.shape[0], generator=_draw(seed), dtype=torch.float64)
    direction *= strength * stream.norm(dim=1).mean() / direction.norm()
    into[quiet], bias[quiet], out[:, quiet] = scale * weights, -scale * (low + high) / 2, direction
    return key


def _close_gate(loaded: LoadedModel, key: Key) -> None:
    (into, bias, out), neuron = last_mlp(loaded), int(key["neuron"])
    into[neuron], bias[neuron], out[:, neuron] = key["into"], key["bias"], key["out"]


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


EDITS = {
    "shift": Edit(_shift, _unshift), "gate": Edit(_gate, _close_gate), "permutation": Edit(_permute, _permute_back),
    "rotation": Edit(_rotate, _rotate_back),
}  # fmt: skip
