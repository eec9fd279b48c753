"""Checks of the receivers' arguments, worded once."""

from __future__ import annotations

import operator
from typing import Any

from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid


def integer(value: Any, name: str, *, at_least: int | None = None) -> int:
    """``value`` as an int, refused if it is none or smaller than ``at_least``.

    Scalar tensors count: Sionna gives the first and last lag of a channel as such.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be >= {at_least}, got {number}")
    return number


def choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """``value`` if it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def flag(value: Any, name: str) -> bool:
    """``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def sionna_grid(resource_grid: Any) -> None:
    """Refuse what is not a resource grid."""
    if not isinstance(resource_grid, ResourceGrid):
        raise TypeError(f"resource_grid must be a ResourceGrid, got {resource_grid!r}")


def sionna_objects(resource_grid: Any, stream_management: Any) -> None:
    """Refuse what is not a grid and a stream management that belong together."""
    sionna_grid(resource_grid)
    if not isinstance(stream_management, StreamManagement):
        raise TypeError(f"stream_management must be a StreamManagement, got {stream_management!r}")
    grid = (int(resource_grid.num_tx), int(resource_grid.num_streams_per_tx))
    streams = (int(stream_management.num_tx), int(stream_management.num_streams_per_tx))
    if grid != streams:
        raise ValueError(
            "stream_management must have the transmitters and streams of resource_grid, "
            f"{grid[0]} x {grid[1]}, got {streams[0]} x {streams[1]}"
        )
