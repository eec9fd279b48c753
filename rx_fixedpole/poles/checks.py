"""Argument checks shared by the placements and by everything that takes poles."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

ComplexArray: TypeAlias = NDArray[np.complex128]

# exp(-j w) has modulus 1 only up to rounding, and a float32 caller rounds more coarsely.
_CIRCLE_SLACK = 1e-6


def validate(poles: ArrayLike, *, name: str = "poles", unit_circle: bool = False) -> ComplexArray:
    r"""Check a set of poles and return it in double precision.

    A pole :math:`\beta` is the sequence :math:`\beta^n, n \ge 0`, which decays if and only if
    :math:`|\beta| < 1`.

    Args:
        poles: Real or complex numbers, shape ``[K]``, ``K >= 1``.
        name: What the error message calls the argument.
        unit_circle: Whether poles on the circle, :math:`|\beta| = 1`, are accepted as well.

    Returns:
        A new ``complex128`` array ``[K]``.

    Raises:
        TypeError: If the entries are not numbers.
        ValueError: If the shape is not ``[K]`` with ``K >= 1``, an entry is not finite, or a pole
            lies outside the circle.

    >>> validate([0.5, -0.25j]).tolist()
    [(0.5+0j), (-0-0.25j)]
    >>> validate([0.5, 1.0])
    Traceback (most recent call last):
    ValueError: poles must satisfy |p| < 1, got |p| = 1 at index 1
    """
    try:
        given = np.asarray(poles)
    except ValueError as error:
        raise ValueError(f"{name} must be a 1-D array of numbers, got ragged rows") from error
    if given.dtype.kind not in "iufc":
        raise TypeError(f"{name} must hold real or complex numbers, got dtype {given.dtype}")
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"{name} must have shape [K] with K >= 1, got shape {given.shape}")
    result: ComplexArray = given.astype(np.complex128)
    if not np.all(np.isfinite(result)):
        index = int(np.argmin(np.isfinite(result)))
        raise ValueError(f"{name} must be finite, got {given[index]} at index {index}")
    modulus = np.abs(result)
    outside = modulus > 1 + _CIRCLE_SLACK if unit_circle else modulus >= 1
    if np.any(outside):
        index = int(np.argmax(outside))
        bound = "|p| <= 1" if unit_circle else "|p| < 1"
        raise ValueError(
            f"{name} must satisfy {bound}, got |p| = {modulus[index]:.6g} at index {index}"
        )
    return result


def whole(value: Any, name: str, *, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``; a bool or a float is a TypeError."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def real(value: Any, name: str) -> float:
    """Return ``value`` as a finite float."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def positive(value: Any, name: str) -> float:
    """Return ``value`` as a finite float above zero."""
    number = real(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number:g}")
    return number


def radius(value: Any, name: str = "radius") -> float:
    """Return ``value`` as a float strictly between zero and one."""
    number = real(value, name)
    if not 0 < number < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {number:g}")
    return number
