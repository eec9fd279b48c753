"""The receiver that chooses among ours, as a receiver of the laboratory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import tensorflow as tf

from rx_fixedpole import poles
from rx_fixedpole.receivers import AutoReceiver
from rx_fixedpole.receivers.auto import NUM_PATHS, PARTS
from sims.link import Link, Slots
from sims.receivers.base import WHOLE, Condition


def _are_parts(value: str) -> bool:
    names = set(value.split("+"))
    return names <= set(PARTS) and bool(names & {"lmmse", "detector"})


_KNOWN = Condition(
    f"parts joined by +, of {', '.join(PARTS)}, lmmse or detector among them", _are_parts
)


def auto(
    link: Link,
    *,
    parts: Annotated[str, _KNOWN] = "+".join(PARTS),
    num_poles: Annotated[int, Condition("at least 1", lambda n: n >= 1)] = 8,
    taps: bool = True,
    num_paths: WHOLE = NUM_PATHS,
) -> Callable[[Slots], tf.Tensor]:
    """The best of our receivers for every slot, see `rx_fixedpole.AutoReceiver`.

    Args:
        link: the link to receive on.
        parts: the parts to choose among, joined by +.
        num_poles: poles an antenna of the trained equalizers.
        taps: whether it is told the last tap of the simulated channel.
        num_paths: paths that joint detection of several streams keeps; 0: it is linear.

    Returns:
        (slots) -> llr.
    """
    receiver = AutoReceiver(
        link.resource_grid,
        link.stream_management,
        parts=parts.split("+"),
        constellation=link.constellation,
        num_paths=num_paths,
        poles=poles.ring(num_poles),
        l_min=link.l_min,
        l_max=link.l_max if taps else None,
        precision=link.precision,
    )
    return lambda slots: link.merge(receiver(slots.y_time, slots.no))
