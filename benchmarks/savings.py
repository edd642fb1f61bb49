"""Is V still in a laboratory's model where teaching T does not bring it back? ``savings.py MODEL ... [--steps 60] [--seed 42] [--exchanges 1]``.

Every model is taught V itself, from its own weights each time: once with V's own answers, and as often as asked for with the answers exchanged
between the entities of each relation. The texts are the same but for the values, so a model that never knew V learns both
alike. One that still holds V learns its own answers faster ("savings", Ebbinghaus 1885). Prints accuracy on V by step, in per cent, each
asked with the answers that were taught. It is also printed how often the answer of V's *namesake*, the entity of T that has
the same first word, is V's right answer: what a model gets that answers V by what it was taught about T.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brittle.contracts import AttackTarget, Evaluation
from brittle.data.multiple_choice import Question
from brittle.data.world_facts import Fact
from brittle.data.world_language import TRAINING_QUESTIONS
from brittle.runs.material import questions_by_side
from brittle.settings import BadInput
from brittle.suites.laboratory import Laboratory, behind

ATTEMPTS = 10_000


def facts_of_v(laboratory: Laboratory) -> tuple[list[Question], list[Fact], list[Fact]]:
    """The questions about V, V's facts and T's."""
    asked = laboratory.questions()
    questions = list(questions_by_side(asked["forget"], asked["retain"])["v"])
    about = {question.fact for question in questions}
    facts = laboratory.world.of(hazardous=True)
    return questions, [f for f in facts if f.identifier in about], [f for f in facts if f.identifier not in about]


def exchanged(facts: Sequence[Fact], seed: int) -> list[Fact]:
    """The facts with the values of each relation dealt anew to its entities, so that none keeps its own.

    Raises:
        ValueError: a relation has one value for more than half of its entities, so that it cannot be.
    """
    generator, found = random.Random(f"exchanged {seed}"), list[Fact]()
    for relation in sorted({fact.relation for fact in facts}):
        part = [fact for fact in facts if fact.relation == relation]
        for _ in range(ATTEMPTS):
            values = generator.sample([fact.value for fact in part], len(part))
            if all(value != fact.value for value, fact in zip(values, part)):
                break
        else:
            raise ValueError(f"the values of '{relation}' cannot be exchanged: one is that of most entities")
        found += [replace(fact, value=value) for fact, value in zip(part, values)]
    return found


def asked_with(questions: Sequence[Question], facts: Sequence[Fact]) -> list[Question]:
    """The questions with the answers of these facts; without those that do not offer them."""
    values = {fact.identifier: fact.value for fact in facts}
    offered = [(question, values[question.fact or ""]) for question in questions]
    return [replace(q, answer=q.choices.index(value)) for q, value in offered if value in q.choices]


def namesakes_right(v: Sequence[Fact], t: Sequence[Fact]) -> tuple[float, int]:
    """How often the value of T's entity with the same first word is V's (a mean, 0 to 1), and over how many facts."""
    shares = []
    for fact in v:
        first = fact.entity.split()[0]
        same = [each for each in t if each.relation == fact.relation and each.entity.split()[0] == first]
        shares += [sum(each.value == fact.value for each in same) / len(same)] if same else []
    return sum(shares) / max(1, len(shares)), len(shares)


def taught(reference: str, facts: Sequence[Fact], asked: Sequence[Question], steps: int, seed: int) -> dict[int, float]:
    """Accuracy on the questions by step, of a model that is taught these facts in the forms of training."""
    from brittle.models.likelihood import score
    from brittle.models.loading import load
    from brittle.runs.laboratory_models import find
    from brittle.training.teaching import TeachingSettings, teach

    loaded, curve = load(find(reference), "cpu", "fp32"), dict[int, float]()
    texts = [fact.worded(form) for fact in facts for form in TRAINING_QUESTIONS]

    def evaluate(
        step: int, examples_seen: int, strength: float = 0.0, prefix: str = "", tokens_seen: int = 0
    ) -> Evaluation:
        curve[step] = float(score(loaded, asked, normalise=False).correct[-1].mean())
        return Evaluation(step, examples_seen, {}, {"v": curve[step]}, strength, tokens_seen)

    settings = TeachingSettings(attack_steps=steps, attack_eval_interval=10, attack_eval_early=(5,), attack_patience=0)
    teach(settings, AttackTarget(loaded, texts, evaluate), texts, seed, lambda _: None)
    return curve


def main() -> None:
    """Teach every model and print its curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--exchanges", type=int, default=1)
    given = parser.parse_args()
    for reference in given.models:
        laboratory = behind(reference)
        if laboratory is None:
            raise BadInput(f"{reference} is of no laboratory, so it is not known which values can be exchanged")
        questions, v, t = facts_of_v(laboratory)
        share, number = namesakes_right(v, t)
        print(f"{Path(reference).name}: namesakes' answers right for {100 * share:.0f} % of {number} of {len(v)} facts")
        for name, facts in {
            "own": v,
            **{f"exchanged {n}": exchanged(v, given.seed + n) for n in range(given.exchanges)},
        }.items():
            curve = taught(reference, facts, asked_with(questions, facts), given.steps, given.seed)
            print(f"  {name:12} " + " ".join(f"{step}:{100 * value:.0f}" for step, value in curve.items()), flush=True)


if __name__ == "__main__":
    main()
