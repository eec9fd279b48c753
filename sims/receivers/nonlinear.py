"""Nonlinear MIMO detectors of Sionna on a strong channel estimate."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from sionna.phy.ofdm import EPDetector, KBestDetector

from sims.link import Link, Slots
from sims.receivers.base import COUNT, Options
from sims.receivers.delay_limited import delay_limited_estimator
from sims.receivers.detection import Estimator, EstimatorName
from sims.receivers.interpolated import ls_estimator, orthogonal_pilots
from sims.receivers.joint_lmmse import joint_lmmse_estimator
from sims.scenario import Scenario


def several_streams(scenario: Scenario, options: Options) -> str | None:
    """Refuse scenarios where these detectors have nothing to decide jointly, or cannot."""
    num_streams = scenario.num_streams
    if num_streams < 2:
        return "needs at least two streams"
    if num_streams > scenario.num_rx_ant:
        return f"needs as many receive antennas as streams ({num_streams})"
    return orthogonal_pilots(scenario, options) if options.get("estimator") == "ls_lin" else None


def kbest(
    link: Link, *, estimator: EstimatorName = "joint_lmmse", num_paths: COUNT = 32
) -> Callable[[Slots], tf.Tensor]:
    """K-Best detection with max-log LLRs over the surviving paths.

    Args:
        link: the link to receive on.
        estimator: where the channel estimate comes from.
        num_paths: surviving paths per layer, at most the number of symbol vectors.

    Returns:
        (slots) -> llr.
    """
    scenario = link.scenario
    num_streams = scenario.num_streams
    detector = KBestDetector(
        "bit",
        num_streams,
        min(num_paths, 2 ** (scenario.num_bits_per_symbol * num_streams)),
        link.resource_grid,
        link.stream_management,
        constellation_type="qam",
        num_bits_per_symbol=scenario.num_bits_per_symbol,
        precision=link.resource_grid.precision,
    )
    return _receiver(link, detector, ESTIMATORS[estimator](link))


def ep(
    link: Link, *, estimator: EstimatorName = "joint_lmmse", num_iterations: COUNT = 10
) -> Callable[[Slots], tf.Tensor]:
    """Expectation propagation detection.

    Args:
        link: the link to receive on.
        estimator: where the channel estimate comes from.
        num_iterations: iterations of the detector.

    Returns:
        (slots) -> llr.
    """
    detector = EPDetector(
        "bit",
        link.resource_grid,
        link.stream_management,
        num_bits_per_symbol=link.scenario.num_bits_per_symbol,
        l=num_iterations,
        precision="double",  # its divisions by small variances fail in single precision
    )
    return _receiver(link, detector, ESTIMATORS[estimator](link), double=True)


ESTIMATORS: dict[str, Callable[[Link], Estimator]] = {
    "joint_lmmse": joint_lmmse_estimator,
    "delay_limited": delay_limited_estimator,
    "ls_lin": lambda link: ls_estimator(link, "lin"),
}


def _receiver(
    link: Link, detector: EPDetector | KBestDetector, estimate: Estimator, *, double: bool = False
) -> Callable[[Slots], tf.Tensor]:
    """Detect slot by slot: several times less memory, and faster for it, than all at once."""
    cdtype, rdtype = link.resource_grid.cdtype, link.resource_grid.rdtype
    if double:
        cdtype, rdtype = tf.complex128, tf.float64

    def receive(slots: Slots) -> tf.Tensor:
        h_hat, err_var = estimate(slots)
        err_var = tf.broadcast_to(err_var, tf.shape(h_hat))

        def one_slot(parts: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
            y, h, variance = parts
            y, h, variance = tf.cast(y, cdtype), tf.cast(h, cdtype), tf.cast(variance, rdtype)
            llr = detector(y[None], h[None], variance[None], tf.cast(slots.no, rdtype))[0]
            return tf.cast(llr, link.resource_grid.rdtype)

        dtype = link.resource_grid.rdtype
        return tf.map_fn(one_slot, (slots.y, h_hat, err_var), fn_output_signature=dtype)

    return receive
