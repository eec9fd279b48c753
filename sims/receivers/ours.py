"""The fixed-pole equalizer as a receiver of the laboratory; without poles it is the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from rx_fixedpole import poles
from rx_fixedpole.readout import ARDRidge, Ridge
from rx_fixedpole.receivers import FixedPoleEqualizer
from sims.link import Link, Slots
from sims.receivers.base import unknown


def fixed_pole(
    link: Link,
    *,
    placement: str = "ring",
    num_poles: int = 8,
    window: int | None = None,
    delay: int | None = None,
    basis: Literal["orthonormal", "parallel"] = "orthonormal",
    readout: Literal["ard", "ridge"] = "ard",
    reg: float = 1.0,
    domain: Literal["time", "frequency"] = "time",
    tracking: bool = False,
) -> Callable[[Slots], tf.Tensor]:
    """Fixed-pole equalizer, see `rx_fixedpole.FixedPoleEqualizer`.

    Args:
        link: the link to receive on.
        placement: a name of `rx_fixedpole.poles.PLACEMENTS`, with its default parameters.
        num_poles: poles an antenna, >= 0.
        window: samples of the delay line before the poles; None: as the pilots allow.
        delay: decision delay in samples; None: half the features of an antenna.
        basis: basis of the poles.
        readout: "ard" learns the prior powers from the pilots, "ridge" has one for all.
        reg: regularisation in units of the noise variance (of the first fit for "ard").
        domain: "time", or "frequency" on the link's demodulated grid.
        tracking: weights that move within the slot.

    Returns:
        (slots) -> llr.
    """
    if placement not in poles.PLACEMENTS:
        raise ValueError(unknown("placement", placement, poles.PLACEMENTS))
    equalizer = FixedPoleEqualizer(
        link.resource_grid,
        link.stream_management,
        poles=poles.PLACEMENTS[placement](num_poles) if num_poles else None,
        window=window,
        delay=delay,
        readout={"ard": ARDRidge, "ridge": Ridge}[readout](reg=reg),
        basis=basis,
        l_min=link.l_min,
        domain=domain,
        tracking=tracking,
        precision=link.precision,
    )

    def receive(slots: Slots) -> tf.Tensor:
        y = slots.y_time if domain == "time" else slots.y
        return link.demap(*equalizer(y, slots.no))

    return receive
