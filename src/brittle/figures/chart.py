"""A figure of the report: one Vega-Lite specification, shown by a browser or rendered here to the same picture.

The renderer is loaded where the first picture is made: it takes a second and is not needed to import Brittle.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas

PIXELS = 2
"""Pixels of a PNG per unit of length."""


@dataclass(frozen=True)
class Chart:
    """A figure and the numbers behind it."""

    name: str
    """What its files are called."""
    spec: dict[str, Any]
    """In Vega-Lite, with its data and the house theme. Names of models stand in data only, never in an expression."""
    table: pandas.DataFrame

    def svg(self) -> str:
        """The picture; equal charts give equal text."""
        return svg(self.spec)

    def png(self) -> bytes:
        """The picture in pixels."""
        import vl_convert

        return bytes(vl_convert.vegalite_to_png(self.spec, scale=PIXELS))

    def address(self) -> str:
        """The picture as a ``data:`` address for an image on a page."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg().encode()).decode()

    def json(self) -> str:
        """The specification as it may stand in a page's script: what would end the script is written by its number."""
        written = json.dumps(self.spec, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        for sign in "<>&\u2028\u2029":
            written = written.replace(sign, f"\\u{ord(sign):04x}")
        return written


def svg(spec: dict[str, Any]) -> str:
    """A specification, rendered."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


@cache
def library() -> str:
    """Vega, Vega-Lite and what embeds them in a page, gzipped and in base64: 0.4 MB."""
    import vl_convert

    script = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its snippet has a default
    packed = gzip.compress(script.encode(), 9, mtime=0)
    return base64.b64encode(packed).decode()
