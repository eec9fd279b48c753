"""MMSE channel estimation from all pilots of the slot jointly, with the true covariance.

    h_hat = R_hy (R_yy + no I)^-1 y,   R_hy = R_h X^H,   R_yy = sum_s X_s R_h X_s^H

R_h is the covariance over subcarriers and OFDM symbols (see covariance.py), every stream's own
and the streams independent. The noise variance is known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sims.link import Link, Slots
from sims.receivers.base import COUNT
from sims.receivers.covariance import Covariance, true_covariance
from sims.receivers.detection import Estimator, lmmse_receiver, pilot_samples
from sims.receivers.grid import PilotGrid, pilot_grid

# Eigenvalues of the time covariance below this share of their sum are left out (-70 dB).
_NEGLIGIBLE = 1e-7


def joint_lmmse(link: Link, *, num_drops: COUNT = 1024) -> Callable[[Slots], tf.Tensor]:
    """Joint LMMSE channel estimate with the true covariance, then LMMSE detection."""
    return lmmse_receiver(link, joint_lmmse_estimator(link, num_drops=num_drops))


@functools.lru_cache(maxsize=2)  # joint_lmmse, kbest and ep on one link share it
def joint_lmmse_estimator(link: Link, *, num_drops: int = 1024) -> Estimator:
    """Build the estimator of joint_lmmse.

    Args:
        link: the link to receive on.
        num_drops: drops from which the covariance is taken, disjoint from all slots.

    Returns:
        (slots) -> h_hat [B,1,A,U,S,M,K], err_var [U,S,M,K] (the posterior variance).
    """
    pilots = pilot_grid(link.resource_grid)
    filters = joint_filters(pilots, true_covariance(link, num_drops))
    streams = (link.scenario.num_users, int(link.resource_grid.num_streams_per_tx))
    return _estimator(link, pilots, filters, streams)


class JointFilters(NamedTuple):
    """The MMSE filter taken apart, so that the noise variance may change from call to call.

    h_hat[m] = sum_q basis[m, q] synthesis[:, q] diag(1 / (powers + no)) analysis y, and
    err_var = prior - reduction / (powers + no).
    """

    analysis: np.ndarray  # [P, P] complex128
    powers: np.ndarray  # [P] float64
    synthesis: np.ndarray  # [S, Q, K, P] complex128
    basis: np.ndarray  # [M, Q] complex128
    prior: np.ndarray  # [M, K] float64
    reduction: np.ndarray  # [S, M, K, P] float64


def joint_filters(pilots: PilotGrid, covariance: Covariance) -> JointFilters:
    """Diagonalise the pilots' covariance once, in double precision."""
    powers, vectors = np.linalg.eigh(covariance.time)
    kept = powers > _NEGLIGIBLE * powers.sum()
    basis = vectors[:, kept] * np.sqrt(powers[kept])
    # covariance between (q, k) of one stream and the channel at every pilot
    to_pilots = np.einsum(
        "pq,kp->qkp", basis.conj()[pilots.symbols], covariance.frequency[:, pilots.columns]
    )
    cross = to_pilots[None] * pilots.values.conj()[:, None, None]
    channel = np.einsum("pq,qpr->pr", basis[pilots.symbols], to_pilots[:, pilots.columns])
    observed = channel * (pilots.values.T @ pilots.values.conj())
    powers, vectors = np.linalg.eigh(observed)
    synthesis = cross @ vectors
    reduction = np.abs(np.einsum("mq,sqkp->smkp", basis, synthesis, optimize=True)) ** 2
    prior = np.outer(np.sum(np.abs(basis) ** 2, axis=1), np.diag(covariance.frequency).real)
    return JointFilters(vectors.conj().T, np.maximum(powers, 0), synthesis, basis, prior, reduction)


def _estimator(
    link: Link, pilots: PilotGrid, filters: JointFilters, streams: tuple[int, int]
) -> Estimator:
    elements = pilots.symbols * pilots.fft_size + pilots.subcarriers[pilots.columns]
    cdtype, rdtype = link.resource_grid.cdtype, link.resource_grid.rdtype
    num_streams, num_functions, num_columns, num_pilots = filters.synthesis.shape
    analysis = tf.constant(filters.analysis.T, cdtype)
    synthesis = tf.constant(filters.synthesis.reshape(-1, num_pilots).T, cdtype)
    mixing = tf.constant(filters.basis, cdtype)
    # a small difference of large numbers: double precision whatever the link's
    powers = tf.constant(filters.powers, tf.float64)
    prior = tf.constant(filters.prior, tf.float64)
    reduction = tf.constant(filters.reduction, tf.float64)
    grid = [*streams, pilots.num_symbols, num_columns]

    def estimate(slots: Slots) -> tuple[tf.Tensor, tf.Tensor]:
        shrink = 1 / (powers + tf.cast(slots.no, tf.float64))
        z = tf.tensordot(pilot_samples(slots.y, elements), analysis, 1) * tf.cast(shrink, cdtype)
        z = tf.tensordot(z, synthesis, 1)
        num_antennas = slots.y.shape[2]
        z = tf.reshape(z, [-1, num_antennas, num_streams, num_functions, num_columns])
        h_hat = tf.reshape(tf.einsum("basqk,mq->basmk", z, mixing), [-1, 1, num_antennas, *grid])
        err_var = tf.maximum(prior - tf.linalg.matvec(reduction, shrink), 0)
        return h_hat, tf.reshape(tf.cast(err_var, rdtype), grid)

    return estimate
