"""Questions: the lens at all depths against unembedding everything, multiple choice against lm-eval's scorer and whole rows."""

from __future__ import annotations

import functools

import numpy
import pair_of_models
import torch
from diagnostic_ways import BATCH, TURNS, hidden_states_and_logits, loaded, with_models
from measuring import Benchmark, Pair, Way, seconds
from pair_of_models import SHAPES, Shape
from torch import Tensor

from brittle.models.batching import batches_by_length
from brittle.models.likelihood import lens, score, token_log_probabilities
from brittle.models.loading import LoadedModel
from brittle.models.observation import pad
from brittle.models.prepared_questions import prepare


def lens_everywhere(shape: Shape, model: LoadedModel) -> Tensor:
    """The other lens: every row of every question whole, every position unembedded at every depth, ``[depths, questions]``."""
    chosen = []
    for question in pair_of_models.questions(shape):
        rows = model.tokenizer([f"{question.question} {choice}" for choice in question.choices])["input_ids"]
        start = len(model.tokenizer(question.question)["input_ids"])
        ids, mask = pad(rows, model.tokenizer.pad_token_id)
        by_depth = []
        for hidden in hidden_states_and_logits(model, ids, mask, None):
            with torch.no_grad():
                logs = lens(model, hidden).log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
            by_depth.append([float(logs[i, start - 1 : len(row) - 1].mean()) for i, row in enumerate(rows)])
        chosen.append(by_depth)
    return torch.tensor(chosen).argmax(-1).T


def lm_eval_scoring(size: str) -> Way:
    """The other: lm-eval's own scorer asked for the likelihood of every choice; its task machinery is not timed."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    shape = SHAPES[size]
    model = loaded(pair_of_models.folders(shape)[1])
    asked = pair_of_models.questions(shape)
    requests = [
        Instance("loglikelihood", {}, (question.question, f" {choice}"), place)
        for question in asked
        for place, choice in enumerate(question.choices)
    ]
    scorer = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=BATCH, backend="causal")

    def run() -> list[int]:
        found = scorer.loglikelihood(requests, disable_tqdm=True)
        lengths = [len(model.tokenizer(request.args[1])["input_ids"]) for request in requests]
        means = numpy.array([value / length for (value, _), length in zip(found, lengths, strict=True)])
        return means.reshape(len(asked), -1).argmax(1).tolist()

    return Way(run)


def whole_rows(shape: Shape, model: LoadedModel) -> numpy.ndarray:
    """The other way to read answers of several tokens: every choice in a row of its own, behind its question."""
    prepared = prepare(model.tokenizer, pair_of_models.questions_with_long_answers(shape))
    depth = len(model.anatomy.blocks(model.model))
    items = [
        (number, choice, row, question.start)
        for number, question in enumerate(prepared.questions)
        for choice, row in enumerate(question.rows)
    ]
    values = numpy.zeros((len(prepared.questions), 4))
    for batch in batches_by_length(model.model, items, lambda item: len(item[2]), BATCH):
        numbers, choices, rows, starts = zip(*batch)
        found = token_log_probabilities(model, rows, starts, [depth], prepared.padding)
        values[list(numbers), list(choices)] = [each.mean() for each in found]
    return values


LENS = Pair(
    "lens at all depths against unembedding every position",
    with_models(
        lambda shape, models: score(
            models[1], pair_of_models.questions(shape), "all", BATCH, normalise=False
        ).predictions.ravel()
    ),
    with_models(lambda shape, models: lens_everywhere(shape, models[1]).numpy().ravel()),
)
SCORING = Pair(
    "multiple choice against lm-eval, same predictions",
    with_models(
        lambda shape, models: score(
            models[1], pair_of_models.questions(shape), batch_size=BATCH, normalise=False
        ).predictions.ravel()
    ),
    lm_eval_scoring,
)
SHARED = Pair(
    "multiple choice, answers of several tokens, against whole rows",
    with_models(
        lambda shape, models: score(
            models[1], pair_of_models.questions_with_long_answers(shape), batch_size=BATCH
        ).log_probabilities[0]
    ),
    with_models(lambda shape, models: whole_rows(shape, models[1])),
)
BENCHMARKS = [
    Benchmark(f"{LENS.name}: seconds", 5, functools.partial(seconds, LENS, turns=TURNS), LENS),
    Benchmark(f"{SCORING.name}: seconds", 3, functools.partial(seconds, SCORING, turns=TURNS), SCORING),
    Benchmark(f"{SHARED.name}: seconds", 3, functools.partial(seconds, SHARED, turns=TURNS), SHARED),
]
