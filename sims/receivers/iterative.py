"""Iterative reception, with the decoder between passes, as a receiver of the laboratory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf
from sionna.phy.ofdm import LMMSEEqualizer

from rx_fixedpole import poles
from rx_fixedpole.receivers import (
    AutoReceiver,
    FixedPoleEqualizer,
    IterativeReceiver,
    WienerEqualizer,
)
from rx_fixedpole.receivers.iterative import Equalizer
from sims.link import Link, Slots
from sims.link.coding import Codec
from sims.receivers.base import COUNT, Options
from sims.receivers.estimated import fixed_pole_block
from sims.receivers.ours import can_be_trained
from sims.receivers.pusch import is_pusch
from sims.scenario import Scenario

FirstPass = Literal["wiener", "lmmse", "trained", "auto"]
NUM_POLES = 8


def has_codewords(scenario: Scenario, options: Options) -> str | None:
    """Refuse what has no code, or one that goes over several streams."""
    if scenario.coderate is None:
        return "needs a code, whose decoder tells the data"
    if is_pusch(scenario, options) is None:
        return "needs a codeword a stream, not one over all layers"
    if options["first"] == "trained":
        return can_be_trained(scenario, {"num_poles": NUM_POLES, "window": None, "tracking": False})
    return None


def iterative(
    link: Link,
    *,
    num_passes: COUNT = 2,
    num_iter: COUNT | None = None,
    first: FirstPass = "wiener",
) -> Callable[[Slots], tf.Tensor]:
    """Detection repeated with decoded data as pilots, see `rx_fixedpole.IterativeReceiver`.

    Args:
        link: the link to receive on.
        num_passes: detections of a slot; 1 is the first pass alone.
        num_iter: iterations of the decoder between two passes; None: as many as after the last.
        first: the first pass: the Wiener equalizer in time or a one-tap LMMSE detector, both with
            the fixed-pole channel estimate, the trained equalizer, or the best of these by slot,
            several streams detected together.

    Returns:
        (slots) -> llr.
    """
    codec = link.codec
    if not isinstance(codec, Codec) or codec.encoder is None:
        raise ValueError("iterative needs a scenario with a codeword a stream")
    receiver = IterativeReceiver(
        link.resource_grid,
        link.stream_management,
        codec.encoder,
        constellation=link.constellation,
        first=FIRST_PASSES[first](link),
        num_passes=num_passes,
        num_iter=num_iter or link.scenario.num_decoder_iterations,
        l_min=link.l_min,
        precision=link.precision,
    )
    return lambda slots: receiver(slots.y_time, slots.no)


def _wiener(link: Link) -> WienerEqualizer:
    return WienerEqualizer(
        link.resource_grid,
        link.stream_management,
        estimator=fixed_pole_block(link),
        l_min=link.l_min,
        precision=link.precision,
    )


def _lmmse(link: Link) -> Equalizer:
    """The first pass of `fixed_pole_lmmse`, at its FFT window offset."""
    estimate = fixed_pole_block(link)
    equalizer = LMMSEEqualizer(link.resource_grid, link.stream_management, precision=link.precision)

    def receive(y_time: tf.Tensor, no: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = link.demodulate(y_time, link.fft_offset)
        return equalizer(y, *estimate(y, no), no)

    return receive


def _trained(link: Link) -> FixedPoleEqualizer:
    return FixedPoleEqualizer(
        link.resource_grid,
        link.stream_management,
        poles=poles.ring(NUM_POLES),
        l_min=link.l_min,
        precision=link.precision,
    )


def _auto(link: Link) -> AutoReceiver:
    return AutoReceiver(
        link.resource_grid,
        link.stream_management,
        constellation=link.constellation,
        l_min=link.l_min,
        l_max=link.l_max,
        precision=link.precision,
    )


FIRST_PASSES: dict[FirstPass, Callable[[Link], Equalizer]] = {
    "wiener": _wiener,
    "lmmse": _lmmse,
    "trained": _trained,
    "auto": _auto,
}
