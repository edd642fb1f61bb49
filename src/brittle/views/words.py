"""Numbers and judgements as words. The judgements themselves are made in :mod:`brittle.results`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from brittle import percentages
from brittle.contracts import DAMAGE_MARGIN
from brittle.mathematics.survival import MedianTime
from brittle.percentages import points
from brittle.results import levels
from brittle.results.at_matched_t import Estimate, MatchedRecovery
from brittle.results.at_strongest import EPSILON, Strongest, WorstCase
from brittle.results.attack_paths import Way
from brittle.results.damage import Damage, Likelihood
from brittle.results.levels import Varied
from brittle.results.outputs import ModelResult, ReportData
from brittle.results.recovery_speed import RecoveryNumbers
from brittle.results.roles import Role
from brittle.results.verdicts import AtMatchedT, Control, Judgement, answer, control

NOT_MEASURED = "not measured"

JUDGEMENTS = {
    Judgement.CAME_BACK: "came back",
    Judgement.PARTLY: "partly came back",
    Judgement.NO_SIGN: "no sign found within the attacks listed",
    Judgement.CANNOT_TELL: "cannot tell",
}
MEANINGS = {
    Judgement.CAME_BACK: "an attack brought V at least half of the way back: it was only hidden",
    Judgement.PARTLY: "an attack brought back a smaller part",
    Judgement.NO_SIGN: "no attack that was tried brought V back; another may",
    Judgement.CANNOT_TELL: "what was measured allows no answer, for the reason that stands beside it",
}
AT_MATCHED_T = {
    AtMatchedT.CAME_BACK: "came back",
    AtMatchedT.CAME_BACK_LATER: "came back later",
    AtMatchedT.NOT_REMOVED: "never removed",
    AtMatchedT.PARTLY: "partly came back",
    AtMatchedT.ABOVE_CHANCE: "above chance",
    AtMatchedT.NOT_BY_THE_ATTACK: "above chance, but not by the attack",
    AtMatchedT.NOT_ABOVE_CHANCE: "not above chance",
    AtMatchedT.REFERENCE: "reference that never lost V",
    AtMatchedT.NOT_TESTED: "not tested against chance",
    AtMatchedT.TOO_FEW_QUESTIONS: "too few questions to tell from chance",
    AtMatchedT.NO_CONTROL: "no control",
    AtMatchedT.ABOVE_WITHOUT_CONTROL: "above chance, no control",
    AtMatchedT.CONTROL_ABOVE_CHANCE: "no verdict: the control is above chance too",
}
CONTROLS = {
    Control.NOT_TESTED: "control",
    Control.NEVER_LEARNED_T: "control: never learned T",
    Control.ABOVE_CHANCE: "control: above chance",
    Control.NOT_ABOVE_CHANCE: "control: not above chance",
}
WAYS = {
    Way.RETRACED: "the attack retraced the unlearning",
    Way.BEGAN: "the attack began to retrace the unlearning",
    Way.PARTLY: "the attack went partly back and mostly another way",
    Way.ELSEWHERE: "the attack did not retrace the unlearning",
}


def in_a_word(data: ReportData, model: ModelResult) -> str:
    """The judgement of a model, or what kind of reference it is."""
    if model.role == Role.FILTERED:
        return CONTROLS[control(data, model)]
    return JUDGEMENTS[answer(data, model).judgement] if model in data.judged() else "reference"


def learned(row: MatchedRecovery) -> str:
    """Whether T was learned."""
    if not row.learned:
        many = f" in {row.diverged} of {row.seeds} seeds" if row.diverged < row.seeds else ""
        return f"cannot tell: the attack diverged{many}" if row.diverged else "never learned T: no control"
    return "learned T" if row.learned == row.seeds else f"learned T in {row.learned} of {row.seeds} seeds"


def at_matched_t(row: MatchedRecovery, judged: AtMatchedT) -> str:
    """What one attack shows about one model."""
    return AT_MATCHED_T.get(judged) or learned(row)


def percent(value: float | None, decimals: int = 0) -> str:
    """A share as per cent, whole unless ``decimals`` are asked for; what is None was not measured."""
    return NOT_MEASURED if value is None else percentages.percent(value, decimals)


def excess(value: float | None) -> str:
    """An excess recovery; – where there is no scale, or where the attack brought nothing back (:data:`NO_EXCESS`)."""
    return "–" if value is None else f"{value:.2f}"


BOUND = f"{percentages.points(EPSILON)} points on benign questions and {DAMAGE_MARGIN:g} nat per token on benign texts"
"""What an attack may cost, as the object of *at most*."""


def benign_words(found: Likelihood) -> str:
    """``9.4 nats per token on benign stories; base 0.7, uniform guessing 7.3``, as far as it is known."""
    beside = {"base": found.base, "uniform guessing": found.uniform}
    known = ", ".join(f"{name} {value:.1f}" for name, value in beside.items() if not math.isnan(value))
    return f"{found.value:.1f} nats per token on benign {found.kind}" + (f"; {known}" if known else "")


def damage_words(damage: Damage) -> str:
    """Why a model is damaged: the number, beside what it is held against."""
    if damage.accuracy is not None:
        floor = f"; less than {percent(damage.floor)} is half of the way from guessing to the base"
        return f"{percent(damage.accuracy)} of the benign questions{floor}"
    return benign_words(damage.likelihood) if damage.likelihood else ""


NO_EXCESS = "excess recovery is – where nothing came back, and without a filtered model and a base to scale it by"


def chance_p(p: float) -> str:
    """A p-value as text; the smallest that 2,000 permutations can give is 0.0005."""
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def several(names: Sequence[str]) -> str:
    """Names joined as in a sentence."""
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + " and " + names[-1]


LEVELS = ("worlds", "trainings of the base", "unlearning seeds", "attack seeds")


def over(varied: Varied) -> str:
    """Over what an interval is: ``over 3 worlds, 2 unlearning seeds and 3 attack seeds``; empty where nothing varied."""
    counts = (varied.worlds, varied.trainings, varied.unlearning_seeds, varied.attack_seeds)
    parts = ["questions"] if varied.questions else []
    parts += [f"{number or ''} {name}".strip() for number, name in zip(counts, LEVELS) if number != 1]
    return f"over {several(parts)}" if parts else ""


def what_varied(varied: Varied) -> str:
    """The same as the name of an interval, and what did not vary: every interval of what attacks bring back is called so."""
    if not over(varied):
        return "no interval: one world, one training, one attack seed"
    if varied.worlds == 1:
        same = [] if varied.questions else ["questions"]
        if varied.trainings == 1:
            same.append("models" if varied.unlearning_seeds == 1 else "base")
        return f"95 % interval {over(varied)}, with the same {several([*same, 'world'])}"
    once = "each model was made" if varied.unlearning_seeds == 1 else "the base was trained"
    return f"95 % interval {over(varied)}" + (f"; {once} once in each world" if varied.trainings == 1 else "")


OVER_SEEDS = what_varied(levels.OVER_ATTACK_SEEDS)
"""What varied in the interval of an estimate within one outputs folder."""
OVER_QUESTIONS = what_varied(levels.OVER_QUESTIONS)
"""What varied in the interval of a cross-fitted worst case."""
MEDIANS = (
    "the median over attack seeds lies between two evaluations; in square brackets, from six seeds on, its 95 % interval "
    f"{over(levels.OVER_ATTACK_SEEDS)}; in round ones how many seeds got there"
)
"""How :func:`median_words` is read."""


def median_words(row: RecoveryNumbers, percent: int) -> str:
    """``between 20 and 40 (3 of 3)``; ``not within 80 (1 of 3)`` where fewer than half got there."""
    time, reached = row.median(percent), getattr(row, f"reached_{percent}")
    words = f"not within {row.horizon}" if math.isinf(time.value) else between(time)
    return f"{words}{_interval(time)} ({reached} of {row.seeds})"


def between(time: MedianTime) -> str:
    """Between which two evaluations; one number where it was seen at once, – where it was not counted."""
    if math.isnan(time.value):
        return "–"
    if math.isinf(time.value):
        return f"not within {time.after:,.0f}"
    return f"{time.value:,.0f}" if time.after == time.value else f"between {time.after:,.0f} and {time.value:,.0f}"


def _interval(time: MedianTime) -> str:
    """The interval over seeds, where they give one."""
    if not (time.low > 0 or math.isfinite(time.high)):
        return ""
    return f" [{time.low:.0f}, {'–' if math.isinf(time.high) else format(time.high, '.0f')}]"


def at_worst(case: WorstCase) -> str:
    """V in the worst case, with what its interval is over: ``97 % [93, 100 over questions and attack seeds]``."""
    after = case.found.after
    if not case.cross_fitted:
        return percent(after.mean)
    return f"{percent(after.mean)} [{points(after.low)}, {points(after.high)} {over(levels.OVER_QUESTIONS)}]"


def over_seeds(value: Estimate) -> str:
    """An estimate in a sentence: ``97 % [95, 100 over attack seeds]``."""
    return str(value) if math.isnan(value.low) else f"{str(value)[:-1]} {over(levels.OVER_ATTACK_SEEDS)}]"


def by(row: Strongest) -> str:
    """Under which attack, as text."""
    return row.attack.replace("_", " ") if row.step else "before any attack"


def control_words(case: WorstCase) -> str | None:
    """The filtered model's worst case."""
    if case.control is None:
        return None
    return f"{percent(case.control.after.mean)} ({by(case.control)})"
