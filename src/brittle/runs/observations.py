"""Who is shown what: the one place that hands passes to the diagnostics that need them, and says what these depend on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from brittle import discovery, source
from brittle.runs.listeners import Listener, all_fail_together, as_needs, wanting
from brittle.runs.passes import PASSES
from brittle.runs.session import Subject
from brittle.settings import BadInput


def observe(listeners: Sequence[Listener], subject: Subject) -> None:
    """Make the listeners' fitters and show each, kind by kind, what it needs of one model, a pair or a table."""
    for listener in listeners:
        listener.begin(subject.random)
    for need, kind in PASSES.items():
        some = wanting(listeners, need)
        for group in [[listener] for listener in some] if kind.alone or not some else [some]:
            all_fail_together(group, partial(kind.show, group, subject))


def needs_of(plugin: discovery.Plugin) -> tuple[str, ...]:
    """What a diagnostic is shown. BadInput if its file asks for what there is not, or not for its scope."""
    needs, scope = as_needs(plugin.constants["NEEDS"]), plugin.constants["SCOPE"]
    known = [need for need, kind in PASSES.items() if scope in kind.scopes]
    if unknown := [need for need in needs if need not in known]:
        raise BadInput(
            f"{plugin.path}: NEEDS has '{unknown[0]}', and nothing of that name is shown of a {scope}; there is "
            f"{', '.join(known)}"
        )
    return needs


def read_by(plugins: Collection[discovery.Plugin]) -> set[str]:
    """Which of :data:`~brittle.runs.passes.READ` any of these diagnostics depends on; a lens that learns reads texts too."""
    found = {word for plugin in plugins for need in needs_of(plugin) for word in PASSES[need].reads}
    learned = any(plugin.variant.get("lens") in ("tuned", "linear") for plugin in plugins)
    return found | ({"texts"} if learned else set())


def reads_records(plugin: discovery.Plugin) -> bool:
    """Whether a diagnostic is shown what others wrote, so that it comes after them."""
    return any(PASSES[need].recorded for need in needs_of(plugin))


def code_of(diagnostic: str, needs: Collection[str]) -> str:
    """The hash of the code behind a diagnostic: its own module and the passes that it listens to."""
    passes = [code for need in needs if (code := PASSES[need].code)]
    own = tuple(f"brittle.runs.{name}" for name in ("passes", "observations", "listeners", "controls"))
    return source.digest_of(diagnostic, *passes, files=own)
