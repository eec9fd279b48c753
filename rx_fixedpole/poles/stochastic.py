"""Placements drawn at random, reproducible by their seed."""

from __future__ import annotations

import numpy as np

from rx_fixedpole.poles import checks
from rx_fixedpole.poles.checks import ComplexArray


def disc(num_poles: int, radius: float = 0.95, *, seed: int = 0) -> ComplexArray:
    r"""Draw poles uniformly by area in a disc.

    .. math:: \beta_k = R \sqrt{u_k} \, e^{j 2 \pi v_k}, \quad u_k, v_k \sim U[0, 1)

    Args:
        num_poles: Number of poles, ``K >= 1``.
        radius: Radius :math:`R` of the disc, strictly between 0 and 1.
        seed: Seed of the draw, a non-negative integer.

    Returns:
        ``complex128`` ``[K]``.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    >>> bool((abs(disc(100, 0.5)) < 0.5).all())
    True
    """
    count = checks.whole(num_poles, "num_poles")
    edge = checks.radius(radius)
    area, turn = _generator(seed).random((2, count))
    return edge * np.sqrt(area) * np.exp(2j * np.pi * turn)


def random_matrix(num_poles: int, spectral_radius: float = 0.9, *, seed: int = 0) -> ComplexArray:
    r"""Take the eigenvalues of a dense random matrix, as an echo state network has them.

    .. math:: \{\beta_k\} = \rho \, \mathrm{eig}(W) / \max|\mathrm{eig}(W)|, \quad
        W_{ij} \sim \mathcal{CN}(0, 1)

    Args:
        num_poles: Size of the matrix, ``K >= 1``.
        spectral_radius: Modulus :math:`\rho` of the largest pole, strictly between 0 and 1.
        seed: Seed of the draw, a non-negative integer.

    Returns:
        ``complex128`` ``[K]``.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    Note:
        Costs :math:`O(K^3)`. A linear network with this matrix, diagonalised, is the bank of
        these poles.

    >>> abs(random_matrix(16)).max().round(12).item()
    0.9
    """
    count = checks.whole(num_poles, "num_poles")
    largest = checks.radius(spectral_radius, "spectral_radius")
    parts = _generator(seed).standard_normal((2, count, count))
    eigenvalues = np.linalg.eigvals(parts[0] + 1j * parts[1])
    return largest * eigenvalues / np.max(np.abs(eigenvalues))


def lru(
    num_poles: int,
    min_radius: float = 0.0,
    max_radius: float = 0.99,
    max_phase: float = 2 * np.pi,
    *,
    seed: int = 0,
) -> ComplexArray:
    r"""Draw poles uniformly by area in a ring sector, the initialisation of the LRU.

    .. math:: |\beta_k|^2 \sim U[r_0^2, r_1^2), \quad \arg \beta_k \sim U[0, \varphi)

    Args:
        num_poles: Number of poles, ``K >= 1``.
        min_radius: Inner radius :math:`r_0`, at least 0.
        max_radius: Outer radius :math:`r_1`, above ``min_radius`` and below 1.
        max_phase: Opening :math:`\varphi` of the sector in radians, positive, at most ``2 pi``.
        seed: Seed of the draw, a non-negative integer.

    Returns:
        ``complex128`` ``[K]``.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    Note:
        After Orvieto et al., "Resurrecting Recurrent Neural Networks for Long Sequences", 2023.

    >>> import numpy as np
    >>> bool((np.angle(lru(100, 0.5, 0.9, 0.1)) < 0.1).all())
    True
    """
    count = checks.whole(num_poles, "num_poles")
    inner, outer = checks.real(min_radius, "min_radius"), checks.radius(max_radius, "max_radius")
    if not 0 <= inner < outer:
        raise ValueError(f"min_radius must be in [0, max_radius = {outer:g}), got {inner:g}")
    opening = checks.positive(max_phase, "max_phase")
    if opening > 2 * np.pi:
        raise ValueError(f"max_phase must be at most 2 pi, got {opening:g}")
    area, turn = _generator(seed).random((2, count))
    moduli = np.sqrt(inner**2 + (outer**2 - inner**2) * area)
    return moduli * np.exp(1j * opening * turn)


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(checks.whole(seed, "seed", minimum=0))
