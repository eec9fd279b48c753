"""The error at pilot resource elements: some are learnt from, the others tell when to stop."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Fractional parts of its multiples fill the unit interval evenly, along every comb of multiples.
_GOLDEN = (np.sqrt(5) - 1) / 2


def held_out_mask(num_pilots: int, held_out: float) -> np.ndarray:
    """Choose pilots to hold out, spread evenly over all of them and over every comb of them.

    Args:
        num_pilots: number of pilots.
        held_out: share to hold out, in (0, 1).

    Returns:
        bool ``[num_pilots]``, True where held out.

    Raises:
        ValueError: if ``held_out`` is out of range, or leaves either part empty.

    Example:
        >>> held_out_mask(10, 0.3).astype(int).tolist()
        [1, 0, 1, 0, 0, 1, 0, 0, 0, 0]
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be in (0, 1), got {held_out!r}")
    mask = np.arange(num_pilots) * _GOLDEN % 1 < held_out
    if mask.all() or not mask.any():
        raise ValueError(
            "held_out must leave pilots to learn from and pilots to hold out, "
            f"got {held_out!r} of {num_pilots}"
        )
    return mask


class PilotLoss:
    r"""Mean squared errors over the pilots that are learnt from and over those held out.

    .. math:: L_b = \frac{1}{|\mathcal P|} \sum_{p \in \mathcal P} \sum_s
              |x_s[p] - \hat x_{b,s}[p]|^2

    Args:
        elements: flat indices ``symbol * fft_size + subcarrier`` of the pilots, int ``[P]``.
        targets: what is sent there, complex ``[P, S]``.
        held_out: bool ``[P]``.
        fft_size: number of subcarriers.

    Attributes:
        symbols: OFDM symbols with pilots, int, ascending.
        elements: flat indices of all resource elements of these symbols, int ``[E]``. The loss is
            taken there, data and empty subcarriers weighing nothing: the gradient of whole symbols
            is faster than that of a gather.
        num_learnt: number of pilots that are learnt from.
    """

    def __init__(
        self, elements: np.ndarray, targets: np.ndarray, held_out: np.ndarray, fft_size: int
    ) -> None:
        self.symbols = np.unique(elements // fft_size)
        self.elements = (self.symbols[:, None] * fft_size + np.arange(fft_size)).reshape(-1)
        self.num_learnt = int(np.count_nonzero(~held_out))
        places = np.searchsorted(self.elements, elements)
        self._targets = np.zeros((len(self.elements), targets.shape[1]), np.complex128)
        self._targets[places] = targets
        # Column 0: learnt, column 1: held out
        self._shares = np.zeros((len(self.elements), 2))
        self._shares[places, held_out.astype(int)] = 1.0
        self._shares /= self._shares.sum(axis=0)

    def __call__(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean error powers ``[B]``, learnt and held out, of outputs ``[B, E, S]``."""
        errors = tf.constant(self._targets, outputs.dtype) - outputs
        power = tf.reduce_sum(tf.math.real(errors) ** 2 + tf.math.imag(errors) ** 2, axis=-1)
        means = power @ tf.constant(self._shares, power.dtype)
        return means[:, 0], means[:, 1]
