"""States in a few windows of a signal, without those in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles.checks import whole
from .forward import last_state, start, states


def states_within(
    u: Tensor,
    poles: Any,
    windows: Sequence[tuple[int, int]],
    *,
    input_weights: Any = None,
    basis: str = "parallel",
) -> Tensor:
    """The features of :func:`states` in some windows, such as the pilot symbols of a slot.

    Between windows the state is carried from chunk to chunk and nothing else is formed, so memory
    is that of the windows' features.

    Args:
        u: complex ``[B, T, N]``.
        poles, input_weights, basis: as in :func:`states`.
        windows: pairs ``(start, stop)`` of samples with ``0 <= start < stop <= T``, ascending, no
            two overlapping.

    Returns:
        ``[B, P, F]`` in the dtype of ``u``, P the sum of the windows' lengths.

    Raises:
        TypeError: as :func:`states`, and if an end of a window is no integer.
        ValueError: as :func:`states`, and if there is no window, or one is empty, outside the
            signal or not after the one before it.

    Example:
        >>> import numpy as np
        >>> u = np.array([1, 0, 0, 0], dtype="complex128").reshape(1, 4, 1)
        >>> [complex(s).real for s in states_within(u, [0.5], [(0, 1), (2, 4)])[0, :, 0]]
        [1.0, 0.25, 0.125]
    """
    u = _backend.require_complex(u, "u", "B", "T", "N")
    parts, state, done = [], None, 0
    for first, end in check_windows(windows, u.shape[1]):
        if first > done:
            run = start(u[:, done:first], poles, input_weights, basis, state)
            state = last_state(run, first - done)
        inside, state = states(
            u[:, first:end],
            poles,
            input_weights=input_weights,
            basis=basis,
            initial_state=state,
            return_state=True,
        )
        parts.append(inside)
        done = end
    return ops.concatenate(parts, axis=1)


def check_windows(
    windows: Sequence[tuple[int, int]], num_samples: int | None
) -> list[tuple[int, int]]:
    """The windows as pairs of integers, or an error that says which one does not fit."""
    if num_samples is None:
        raise ValueError("u must have a static number of samples")
    result: list[tuple[int, int]] = []
    for window in windows:
        first, end = _pair(window)
        after = result[-1][1] if result else 0
        if not after <= first < end <= num_samples:
            raise ValueError(
                f"windows must be ascending pairs start < stop within 0 .. {num_samples}, none "
                f"overlapping, got {list(map(tuple, windows))}"
            )
        result.append((first, end))
    if not result:
        raise ValueError("windows must hold at least one pair (start, stop), got none")
    return result


def _pair(window: Any) -> tuple[int, int]:
    try:
        first, end = window
    except (TypeError, ValueError) as error:
        raise type(error)(f"windows must hold pairs (start, stop), got {window!r}") from None
    return whole(first, "windows", minimum=0), whole(end, "windows", minimum=0)
