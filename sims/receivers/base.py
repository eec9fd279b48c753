"""What a receiver of the laboratory is, and how its options are completed and checked."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from sims.scenario import Scenario

Options = Mapping[str, Any]


class Condition(typing.NamedTuple):
    """What an option's value must be beyond its type, noted in its hint: `Annotated[int, ...]`."""

    words: str
    holds: Callable[[Any], bool]


COUNT = Annotated[int, Condition("at least 1", lambda n: n >= 1)]
WHOLE = Annotated[int, Condition("at least 0", lambda n: n >= 0)]
POSITIVE = Annotated[float, Condition("positive and finite", lambda x: 0 < x < math.inf)]
NOT_NEGATIVE = Annotated[float, Condition("at least 0 and finite", lambda x: 0 <= x < math.inf)]
SHARE = Annotated[float, Condition("between 0 and 1", lambda x: 0 < x < 1)]


def runs_everywhere(scenario: Scenario, options: Options) -> str | None:
    """Accept everything: the `requires` of a receiver without restrictions."""
    del scenario, options
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
        requires: `requires(scenario, all options)` returns None, or the reason why it cannot run
            there with these. It is asked before anything is simulated and takes next to no time.
    """

    build: Callable[..., Callable[..., typing.Any]]
    label: str
    revision: int = 1
    slow: bool = False
    genie: bool = False
    requires: Callable[[Scenario, Options], str | None] = runs_everywhere


def complete_options(
    name: str, build: Callable[..., object], options: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Fill in the defaults of a builder's keyword options and check the given ones.

    Args:
        name: the receiver's name, for the error messages.
        build: builder whose keyword-only parameters all have a default and a type hint, which may
            carry a Condition.
        options: given options; the others take their default.

    Returns:
        Every option of the builder, in the order of its signature.

    Raises:
        ValueError: for an unknown option (with the near ones) or a value that is not a choice or
            breaks a condition.
        TypeError: for a value of the wrong type.
    """
    parameters = inspect.signature(build).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    function = getattr(build, "func", build)  # a partial has no hints of its own
    hints = typing.get_type_hints(function, include_extras=True)
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


def _checked(what: str, value: object, hint: Any) -> object:
    """Return the value as the hinted type (an int may stand for a float), its conditions met."""
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ValueError(f"{what} must be one of {', '.join(map(str, choices))}, got {value!r}")
        return value
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if union else (hint,)
    accepted = tuple(getattr(member, "__origin__", member) for member in members)
    value = _of_type(what, value, accepted)
    for condition in (note for member in members for note in getattr(member, "__metadata__", ())):
        if value is not None and not condition.holds(value):
            raise ValueError(f"{what} must be {condition.words}, got {value!r}")
    return value


def _of_type(what: str, value: object, accepted: tuple[type, ...]) -> object:
    if float in accepted and isinstance(value, int) and not isinstance(value, bool):
        return value if int in accepted else float(value)
    if isinstance(value, bool) and bool not in accepted or not isinstance(value, accepted):
        expected = " or ".join(kind.__name__ for kind in accepted)
        raise TypeError(f"{what} must be {expected}, got {value!r}")
    return value
