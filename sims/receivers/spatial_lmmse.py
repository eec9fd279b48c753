"""MMSE channel estimation from all pilots and antennas jointly, with the true covariance.

    h_hat = R_hz (R_zz + no / |p|^2 I)^-1 z,   z = y / p,   R = R_space x R_time x R_frequency

for every stream apart: with pilots on combs of their own, streams do not meet. The covariance is
taken as a Kronecker product (see covariance.py), so that its eigenvectors are too: exact for this
model, at the cost of small matrices, where the full one would be thousands wide. What the antennas
bring is what their mean correlation holds: little where users stand anywhere in a sector. The
noise variance is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sims.link import Link, Slots
from sims.receivers.covariance import SpatialCovariance
from sims.receivers.detection import Estimator, pilot_samples
from sims.receivers.grid import PilotGrid


class Factor(NamedTuple):
    """An axis of the filter: h = synthesis diag(shrink) analysis z, shrink from all the powers."""

    analysis: np.ndarray  # [P, P] complex128
    powers: np.ndarray  # [P] float64
    synthesis: np.ndarray  # [N, P] complex128


def factor(covariance: np.ndarray, observed: np.ndarray) -> Factor:
    """Diagonalise an axis' covariance at the observed positions.

    Args:
        covariance: ``[N, N]`` complex128, positive semidefinite.
        observed: ``[P]`` int, positions of the pilots.

    Returns:
        The factor.
    """
    powers, vectors = np.linalg.eigh(covariance[np.ix_(observed, observed)])
    return Factor(vectors.conj().T, np.maximum(powers, 0), covariance[:, observed] @ vectors)


def comb_of(pilots: PilotGrid, stream: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find where a stream has its pilots, which must form a grid that no other stream enters.

    Args:
        pilots: all pilots.
        stream: which stream.

    Returns:
        Pilot symbols [T] int, occupied subcarriers [F] int, indices into the pilots [T, F] int.

    Raises:
        ValueError: if other streams send there too, the pilots are no grid or differ in power.
    """
    values = pilots.values
    mine = np.flatnonzero(values[stream])
    symbols, columns = np.unique(pilots.symbols[mine]), np.unique(pilots.columns[mine])
    if np.any(np.delete(values, stream, axis=0)[:, mine]):
        raise ValueError(f"pilots: stream {stream} must have them for itself")
    if mine.size != symbols.size * columns.size:
        raise ValueError(f"pilots: those of stream {stream} must lie on a grid")
    if np.ptp(np.abs(values[stream, mine])) > 1e-6:
        raise ValueError(f"pilots: those of stream {stream} must have one power")
    return symbols, columns, mine.reshape(symbols.size, columns.size)


def spatial_lmmse_estimator(
    link: Link, pilots: PilotGrid, covariance: SpatialCovariance
) -> Estimator:
    """Build the estimator for pilots on combs.

    Args:
        link: the link to receive on.
        pilots: its pilots.
        covariance: of every user.

    Returns:
        (slots) -> h_hat [B,1,A,U,S,M,K], err_var [A,U,S,M,K] (the posterior variance).
    """
    space = factor(covariance.space, np.arange(len(covariance.space)))
    power = np.outer(np.diag(covariance.space), np.diag(covariance.time))
    prior = power[..., None] * np.diag(covariance.frequency)
    streams = [
        _stream(link, pilots, stream, covariance, space, prior.real)
        for stream in range(len(pilots.values))
    ]
    s = link.scenario
    grid = [s.num_rx_ant, s.num_users, s.num_tx_ant, *prior.shape[1:]]

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        found = [run(slots) for run in streams]
        h_hat = tf.stack([h for h, _ in found], axis=2)
        err_var = tf.stack([e for _, e in found], axis=1)
        return tf.reshape(h_hat, [-1, 1, *grid]), tf.reshape(err_var, grid)

    return estimate


def _stream(
    link: Link,
    pilots: PilotGrid,
    stream: int,
    covariance: SpatialCovariance,
    space: Factor,
    prior: np.ndarray,
) -> Estimator:
    """(slots) -> h_hat [B, A, M, K], err_var [A, M, K] of one stream."""
    symbols, columns, index = comb_of(pilots, stream)
    factors = space, factor(covariance.time, symbols), factor(covariance.frequency, columns)
    cdtype, rdtype = link.resource_grid.cdtype, link.resource_grid.rdtype
    values = pilots.values[stream][index]
    gain = np.mean(np.abs(values) ** 2)
    elements = index_of(pilots)[index].reshape(-1)
    divisors = tf.constant(values.reshape(-1), cdtype)
    powers = np.einsum("a,t,f->atf", *(f.powers for f in factors))
    powers, prior = tf.constant(powers, tf.float64), tf.constant(prior, tf.float64)
    analysis = [tf.constant(f.analysis, cdtype) for f in factors]
    synthesis = [tf.constant(f.synthesis, cdtype) for f in factors]
    reduction = [tf.constant(np.abs(f.synthesis) ** 2, tf.float64) for f in factors]

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        shrink = 1 / (powers + tf.cast(slots.no, tf.float64) / gain)
        z = pilot_samples(slots.y, elements) / divisors
        z = along(tf.reshape(z, [-1, slots.y.shape[2], *index.shape]), analysis)
        h_hat = along(z * tf.cast(shrink, cdtype), synthesis)
        err_var = tf.maximum(prior - along(shrink, reduction), 0)
        return h_hat, tf.cast(err_var, rdtype)

    return estimate


def index_of(pilots: PilotGrid) -> np.ndarray:
    """Flat resource elements (symbol * fft_size + subcarrier) [P] int of the pilots."""
    return pilots.symbols * pilots.fft_size + pilots.subcarriers[pilots.columns]


def along(x: tf.Tensor, matrices: list[tf.Tensor]) -> tf.Tensor:
    """Apply three matrices to the last three axes, [..., A, T, F] -> [..., A', T', F']."""
    x = tf.einsum("...atf,kf->...atk", x, matrices[2])
    x = tf.einsum("...atk,mt->...amk", x, matrices[1])
    return tf.einsum("...amk,ba->...bmk", x, matrices[0])
