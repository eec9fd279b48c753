"""Sionna's PUSCHReceiver and its counterpart in the time domain, on the link's slots.

Both hand on the LLRs of the codewords instead of decided bits, so that one decoder serves all
receivers of a sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import tensorflow as tf
from sionna.phy.nr import PUSCHReceiver

from rx_fixedpole.receivers import (
    FixedPoleDetector,
    TimeDomainPUSCHReceiver,
    WienerEqualizer,
)
from sims.link import Link, Slots
from sims.receivers.base import Condition, Options
from sims.receivers.estimated import fixed_pole_block
from sims.scenario import PUSCHScenario, Scenario

# What takes the place of a part of Sionna's receiver: name -> (link) -> the part; None: Sionna's.
ESTIMATORS: dict[str, Callable[[Link], Any]] = {
    "ls": lambda link: None,
    "fixed_pole": fixed_pole_block,
}
DETECTORS: dict[str, Callable[[Link], Any]] = {
    "lmmse": lambda link: None,
    "fixed_pole": lambda link: FixedPoleDetector(
        link.resource_grid,
        link.stream_management,
        constellation=link.constellation,
        precision=link.precision,
    ),
}
# The same for ours: name -> (link) -> equalizer; None: its default.
EQUALIZERS: dict[str, Callable[[Link], Any]] = {
    "fixed_pole": lambda link: None,
    "wiener": lambda link: WienerEqualizer(
        link.resource_grid,
        link.stream_management,
        estimator=fixed_pole_block(link),
        l_min=link.l_min,
        precision=link.precision,
    ),
}


def _key_of(parts: Mapping[str, Any]) -> Condition:
    # The parts may grow after this module was read, but not after a sweep asks.
    return Condition(f"one of {', '.join(parts)}", parts.__contains__)


ESTIMATOR = Annotated[str, _key_of(ESTIMATORS)]
DETECTOR = Annotated[str, _key_of(DETECTORS)]
EQUALIZER = Annotated[str, _key_of(EQUALIZERS)]


def is_pusch(scenario: Scenario, options: Options) -> str | None:
    """Refuse slots that are not of the 5G NR uplink."""
    del options
    return None if isinstance(scenario, PUSCHScenario) else "needs a PUSCH scenario"


def is_pusch_without_precoder(scenario: Scenario, options: Options) -> str | None:
    """Refuse what Sionna's receiver would ask the channel of every antenna for."""
    if isinstance(scenario, PUSCHScenario) and scenario.tpmi is not None:
        return "needs a PUSCH scenario without a precoder; 'perfect_csi' takes any"
    return is_pusch(scenario, options)


def pusch(
    link: Link,
    *,
    estimator: ESTIMATOR = "ls",
    detector: DETECTOR = "lmmse",
    input_domain: Literal["freq", "time"] = "freq",
) -> Callable[[Slots], tf.Tensor]:
    """Sionna's PUSCHReceiver.

    Args:
        link: a PUSCH link.
        estimator: its `channel_estimator`, a key of ESTIMATORS.
        detector: its `mimo_detector`, a key of DETECTORS.
        input_domain: "freq" is fed the grid at the link's best FFT window offset; "time" the
            samples, and Sionna's demodulator starts its windows l_min samples early.

    Returns:
        (slots) -> llr.
    """
    receiver = PUSCHReceiver(
        link.pusch_transmitter,
        channel_estimator=ESTIMATORS[estimator](link),
        mimo_detector=DETECTORS[detector](link),
        tb_decoder=_hand_on,
        input_domain=input_domain,
        l_min=link.l_min,
        precision=link.precision,
    )

    def receive(slots: Slots) -> tf.Tensor:
        y = slots.y if input_domain == "freq" else slots.y_time
        return receiver(y, slots.no)[:, :, None]

    return receive


def pusch_perfect(link: Link, *, detector: DETECTOR = "lmmse") -> Callable[[Slots], tf.Tensor]:
    """Sionna's PUSCHReceiver, given the true response of every resource element.

    Args:
        link: a PUSCH link.
        detector: its `mimo_detector`, a key of DETECTORS.

    Returns:
        (slots) -> llr.
    """
    receiver = PUSCHReceiver(
        link.pusch_transmitter,
        channel_estimator="perfect",
        mimo_detector=DETECTORS[detector](link),
        tb_decoder=_hand_on,
        precision=link.precision,
    )

    def receive(slots: Slots) -> tf.Tensor:
        return receiver(slots.y, slots.no, link.frequency_response(slots.h_time))[:, :, None]

    return receive


def pusch_time(link: Link, *, equalizer: EQUALIZER = "fixed_pole") -> Callable[[Slots], tf.Tensor]:
    """PUSCH in the time domain, see `rx_fixedpole.TimeDomainPUSCHReceiver`.

    Args:
        link: a PUSCH link.
        equalizer: a key of EQUALIZERS; "fixed_pole" is the default one. For the fixed-pole
            equalizer with other options see `fixed_pole`.

    Returns:
        (slots) -> llr.
    """
    made = EQUALIZERS[equalizer](link)
    receiver = TimeDomainPUSCHReceiver(
        link.pusch_transmitter,
        equalizer=made,
        l_min=link.l_min if made is None else None,
        tb_decoder=_hand_on,
        precision=link.precision,
    )
    return lambda slots: receiver(slots.y_time, slots.no)[:, :, None]


def _hand_on(llr: tf.Tensor) -> tuple[tf.Tensor, None]:
    """In the place of a transport block decoder."""
    return llr, None
