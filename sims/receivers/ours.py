"""The fixed-pole equalizer as a receiver of the laboratory; without poles it is the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import tensorflow as tf

from rx_fixedpole import poles
from rx_fixedpole.readout import ARDRidge, Ridge
from rx_fixedpole.receivers import FixedPoleEqualizer, TrackingEqualizer
from sims.link import Link, Slots
from sims.receivers.base import POSITIVE, WHOLE, Condition, Options
from sims.scenario import Scenario

# Every placement but the one on the unit circle, which no recurrence in time may use.
STABLE_PLACEMENTS = [name for name in poles.PLACEMENTS if name != "delays"]
PLACEMENT = Annotated[
    str, Condition(f"one of {', '.join(STABLE_PLACEMENTS)}", STABLE_PLACEMENTS.__contains__)
]


def can_be_trained(scenario: Scenario, options: Options) -> str | None:
    """Refuse options that leave no features, or more of them than the pilots can train."""
    num_poles, window = options["num_poles"], options["window"]
    tracking = options.get("tracking", True)  # decisions always move the weights
    if window == num_poles == 0:
        return "needs poles or a window"
    if tracking and len(scenario.pilot_symbols) < 2:
        return "needs pilots on two OFDM symbols for weights that move"
    copies = scenario.num_rx_ant * (2 if tracking else 1)
    num_features = copies * (num_poles + (1 if window is None else window))  # None: 1 or more
    if num_features > scenario.num_pilots:
        return f"has {num_features} features but only {scenario.num_pilots} pilots"
    return None


def fixed_pole(
    link: Link,
    *,
    placement: PLACEMENT = "ring",
    num_poles: WHOLE = 8,
    window: WHOLE | None = None,
    delay: int | None = None,
    basis: Literal["orthonormal", "parallel"] = "orthonormal",
    readout: Literal["ard", "ridge"] = "ard",
    reg: POSITIVE = 1.0,
    domain: Literal["time", "frequency"] = "time",
    tracking: bool = False,
) -> Callable[[Slots], tf.Tensor]:
    """Fixed-pole equalizer, see `rx_fixedpole.FixedPoleEqualizer`.

    Args:
        link: the link to receive on.
        placement: a name of `rx_fixedpole.poles.PLACEMENTS`, except "delays", with its default
            parameters.
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
    equalizer = FixedPoleEqualizer(
        link.resource_grid,
        link.stream_management,
        poles=_placed(placement, num_poles),
        window=window,
        delay=delay,
        readout={"ard": ARDRidge, "ridge": Ridge}[readout](reg=reg),
        basis=basis,
        l_min=link.l_min,
        domain=domain,
        tracking=tracking,
        precision=link.precision,
    )

    return _received(link, equalizer, domain)


def tracking(
    link: Link,
    *,
    placement: PLACEMENT = "ring",
    num_poles: WHOLE = 8,
    window: WHOLE | None = None,
    delay: int | None = None,
    basis: Literal["orthonormal", "parallel"] = "orthonormal",
    domain: Literal["time", "frequency"] = "time",
    num_passes: WHOLE = 5,
) -> Callable[[Slots], tf.Tensor]:
    """Fixed-pole equalizer that follows by decisions, see `rx_fixedpole.TrackingEqualizer`.

    Args:
        link: the link to receive on.
        placement, num_poles, window, delay, basis, domain: as for `fixed_pole`.
        num_passes: fits with decisions.

    Returns:
        (slots) -> llr.
    """
    equalizer = TrackingEqualizer(
        link.resource_grid,
        link.stream_management,
        constellation=link.constellation,
        num_passes=num_passes,
        poles=_placed(placement, num_poles),
        window=window,
        delay=delay,
        basis=basis,
        l_min=link.l_min,
        domain=domain,
        precision=link.precision,
    )

    return _received(link, equalizer, domain)


def _placed(placement: str, num_poles: int) -> np.ndarray | None:
    return poles.PLACEMENTS[placement](num_poles) if num_poles else None


def _received(
    link: Link, equalizer: FixedPoleEqualizer, domain: str
) -> Callable[[Slots], tf.Tensor]:
    def receive(slots: Slots) -> tf.Tensor:
        y = slots.y_time if domain == "time" else slots.y
        return link.demap(*equalizer(y, slots.no))

    return receive
