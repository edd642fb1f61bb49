"""The lines of ``brittle unlearn --probe``: what the first steps of a run did, and what to expect of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

from brittle.contracts import DAMAGE_MARGIN
from brittle.results.no_effect import LEAST_RISE
from brittle.results.outlook import LEAST_SHARE, Expected, Outlook, Walked, expected, weights_norm
from brittle.views import training

OUTLOOKS = {
    Outlook.NOTHING: "a run like this unlearns nothing",
    Outlook.NOT_YET: "nothing to be seen yet",
    Outlook.UNDER_WAY: "it unlearns",
    Outlook.TOO_FAST: "this may damage the model",
}


def lines(summary: Mapping[str, Any], walked: Walked, settings: Mapping[str, Any]) -> list[str]:
    """What was measured, and the outlook with its numbers and what to try."""
    taken = len(walked.moved)
    found, weights = expected(summary, walked), weights_norm(summary)
    places = {"first": "at the first step", "last": f"after {taken}, on the same texts"}
    return [
        f"{taken} of {walked.steps} steps taken, nothing written",
        *training.changes(summary),
        f"   each step: ‖ΔW‖₂ = {', '.join(f'{each:.3g}' for each in walked.moved)}",
        f"   all {walked.steps} steps: {walked.at_least:.3g} if each goes its own way, to {walked.at_most:.3g} if all go one way "
        f"({training.share(walked.at_least / weights)} to {training.share(found.share)} of the weights' length)",
        *training.pulled(summary, places),
        *training.steered(summary, settings),
        f"   outlook: {OUTLOOKS[found.outlook]}{_why(found, summary, walked)}",
        *_try(found, summary, walked, settings),
    ]  # fmt: skip


def _why(found: Expected, summary: Mapping[str, Any], walked: Walked) -> str:
    """The numbers behind an outlook."""
    if walked.broke:
        return f": {walked.broke}"
    pace = f"at this pace forget texts cost {found.forget_rise:+.3g} nats per token beyond others at the end"
    if isnan(found.forget_rise):
        pace = "what forget texts cost was not measured (--eval-split holds none out)"
    counts = "" if isnan(found.forget_rise) else f" ({LEAST_RISE:+g} counts)"
    risk = ""
    if found.other_rise >= DAMAGE_MARGIN:
        risk = (
            f". Other texts would cost {found.other_rise:+.2g}, and from {DAMAGE_MARGIN:g} on a model is damaged; "
            "the retain term may hold that, or not"
        )
    match found.outlook:
        case Outlook.TOO_FAST:
            return (
                f": other texts cost {training.worst(summary):+.2f} nats per token after {len(walked.moved)} steps, and from "
                f"{DAMAGE_MARGIN:g} on a model is damaged; the retain term may win that back, or not"
            )
        case Outlook.NOTHING:
            return (
                f": {pace}{counts}, and weights move by at most {training.share(found.share)} of their "
                f"length (less than {training.share(LEAST_SHARE)})"
            )
        case Outlook.NOT_YET:
            return f": {pace}{counts}, but the weights go on; some losses begin slowly, others do nothing"
    return f": {pace}{risk}"


def _try(found: Expected, summary: Mapping[str, Any], walked: Walked, settings: Mapping[str, Any]) -> list[str]:
    if found.outlook in (Outlook.NOTHING, Outlook.NOT_YET):
        return [f"   to try: {training.advice({**summary, 'steps': walked.steps}, settings)}"]
    if found.outlook == Outlook.TOO_FAST:
        return [f"   to try: {training.gentler(summary, settings)}"]
    return []
