"""The operations on complex tensors, by value and by dtype."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from rx_fixedpole import _backend
from tests.modes import MODES, assert_close, complex_normal, in_mode, numpy


@pytest.mark.parametrize("mode", MODES)
def test_cholesky_solve_in_double_precision(mode):
    root, b = complex_normal(0, 2, 3, 30, 20), complex_normal(1, 2, 3, 20, 4)
    a = np.swapaxes(root.conj(), -1, -2) @ root
    x = in_mode(_backend.cholesky_solve, mode)(a, b)
    assert_close(x, np.linalg.solve(a, b), 1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("complex64", 1e-5), ("complex128", 1e-12)])
def test_fft_is_not_scaled_and_ifft_undoes_it(mode, dtype, tolerance):
    x = complex_normal(0, 3, 60, dtype=dtype)

    def both(x):
        spectrum = _backend.fft(x)
        return spectrum, _backend.ifft(spectrum)

    spectrum, back = in_mode(both, mode)(x)
    assert spectrum.dtype == back.dtype == dtype
    assert_close(spectrum, np.fft.fft(x), 60 * tolerance)
    assert_close(back, x, tolerance)


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_complex_numbers_from_their_parts(real):
    re, im = np.array([1.5, -2], real), np.array([0.25, 4], real)
    z = _backend.complex(ops.convert_to_tensor(re), ops.convert_to_tensor(im))
    assert _backend.dtype(z) == _backend.COMPLEX_OF[real]
    assert _backend.REAL_OF[_backend.dtype(z)] == real
    np.testing.assert_array_equal(numpy(z), re + 1j * im)
    np.testing.assert_array_equal(numpy(_backend.power(z)), re**2 + im**2)


def test_the_product_operator_keeps_double_precision():
    a, b = complex_normal(0, 4, 5), complex_normal(1, 5, 6)
    product = ops.convert_to_tensor(a) @ ops.convert_to_tensor(b)
    assert _backend.dtype(product) == "complex128"
    assert_close(numpy(product), a @ b, 1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_floor_keeps_the_dtype(dtype):
    x = np.array([0.1, -1.0, 3.0], dtype)
    raised = numpy(_backend.at_least(ops.convert_to_tensor(x), 0.5))
    assert raised.dtype == dtype
    np.testing.assert_array_equal(raised, np.maximum(x, 0.5))


def test_adjoint_is_the_conjugate_transpose():
    a = complex_normal(0, 2, 3, 4)
    adjoint = numpy(_backend.adjoint(ops.convert_to_tensor(a)))
    np.testing.assert_array_equal(adjoint, np.swapaxes(a, 1, 2).conj())


def test_constants_are_rounded_once():
    value = np.array([0.1 + 0.2j]) ** 7
    single = _backend.constant(value, "complex64")
    np.testing.assert_array_equal(numpy(single), value.astype("complex64"))


def test_what_is_a_tensor():
    assert _backend.is_tensor(ops.zeros(3))
    assert not _backend.is_tensor(np.zeros(3))
    assert not _backend.is_tensor([0.0])


@pytest.mark.parametrize(
    ("x", "shape", "error", "message"),
    [
        (np.zeros((2, 3)), ("B", "T"), TypeError, "u must be complex64 or complex128, got float64"),
        (np.zeros((2, 3), complex), ("B",), ValueError, r"shape \[B\], got \(2, 3\)"),
        (np.zeros((2, 3), complex), ("B", 4), ValueError, r"shape \[B, 4\], got \(2, 3\)"),
    ],
)
def test_errors_name_the_argument_and_both_shapes(x, shape, error, message):
    with pytest.raises(error, match=message):
        _backend.require_complex(x, "u", *shape)
