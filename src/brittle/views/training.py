"""What a training, or its first steps alone, did to a model: lines for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from brittle import discovery
from brittle.contracts import DAMAGE_MARGIN
from brittle.percentages import DIGITS, points
from brittle.results.no_effect import LEAST_RISE, Effect, effect, rise
from brittle.results.reader import below, number

SIDES = {"t": "hazardous questions, half T", "v": "hazardous questions, half V", "retain": "benign questions"}
PLACES = {"first": "at the first step", "last": "at the end"}


def changes(summary: Mapping[str, Any]) -> list[str]:
    """Likelihoods and answers before and after, and how far the weights moved."""
    lines = []
    for split in ("forget", "retain", "benign"):
        before, after = summary.get(f"{split}_nll_before"), summary.get(f"{split}_nll")
        if before is not None or after is not None:
            shown = ["not a number" if value is None else f"{value:.3f}" for value in (before, after)]
            change = "" if None in (before, after) else f" ({rise(summary, split):+.3f})"
            lines.append(f"   {split} likelihood loss {' -> '.join(shown)} nats per token{change}")
    if summary.get("collapsed"):
        lines.append(f"   damaged: benign texts cost at least {DAMAGE_MARGIN:g} nats per token more than the base")
    for side, words in SIDES.items():
        if f"accuracy_{side}" in summary:
            before = summary.get(f"accuracy_{side}_before")
            was = "" if before is None else f", {points(before)}% before"
            lines.append(f"   {words}: {points(summary[f'accuracy_{side}'])}% right{was}")
    moved, part = (number(summary.get(name)) for name in ("update_norm", "update_share"))
    if not math.isnan(moved):
        lines.append(f"   update: ‖ΔW‖₂ = {moved:.3g}, {share(part)} of the weights' length")
    return lines


def no_effect(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """That nothing was unlearned, if so: by which numbers, and what to try. Empty where something was."""
    if not summary.get("nothing_unlearned"):
        return []
    lines = [f"   nothing was unlearned: {reason(effect(summary))}"]
    return [*lines, f"   to try: {advice(summary, settings)}", *pulled(summary), *steered(summary, settings)]


def reason(found: Effect) -> str:
    """The numbers of the criterion (:mod:`brittle.results.no_effect`)."""
    parts = []
    if not math.isnan(found.forget_rise):
        beside = f", other texts {found.other_rise:+.3f}" if found.other_rise else ""
        parts.append(
            f"forget texts {found.forget_rise:+.3f} nats per token{beside} ({LEAST_RISE:+g} beyond others counts)"
        )
    if found.lost is not None:
        parts.append(f"{found.lost} hazardous answers lost and {found.won} won, as by chance")
    return "; ".join(parts)


def gentler(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """What may make a training do less harm, by method."""
    return _by_method(summary, "collapses", f"a lower --lr (it is {number(settings.get('lr')):g})")


def worst(summary: Mapping[str, Any]) -> float:
    """How much dearer texts other than the forget texts became, in nats per token, of the kind where that is most."""
    return effect(summary).other_rise


def advice(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """What may make a training do more, by method."""
    taken = f"a higher --lr (it is {number(settings.get('lr')):g}) or more steps (now {summary.get('steps')})"
    return _by_method(summary, "too weak", taken)


def _by_method(summary: Mapping[str, Any], case: str, words: str) -> str:
    plugin = discovery.plugins("methods").get(str(summary.get("method")))
    return f"{words}; {plugin.load().TUNING[case]}" if plugin else words


def pulled(summary: Mapping[str, Any], places: Mapping[str, str] = PLACES) -> list[str]:
    """The length of each term's gradient, first and last."""
    found = below(summary, "gradient_norms")
    parts = [
        f"{', '.join(f'{name} {number(norm):.3g}' for name, norm in found[place].items())} {words}"
        for place, words in places.items()
        if isinstance(found.get(place), dict) and found[place]
    ]
    if not parts:
        return []
    last = {name: number(norm) for name, norm in below(found, "last").items()}
    held = "retain" in last and last["retain"] >= last.get("forget", 0.0) > 0
    balance = "; the retain term pulls back as hard as the forget term pushes" if held else ""
    return [f"   gradient norms: {'; '.join(parts)}{balance}"]


def steered(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """How long hidden states are where a method moves them, beside the target's length, where it has one."""
    lengths = below(summary, "state_norms")
    if not lengths:
        return []
    told = ", ".join(f"{number(length):.3g} at layer {layer}" for layer, length in lengths.items())
    line = f"   hidden states of forget texts are this long (median over tokens): {told}"
    plugin = discovery.plugins("methods").get(str(summary.get("method")))
    name = plugin.load().TUNING.get("length") if plugin else None
    if name is None:
        return [line]
    target = number(settings.get(name))
    least, most = (target / number(each) for each in (max(lengths.values()), min(lengths.values())))
    times = f"{least:.2g}" if f"{least:.2g}" == f"{most:.2g}" else f"{least:.2g} to {most:.2g}"
    flag = "--" + str(name).replace("_", "-")
    return [f"{line}; their target ({flag}) is {target:g} long, {times} times that"]


def share(value: float) -> str:
    """A share of the weights' length as per cent, with two digits that count."""
    if not math.isfinite(value):
        return "an unknown share"
    decimals = max(0, -1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{points(value, min(decimals, DIGITS - 2))}%"
