"""Teaching a model under attack: fine-tuning on texts, asked what it knows along the way.

Weights are float32 whatever the compute type. The same seed gives every arm the same texts in the same order. Models
are asked early and often at first, because knowledge that was only hidden may return within ten steps.

Every arm is trained for the same number of steps, whether it learns fast or not: what came back is compared over one
horizon. One thing ends it before: T and V are right throughout, at no cost on benign questions, at several evaluations in a
row. Nothing is left to come back then, so no time to a level and no highest V can change; that V would stay there is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from brittle.contracts import BENIGN_COST, AttackFacts, AttackTarget, Diverged, Evaluation, at_most
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import nn

    from brittle.training.step import LossTerms, Step


@dataclass(frozen=True)
class TeachingSettings:
    """How hard an attack that trains tries."""

    attack_lr: float = setting(1.25e-3, "peak learning rate of the attack", above=0, maximum=1e4)
    attack_steps: int = setting(300, "optimizer steps of the attack", minimum=1)
    attack_batch_size: int = setting(16, "texts per step of the attack", minimum=1)
    attack_eval_interval: int = setting(20, "steps between evaluations during the attack", minimum=1)
    attack_eval_early: tuple[int, ...] = setting(
        (5, 10), "further steps at which the model is asked", minimum=1, may_be_empty=True
    )
    attack_loss_tokens: str = setting("all", "which tokens the attack's loss covers", choices=("all", "answer"))
    attack_patience: int = setting(
        3, "evaluations in a row with all of T and V right, at no cost, that end an arm's attack; 0: never", minimum=0
    )
    attack_schedule: str = setting(
        "constant", "learning rate over the attack", choices=("constant", "linear", "cosine")
    )
    attack_warmup_steps: int = setting(0, "steps over which the attack's learning rate rises", minimum=0)
    attack_max_length: int = setting(512, "longest row of the attack in tokens; longer texts become several", minimum=2)
    attack_optimizer: str = setting(
        "adamw", "optimizer of the attack", choices=("adamw", "sgd", "sign_sgd", "lion", "muon", "adafactor")
    )
    attack_dtype: str = setting(
        "fp32", "number type of the attack's arithmetic; the weights stay fp32", choices=("fp32", "bf16", "fp16")
    )
    trajectory_steps: tuple[int, ...] = setting(
        (0, 20, 80), "steps at which weights, activations and lens are compared with the base (first seed; none: never)",
        minimum=0, may_be_empty=True,
    )  # fmt: skip


def check_teaching(settings: TeachingSettings, facts: AttackFacts) -> None:
    """Refuse, before any work, a batch larger than the texts there are and texts longer than a model's positions."""
    standard = TeachingSettings()
    texts = max(facts.texts, facts.retain_texts)
    at_most(
        "--attack-batch-size", settings.attack_batch_size, texts, standard.attack_batch_size, f"there are {texts} texts"
    )
    at_most(
        "--attack-max-length", settings.attack_max_length, facts.window, standard.attack_max_length,
        f"a model has {facts.window} positions",
    )  # fmt: skip


def teach(
    settings: TeachingSettings,
    target: AttackTarget,
    texts: Sequence[str],
    seed: int,
    tick: Callable[[int], None],
    steps: int | None = None,
    start: Sequence[Evaluation] = (),
    prefix: str = "",
    until: int | None = None,
) -> list[Evaluation]:
    """Train the target's model in place, all parameters that are not frozen.

    Returns evaluations before, early, at every interval and after the last step. ``start``: those of what came before;
    counting goes on there, and they stand first in the result. ``prefix`` stands before every text, where it is not
    learned, and before every question. ``until``: the first evaluation after so many steps is the last. Where the model no
    longer gives numbers the evaluations end, and ``target.diverged`` says so.
    """
    from brittle.models.encoding import longest_row
    from brittle.training.batches import Sampler, Supply, tokenise
    from brittle.training.loop import LoopSettings, NotFinite, train

    steps = settings.attack_steps if steps is None else steps
    tokenizer = target.loaded.tokenizer
    longest = longest_row(target.loaded.model, settings.attack_max_length)
    examples = tokenise(
        tokenizer, texts, longest, settings.attack_loss_tokens, prefix=prefix, what="texts of the attack"
    )
    ask = partial(target.evaluate, prefix=prefix) if prefix else target.evaluate
    sampler = Sampler("attack", examples, settings.attack_batch_size, tokenizer.pad_token_id, seed)
    evaluations = list(start) or [ask(0, 0)]
    past, tokens = evaluations[-1], [evaluations[-1].tokens_seen]
    first = len(evaluations) if start else 0

    def loss(step: Step) -> LossTerms:
        tokens[0] += int(step.batches["attack"].attention_mask.sum())
        return {"attack": step.negative_log_likelihood("attack")}

    def listen(number: int, model: nn.Module, _terms: dict[str, float]) -> bool:
        tick(1)
        if number % settings.attack_eval_interval == 0 or number == steps or number in settings.attack_eval_early:
            model.eval()
            seen = past.examples_seen + number * settings.attack_batch_size
            evaluations.append(ask(past.step + number, seen, tokens_seen=tokens[0]))
            model.train()
            if number >= (until or steps):
                return True
        return _nothing_left(evaluations[0], evaluations[first:][-settings.attack_patience :], settings.attack_patience)

    precision = "no" if settings.attack_dtype == "fp32" else settings.attack_dtype
    loop = LoopSettings(
        steps, settings.attack_lr, settings.attack_optimizer, settings.attack_schedule, settings.attack_warmup_steps,
        mixed_precision=precision, seed=seed,
    )  # fmt: skip
    model = target.loaded.model
    try:
        train(model, Supply([sampler]), loss, loop, device=str(target.loaded.device), listeners=[listen])
    except (NotFinite, Diverged) as problem:  # a learning rate too high: the curve ends where it was still a number
        target.give_up(evaluations[-1].step, 0.0, problem)
    return evaluations


def _nothing_left(before: Evaluation, latest: Sequence[Evaluation], patience: int) -> bool:
    """Whether the latest evaluations, as many as asked for, show all of T and V right and the bound on benign answers kept."""
    return 0 < patience <= len(latest) and all(
        all(each.accuracy.get(side) == 1 for side in ("t", "v"))
        and each.accuracy["retain"] >= before.accuracy["retain"] - BENIGN_COST
        for each in latest
    )


def by_steps(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The same evaluations with the number of steps as their strength."""
    return [replace(evaluation, strength=float(evaluation.step)) for evaluation in evaluations]
