"""Formulas as docstrings write them, ``L = −NLL_forget + w · ‖θ − θ_0‖²``, in the LaTeX that a browser renders.

Single letters stay italic, longer names stand upright, words in between are text. What ``_`` and ``^`` bind is the name, number or
group in braces right after them.
"""

from __future__ import annotations

import re
import unicodedata

SIGNS = {
    "−": "-", "·": r"\cdot ", "×": r"\times ", "‖": r"\Vert ", "|": r"\vert ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "←": r"\leftarrow ",
    "→": r"\to ", "∞": r"\infty ", "∈": r"\in ", "∇": r"\nabla ", "Σ": r"\sum ", "∏": r"\prod ", "√": r"\surd ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "ℓ": r"\ell ", "½": r"\tfrac12 ", "≈": r"\approx ", "∝": r"\propto ", "⊙": r"\odot ", "∂": r"\partial ", "%": r"\%", "#": r"\#", "&": r"\&",
    "$": r"\$", "~": r"\sim ", "±": r"\pm ", "…": r"\dots ", "ᵀ": r"^{\top}",
}  # fmt: skip
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n"))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₋₊ₜ", "0123456789-+t"))
ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar"}
FUNCTIONS = {"log", "exp", "cos", "min", "max", "det"}
OPERATORS = {"argmin", "argmax", "softmax", "sign"}
TOKEN = re.compile(r"`+[^`]+`+|(?:(?![ᵀⁿₜ²³¹\u2070-\u209f])[^\W\d_])+|[0-9]+(?:\.[0-9]+)?|\s+|.", re.DOTALL)


def latex(formula: str) -> str:
    """One formula, of one or several lines, for display."""
    lines = [_line(line) for line in formula.rstrip().splitlines() if line.strip()]
    if len(lines) == 1:
        return lines[0]
    return r"\begin{aligned}" + r" \\ ".join(f"& {line}" for line in lines) + r"\end{aligned}"


def _line(line: str) -> str:
    """A line; wide space sets parts apart."""
    pieces = TOKEN.findall(unicodedata.normalize("NFD", re.sub(r"\s+(?=[=←])", " ", line.strip())))
    written: list[str] = []
    bound = after = False
    for place, piece in enumerate(pieces):
        before = pieces[place - 1] if place else ""
        if piece in ACCENTS and written:
            written[-1] = rf"\{ACCENTS[piece]}{{{written[-1]}}}"
        elif piece.isspace():
            written.append(r"\quad " if len(piece) > 1 else " ")
        elif piece in "_^":
            written.append(piece)
            bound, after = True, False
            continue
        elif piece == "*" and before[-1:].isalpha():
            written.append("^{*}")
        else:
            if piece in LOWERED and written[-1:] and written[-1].endswith("}") and after:
                written[-1] = f"{written[-1][:-1]}{_sign(piece)}}}"
                continue
            written.append(f"{{{_sign(piece)}}}" if bound and piece != "{" else _sign(piece))
            after = bound
            bound = False
            continue
        bound = after = False
    return _scripts("".join(written)).strip()


def _sign(piece: str) -> str:
    if piece in SIGNS:
        return SIGNS[piece]
    if piece in RAISED:
        return f"^{{{RAISED[piece]}}}"
    if piece in LOWERED:
        return f"_{{{LOWERED[piece]}}}"
    if piece in FUNCTIONS:
        return rf"\{piece} "
    if piece in OPERATORS:
        return rf"\operatorname{{{piece}}}"
    if piece.startswith("`"):
        return rf"\texttt{{{piece.strip('`')}}}"
    if len(piece) > 1 and piece.isalpha():
        return rf"\text{{{piece}}}"
    return piece


def _scripts(text: str) -> str:
    """Raised signs in a row as one; words that follow each other as one text, with the space around it that formulas would swallow."""
    while (joined := re.sub(r"\^\{([-+\dn]+)\}\^\{([-+\dn]+)\}", r"^{\1\2}", text)) != text:
        text = joined
    while (joined := re.sub(r"(\\text\{[^{}]*)\} +\\text\{", r"\1 ", text)) != text:
        text = joined
    text = re.sub(r"(?<=[^ ]) +(?=\\text\{)", r"\\ ", text)
    return re.sub(r"(?<![_^]\{)(\\text\{[^{}]*\}) +(?=[^ ])", r"\1\\ ", text)
