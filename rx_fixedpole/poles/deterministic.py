"""Placements without chance: circles, real lines, time constants, delays."""

from __future__ import annotations

import numpy as np
from scipy.special import ellipj, ellipk

from rx_fixedpole.poles import checks
from rx_fixedpole.poles.checks import ComplexArray


def ring(num_poles: int, radius: float = 0.8, phase: float = 0.0) -> ComplexArray:
    r"""Place poles evenly on a circle.

    .. math:: \beta_k = \rho \, e^{j (2 \pi k / K + \varphi)}

    Args:
        num_poles: Number of poles, ``K >= 1``.
        radius: :math:`\rho`, strictly between 0 and 1.
        phase: Angle :math:`\varphi` of the first pole in radians.

    Returns:
        ``complex128`` ``[K]``.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    Note:
        The white-input Gram condition number is :math:`\rho^{-2(K-1)}`; see
        :func:`~rx_fixedpole.poles.gram_condition`.

    >>> ring(2, 0.5).round(3).tolist()
    [(0.5+0j), (-0.5+0j)]
    """
    count = checks.whole(num_poles, "num_poles")
    rho = checks.radius(radius)
    angles = 2 * np.pi * np.arange(count) / count + checks.real(phase, "phase")
    return rho * np.exp(1j * angles)


def real_line(num_poles: int, radius: float = 0.95) -> ComplexArray:
    r"""Place real poles evenly on the closed interval from ``-radius`` to ``radius``.

    .. math:: \beta_k = R \, (2 k - 1 - K) / (K - 1), \quad k = 1 .. K

    Args:
        num_poles: Number of poles, ``K >= 1``; a single pole lies at zero.
        radius: :math:`R`, strictly between 0 and 1.

    Returns:
        ``complex128`` ``[K]``, in rising order.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    >>> real_line(3, 0.5).real.tolist()
    [-0.5, 0.0, 0.5]
    """
    count = checks.whole(num_poles, "num_poles")
    steps = np.arange(1 - count, count, 2) / max(count - 1, 1)
    return (checks.radius(radius) * steps).astype(np.complex128)


def zolotarev(num_poles: int, radius: float = 0.95) -> ComplexArray:
    r"""Place real poles so that the worst real target in an interval is reached best (minimax).

    .. math:: \beta_k = R \, \mathrm{sn}\bigl(\tfrac{2 k - 1 - K}{K} K(m), m\bigr), \quad m = R^4

    minimises :math:`\max_{|\alpha| \le R} \prod_k |\alpha - \beta_k| / |1 - \beta_k \alpha|` over
    all real poles; the maximum falls by :math:`e^{-\pi K(1-m) / (4 K(m))}` a pole.

    Args:
        num_poles: Number of poles, ``K >= 1``.
        radius: Half width :math:`R` of the interval, strictly between 0 and 1.

    Returns:
        ``complex128`` ``[K]``, in rising order.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    >>> zolotarev(3).real.round(4).tolist()
    [-0.8908, 0.0, 0.8908]
    """
    count = checks.whole(num_poles, "num_poles")
    edge = checks.radius(radius)
    arguments = np.arange(1 - count, count, 2) / count * ellipk(edge**4)
    return (edge * ellipj(arguments, edge**4)[0]).astype(np.complex128)


def log_spaced(num_poles: int, shortest: float = 1.0, longest: float = 64.0) -> ComplexArray:
    r"""Place real positive poles whose time constants form a geometric sequence.

    .. math:: \beta_k = e^{-1 / \tau_k}, \quad
        \tau_k = \tau_0 \, (\tau_1 / \tau_0)^{k / (K - 1)}, \quad k = 0 .. K - 1

    Args:
        num_poles: Number of poles, ``K >= 1``; a single pole takes the geometric mean.
        shortest: Time constant :math:`\tau_0` in samples, positive.
        longest: Time constant :math:`\tau_1` in samples, above ``shortest``.

    Returns:
        ``complex128`` ``[K]``, in rising order.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    >>> log_spaced(3, 1, 100).real.round(4).tolist()
    [0.3679, 0.9048, 0.99]
    """
    count = checks.whole(num_poles, "num_poles")
    low = checks.positive(shortest, "shortest")
    high = checks.positive(longest, "longest")
    if high <= low:
        raise ValueError(f"longest must be above shortest = {low:g}, got {high:g}")
    if count == 1:
        constants = np.array([np.sqrt(low * high)])
    else:
        constants = np.geomspace(low, high, count)
    return np.exp(-1 / constants).astype(np.complex128)


def from_delay_spread(num_poles: int, delay_spread_samples: float = 4.0) -> ComplexArray:
    r"""Place a ring where the zeros of a channel with an exponential delay profile gather.

    .. math:: \beta_k = e^{-1 / (2 \tau)} \, e^{j 2 \pi k / K}

    Tap powers that fall as :math:`e^{-l / \tau}` put the zeros near radius
    :math:`e^{-1 / (2 \tau)}`, and the inverse of the channel has its poles there.

    Args:
        num_poles: Number of poles, ``K >= 1``.
        delay_spread_samples: Delay spread :math:`\tau` in samples (seconds times the sample
            rate), positive.

    Returns:
        ``complex128`` ``[K]``.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    >>> abs(from_delay_spread(8, 2.0)).round(3).max().item()
    0.779
    """
    spread = checks.positive(delay_spread_samples, "delay_spread_samples")
    return ring(num_poles, float(np.exp(-0.5 / spread)))


def delays(
    num_poles: int, fft_size: int = 1024, *, first_lag: float = 0.0, spacing: float = 1.0
) -> ComplexArray:
    r"""Place poles on the unit circle, one a delay, for sequences along OFDM subcarriers.

    A path with a delay of :math:`l` samples is the sequence :math:`\beta^k` along subcarriers
    :math:`k`, with

    .. math:: \beta_i = e^{-j 2 \pi l_i / N}, \quad l_i = l_0 + i \, \Delta, \quad i = 0 .. K - 1

    Args:
        num_poles: Number of delays, ``K >= 1``.
        fft_size: FFT size :math:`N`; all the delays span less than it, or they would coincide.
        first_lag: Shortest delay :math:`l_0` in samples, of either sign.
        spacing: Distance :math:`\Delta` of the delays in samples, positive, fractions allowed.

    Returns:
        ``complex128`` ``[K]`` of modulus one.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or is out of range.

    >>> delays(2, 4, first_lag=1).round(3).tolist()
    [-1j, (-1-0j)]
    """
    count = checks.whole(num_poles, "num_poles")
    size = checks.whole(fft_size, "fft_size")
    step = checks.positive(spacing, "spacing")
    if (count - 1) * step >= size:
        raise ValueError(
            f"num_poles = {count} delays at spacing = {step:g} must span less than fft_size, "
            f"got a span of {(count - 1) * step:g} samples for fft_size = {size}"
        )
    lags = checks.real(first_lag, "first_lag") + step * np.arange(count)
    return np.exp(-2j * np.pi * lags / size)
