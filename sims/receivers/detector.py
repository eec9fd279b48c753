"""The fixed-pole detector behind a channel estimate of choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from rx_fixedpole.receivers import FixedPoleDetector
from rx_fixedpole.receivers.joint_detection import NUM_PATHS
from sims.link import Link, Slots
from sims.receivers.base import COUNT, Options
from sims.receivers.delay_limited import delay_limited_estimator
from sims.receivers.detection import Estimator
from sims.receivers.estimated import fixed_pole_estimator
from sims.receivers.genie import true_channel
from sims.receivers.interpolated import ls_estimator, orthogonal_pilots
from sims.scenario import Scenario

EstimateName = Literal["ls_lin", "ls_lin_time_avg", "delay_limited", "fixed_pole", "perfect"]


def estimate_is_possible(scenario: Scenario, options: Options) -> str | None:
    """Refuse least squares without orthogonal pilots."""
    if options["estimate"] in ("delay_limited", "fixed_pole", "perfect"):
        return None
    return orthogonal_pilots(scenario, options)


def detector(
    link: Link,
    *,
    estimate: EstimateName = "ls_lin_time_avg",
) -> Callable[[Slots], tf.Tensor]:
    """Fixed-pole detection, see `rx_fixedpole.FixedPoleDetector`.

    Args:
        link: the link to receive on.
        estimate: the channel estimate that it is given: least squares, interpolated with or
            without an average over time, or limited in delay, the fixed-pole estimate, or the
            true channel.

    Returns:
        (slots) -> llr.
    """
    return _detecting(link, _estimator(link, estimate))


def joint_detector(link: Link, *, num_paths: COUNT = NUM_PATHS) -> Callable[[Slots], tf.Tensor]:
    """Fixed-pole channel estimate, and all streams detected together.

    Args:
        link: the link to receive on.
        num_paths: paths that are kept where not all vectors of symbols are tried.

    Returns:
        (slots) -> llr.
    """
    estimator = fixed_pole_estimator(link)
    return _detecting(link, estimator, detection="joint", num_paths=num_paths)


def _detecting(link: Link, estimator: Estimator, **how: Any) -> Callable[[Slots], tf.Tensor]:
    block = FixedPoleDetector(
        link.resource_grid,
        link.stream_management,
        constellation=link.constellation,
        precision=link.precision,
        **how,
    )
    return lambda slots: block(slots.y, *estimator(slots), slots.no)


def _estimator(link: Link, estimate: EstimateName) -> Estimator:
    if estimate == "perfect":
        return true_channel(link)
    if estimate == "fixed_pole":
        return fixed_pole_estimator(link)
    if estimate == "delay_limited":
        return delay_limited_estimator(link)
    return ls_estimator(link, "lin" if estimate == "ls_lin" else "lin_time_avg")
