"""Least squares over the delays that the channel can have: the strong estimator without statistics.

    h_hat(m, k) = sum_q t_q(m) sum_l c_qls exp(-j 2 pi k l / fft),   c = pinv(Phi) y_pilots

with one coefficient per lag, stream and time function: the constant where the channel stands
still over the slot, else constant and slope. No covariance is used, and no regularisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf
from sionna.phy import SPEED_OF_LIGHT

from sims.link import Link, Slots
from sims.receivers.detection import Estimator, lmmse_receiver, pilot_samples
from sims.receivers.grid import PilotGrid, fourier, pilot_grid
from sims.scenario import Scenario

# Above this phase turn between the outer pilots (radians of the largest Doppler shift) averaging
# over them costs more than the noise of a slope: the error of the mean is about turn^2 / 8.
_STANDING_TURN = 0.1
# Singular values below this carry less than -60 dB of the energy of the largest at the pilots.
_RCOND = 1e-3

TimeModel = Literal["auto", "average", "linear"]


def ls_delay_limited(link: Link, *, time: TimeModel = "auto") -> Callable[[Slots], tf.Tensor]:
    """Delay-limited least squares, then LMMSE detection."""
    return lmmse_receiver(link, delay_limited_estimator(link, time=time))


def delay_limited_estimator(link: Link, *, time: TimeModel = "auto") -> Estimator:
    """Estimate by least squares over the lags l_min .. max(CP, l_max), at most fft / comb of them.

    Args:
        link: the link to receive on.
        time: "average" (constant over the slot), "linear" (constant and slope), or "auto": by the
            scenario's speed, and constant where there is one pilot symbol.

    Returns:
        (slots) -> h_hat [B,1,A,U,S,M,K], err_var [U,S,M,K] (of the noise alone).
    """
    pilots = pilot_grid(link.resource_grid)
    basis = time_basis(pilots, _linear(link.scenario, pilots, time))
    last = max(link.scenario.cp_length, link.l_max)
    lags = limited_lags(pilots, link.l_min, last, basis.shape[1])
    parts = least_squares(pilots, lags, basis)
    streams = (link.scenario.num_users, int(link.resource_grid.num_streams_per_tx))
    return linear_estimator(link, pilots, parts.weights, basis, parts.noise_gain, streams)


class LeastSquares(NamedTuple):
    """weights [S, Q, K, P] complex128 and the noise gain [S, M, K] float64 of the estimate."""

    weights: np.ndarray
    noise_gain: np.ndarray


def least_squares(pilots: PilotGrid, lags: np.ndarray, basis: np.ndarray) -> LeastSquares:
    """Weights that map the pilot samples to the frequency response per time function.

    Args:
        pilots: the pilots.
        lags: [L] int, delays in samples.
        basis: [M, Q] float64, time functions.

    Returns:
        The weights and what they make of unit noise.
    """
    response = fourier(pilots.frequencies, lags, pilots.fft_size)
    design = np.einsum(
        "sp,pq,pl->psql", pilots.values, basis[pilots.symbols], response[pilots.columns]
    )
    num_pilots, *unknowns = design.shape
    inverse = np.linalg.pinv(design.reshape(num_pilots, -1), rcond=_RCOND)
    weights = np.einsum("kl,sqlp->sqkp", response, inverse.reshape(*unknowns, num_pilots))
    cross = np.einsum("sqkp,srkp->sqrk", weights, weights.conj())
    noise_gain = np.einsum("mq,sqrk,mr->smk", basis, cross, basis).real
    return LeastSquares(weights, noise_gain)


def limited_lags(pilots: PilotGrid, first: int, last: int, num_functions: int) -> np.ndarray:
    """Lags first .. last, cut where the pilots no longer tell them apart."""
    unambiguous = pilots.fft_size // pilots.comb
    solvable = pilots.symbols.size // (len(pilots.values) * num_functions)
    return first + np.arange(min(last - first + 1, unambiguous, solvable))


def time_basis(pilots: PilotGrid, linear: bool) -> np.ndarray:
    """Constant, or constant and a slope around the middle of the pilots: float64 [M, Q]."""
    symbols = np.arange(pilots.num_symbols, dtype=np.float64)
    constant = np.ones_like(symbols)
    if not linear:
        return constant[:, None]
    used = np.unique(pilots.symbols)
    slope = (symbols - used.mean()) / max(used.max() - used.min(), 1)
    return np.stack([constant, slope], axis=1)


def linear_estimator(
    link: Link,
    pilots: PilotGrid,
    weights: np.ndarray,
    basis: np.ndarray,
    noise_gain: np.ndarray,
    streams: tuple[int, int],
) -> Estimator:
    """Apply fixed weights [S, Q, K, P] and time functions [M, Q] to the slots' pilot samples."""
    elements = pilots.symbols * pilots.fft_size + pilots.subcarriers[pilots.columns]
    cdtype, rdtype = link.resource_grid.cdtype, link.resource_grid.rdtype
    num_streams, num_functions, num_columns, num_pilots = weights.shape
    matrix = tf.constant(weights.reshape(-1, num_pilots).T, cdtype)
    mixing = tf.constant(basis, cdtype)
    gain = tf.constant(noise_gain.reshape(*streams, *noise_gain.shape[1:]), rdtype)

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        z = tf.tensordot(pilot_samples(slots.y, elements), matrix, 1)
        shape = [-1, slots.y.shape[2], num_streams, num_functions, num_columns]
        h_hat = tf.einsum("basqk,mq->basmk", tf.reshape(z, shape), mixing)
        full = [-1, 1, slots.y.shape[2], *streams, pilots.num_symbols, num_columns]
        return tf.reshape(h_hat, full), slots.no * gain

    return estimate


def _linear(scenario: Scenario, pilots: PilotGrid, time: TimeModel) -> bool:
    used = np.unique(pilots.symbols)
    if time != "auto" or used.size == 1:
        return time == "linear" and used.size > 1
    samples = (used[-1] - used[0]) * (scenario.fft_size + scenario.cp_length)
    seconds = samples / (scenario.fft_size * scenario.subcarrier_spacing)
    doppler = scenario.speed / 3.6 * scenario.carrier_frequency / SPEED_OF_LIGHT
    return bool(2 * np.pi * doppler * seconds > _STANDING_TURN)
