"""Reading and replacing hidden states while a model computes, and ending its pass once enough was seen.

The one place that knows how blocks take and give hidden states: as the only tensor, as the first of a tuple, or by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

See = Callable[[Tensor], "Tensor | None"]
"""Is shown hidden states ``[batch, tokens, width]``; what it returns takes their place, nothing leaves them."""


class EnoughSeen(Exception):
    """Raised by what is shown hidden states: ends the forward pass after the deepest block that anyone reads."""


def until_enough() -> contextlib.AbstractContextManager[None]:
    """Inside, a forward pass may end with :class:`EnoughSeen`."""
    return contextlib.suppress(EnoughSeen)


@contextlib.contextmanager
def entering(module: nn.Module, see: See) -> Iterator[None]:
    """While inside, ``see`` is shown what enters the module, before it computes."""

    def hook(
        _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        instead = see(inputs[0] if inputs else named["hidden_states"])
        if instead is None:
            return None
        return ((instead, *inputs[1:]), named) if inputs else (inputs, named | {"hidden_states": instead})

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def leaving(module: nn.Module, see: See, first: bool = False) -> Iterator[None]:
    """While inside, ``see`` is shown what leaves the module; with ``first`` before all who are shown it already."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        instead = see(output[0] if isinstance(output, tuple) else output)
        return (instead, *output[1:]) if instead is not None and isinstance(output, tuple) else instead

    handle = module.register_forward_hook(hook, prepend=first)
    try:
        yield
    finally:
        handle.remove()
