"""One visual style: a role has the same colour in every figure and on the page, a category never borrows one.

Base is dark grey, filtered green, retrained blue, unlearned models warm; groups, components and splits take purples and
teals. Colours are from Okabe and Ito 2008 or differ in lightness too, and every line has its own marker, so that
nothing depends on telling red from green.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

ROLE_COLOURS = {"base": "#333333", "filtered": "#009E73", "retrained": "#0072B2"}
ROLE_MARKERS = {"base": "s", "filtered": "D", "retrained": "^"}
WARM_COLOURS = ("#D55E00", "#E69F00", "#B5477F", "#7A2E0E", "#F08A7A", "#A67C00", "#E0218A", "#F2C14E")
WARM_MARKERS = ("o", "v", "P", "X", "<", ">", "*", "h")
MOST = len(WARM_COLOURS)
"""So many unlearned models, or values of a column, have colours of their own in one figure."""
CATEGORY_COLOURS = {
    "forget": "#6A3D9A", "retain": "#2A9DAF",
    "attn": "#6A3D9A", "mlp": "#2A9DAF",
    "qkv": "#4A2377", "proj": "#A98BC9", "mlp_expand": "#1B6E7B", "mlp_contract": "#7CCBD6",
}  # fmt: skip
OTHER_COLOURS = ("#4A2377", "#2A9DAF", "#8C8C8C", "#A98BC9", "#1B6E7B", "#595959", "#6A3D9A", "#7CCBD6")
OTHER_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WIDE = 3.4  # base and filtered are drawn wide, so that a line that lies on theirs hides neither
BAND = "#D9D9D9"
REFERENCE = "#767676"

PARAMETERS: dict[Any, Any] = {  # matplotlib types its keys as literals
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same on every machine
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.dpi": 100,
    "savefig.dpi": 180,
}
WIDTH = 4.5  # inches: on a screen of 390 pixels text is then still ten pixels high


@dataclass(frozen=True)
class Look:
    """How one line looks."""

    colour: str
    marker: str
    width: float = 1.6


def looks_of_models(roles: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """The look of each model, from (name, role) in the order of the comparison.

    A second model of a reference's role has another shade of its colour and another marker.
    """
    looks: dict[str, Look] = {}
    seen: Counter[str] = Counter()
    for name, role in roles:
        role = role if role in ROLE_COLOURS else "unlearned"
        place = seen[role]
        seen[role] += 1
        if role in ROLE_COLOURS:
            marker = ROLE_MARKERS[role] if not place else WARM_MARKERS[-place % len(WARM_MARKERS)]
            looks[name] = Look(_shade(ROLE_COLOURS[role], place), marker, WIDE if role != "retrained" else 1.6)
        else:
            looks[name] = Look(WARM_COLOURS[place % MOST], WARM_MARKERS[place % MOST])
    return looks


def _shade(colour: str, place: int) -> str:
    """The colour itself at place 0, then by turns a lighter and a darker one, each further from it."""
    if not place:
        return colour
    end, weight = float(place % 2), 1 - 0.6 ** ((place + 1) // 2)
    red, green, blue = ((1 - weight) * part + weight * end for part in to_rgb(colour))
    return to_hex((red, green, blue))


def looks_of_categories(values: Sequence[object]) -> dict[object, Look]:
    """The look of each value of a column: fixed for those with a meaning, in order for the rest; no colour twice.

    More than :data:`MOST` values take their colours from one scale from dark to light, and markers in turn.
    """
    if len(values) > MOST:
        scale = colormaps["viridis"].resampled(len(values))
        shades = [to_hex(scale(place)) for place in range(len(values))]
        return {value: Look(shades[n], OTHER_MARKERS[n % len(OTHER_MARKERS)]) for n, value in enumerate(values)}
    fixed = {value: CATEGORY_COLOURS.get(str(value)) or ROLE_COLOURS.get(str(value)) for value in values}
    looks: dict[object, Look] = {}
    for index, value in enumerate(values):
        taken = {look.colour for look in looks.values()} | {colour for colour in fixed.values() if colour}
        own = fixed[value]
        if own is None or own in {look.colour for look in looks.values()}:
            own = next(colour for colour in OTHER_COLOURS + tuple(CATEGORY_COLOURS.values()) if colour not in taken)
        looks[value] = Look(own, OTHER_MARKERS[index])
    return looks


def literal(label: str) -> str:
    """A name as matplotlib shows it: a dollar sign is no formula, a leading underscore does not hide it."""
    label = label.replace("$", r"\$")
    return f"\u200b{label}" if label.startswith("_") else label
