"""What a receiver of the laboratory is, and how its options are completed and checked."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sims.scenario import Scenario


def runs_everywhere(scenario: Scenario) -> str | None:
    """Accept every scenario: the `requires` of a receiver without restrictions."""
    del scenario
    return None


@dataclass(frozen=True)
class Receiver:
    """One entry of the registry: how to build a receiver and what to know before doing so.

    Args:
        build: `build(link, *, explicit options) -> receive`, where `receive(slots) -> llr` maps
            Slots to LLRs [B, num_users, S, n] and may be wrapped in tf.function.
        label: short name for tables and plots.
        revision: integer that its author raises when results change.
        slow: whether a sweep should give it a smaller budget of slots.
        genie: whether it uses what no receiver can know.
        requires: `requires(scenario)` returns None, or the reason why it cannot run there.
    """

    build: Callable[..., Callable[..., typing.Any]]
    label: str
    revision: int = 1
    slow: bool = False
    genie: bool = False
    requires: Callable[[Scenario], str | None] = runs_everywhere


def complete_options(
    name: str, build: Callable[..., object], options: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Fill in the defaults of a builder's keyword options and check the given ones.

    Args:
        name: the receiver's name, for the error messages.
        build: builder whose keyword-only parameters all have a default and a type hint.
        options: given options; the others take their default.

    Returns:
        Every option of the builder, in the order of its signature.

    Raises:
        ValueError: for an unknown option (with the near ones) or a value that is not a choice.
        TypeError: for a value of the wrong type.
    """
    parameters = inspect.signature(build).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    hints = typing.get_type_hints(getattr(build, "func", build))  # a partial has none of its own
    given = dict(options or {})
    for key in given:
        if key not in defaults:
            raise ValueError(unknown(f"option of receiver {name!r}", key, defaults))
    return {
        key: _checked(f"option {key!r} of receiver {name!r}", given[key], hints[key])
        if key in given
        else default
        for key, default in defaults.items()
    }


def unknown(what: str, key: str, known: typing.Iterable[str]) -> str:
    """Word the message for an unknown name, with the near ones or else all of them."""
    known = list(known)
    near = difflib.get_close_matches(key, known, n=3) or known
    hint = f"; did you mean {', '.join(near)}?" if near else "; there are none"
    return f"unknown {what}: {key!r}{hint}"


def _checked(what: str, value: object, hint: typing.Any) -> object:
    """Return the value as the hinted type (an int may stand for a float)."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ValueError(f"{what} must be one of {', '.join(map(str, choices))}, got {value!r}")
        return value
    accepted = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    if float in accepted and isinstance(value, int) and not isinstance(value, bool):
        return value if int in accepted else float(value)
    if isinstance(value, bool) and bool not in accepted or not isinstance(value, accepted):
        expected = " or ".join(kind.__name__ for kind in accepted)
        raise TypeError(f"{what} must be {expected}, got {value!r}")
    return value
