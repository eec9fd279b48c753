"""The few operations on complex tensors that ``keras.ops`` lacks or gets wrong.

This is the only file of the package that names a backend. Everything else is written in
``keras.ops``, with four rules: complex products use ``@`` (``ops.matmul`` and ``ops.einsum``
silently turn complex128 into complex64), complex values never pass through ``ops.where`` or
``ops.cumsum`` (the same fault), complex numbers are assembled by :func:`complex`, and a floor is
set by :func:`at_least`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import keras
import numpy as np
from keras import ops

Tensor = Any
Function = TypeVar("Function", bound=Callable[..., Any])

NAME = keras.backend.backend()

COMPLEX_OF = {
    "float32": "complex64",
    "float64": "complex128",
    "complex64": "complex64",
    "complex128": "complex128",
}
REAL_OF = {"complex64": "float32", "complex128": "float64"}

# Whether a loop over samples costs nothing but its arithmetic.
LOOPS_ARE_COMPILED = NAME == "tensorflow"

if NAME == "tensorflow":
    import tensorflow as _tf

    def adjoint_product(a: Tensor, b: Tensor) -> Tensor:
        """``a^H @ b`` over the last two axes, without a copy of ``a``."""
        return _tf.matmul(a, b, adjoint_a=True)

    def complex(real: Tensor, imag: Tensor) -> Tensor:
        """The complex tensor ``real + 1j * imag``, differentiable in both."""
        return _tf.complex(real, imag)

    def cholesky(a: Tensor) -> Tensor:
        """Lower triangular ``L`` with ``L L^H = a``, ``a`` Hermitian positive definite."""
        return _tf.linalg.cholesky(a)

    def cholesky_solve(a: Tensor, b: Tensor) -> Tensor:
        """``x`` with ``a @ x = b``, ``a`` Hermitian positive definite ``[..., F, F]``."""
        return _tf.linalg.cholesky_solve(_tf.linalg.cholesky(a), b)

    def inverse_factor(a: Tensor) -> Tensor:
        """Lower triangular ``R`` with ``R^H R = a^-1``, ``a`` Hermitian positive definite."""
        lower = _tf.linalg.cholesky(a)
        identity = _tf.eye(lower.shape[-1], batch_shape=_tf.shape(lower)[:-2], dtype=lower.dtype)
        return _tf.linalg.triangular_solve(lower, identity)

    def fft(x: Tensor) -> Tensor:
        """DFT along the last axis, ``X[k] = sum_n x[n] exp(-2j pi k n / n_fft)``, not scaled."""
        return _tf.signal.fft(x)

    def ifft(x: Tensor) -> Tensor:
        """Inverse of :func:`fft` (it carries the factor ``1 / n_fft``)."""
        return _tf.signal.ifft(x)

    def compile(fn: Function, *, relax_shapes: bool = False) -> Function:
        """``fn`` compiled by XLA, one executable for each shape of its tensor arguments.

        With ``relax_shapes`` it is traced once for all shapes, and its results have no static ones.
        """
        return _tf.function(fn, jit_compile=True, autograph=False, reduce_retracing=relax_shapes)

    def stage(fn: Function, *, relax_shapes: bool = False) -> Function:
        """``fn``, compiled where it becomes part of a graph.

        What runs eagerly runs few times, and need not wait for a compiler.
        """
        compiled = compile(fn, relax_shapes=relax_shapes)

        def chosen(*args: Any) -> Any:
            return (fn if _tf.executing_eagerly() else compiled)(*args)

        return cast(Function, chosen)

    def scan(
        step: Callable[[Tensor, Tensor], Tensor], initial: Tensor, xs: Tensor, *, alike: bool
    ) -> Tensor:
        """Every ``s[n] = step(s[n-1], xs[:, n])``, stacked along axis 1; in compiled code only.

        Unlike ``ops.scan`` it writes where the result stays, without a transpose of what may be
        large: over ``xs``, where these are `alike`, of the same shape as the states.
        """
        batch, length, *rest = ops.shape(xs)
        result = xs
        if not alike:
            result = ops.zeros((batch, length, *ops.shape(initial)[1:]), dtype=initial.dtype)

        def body(n: Tensor, carried: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            source = carried[1] if alike else xs
            x = _tf.slice(source, (0, n, *(0 for _ in rest)), (batch, 1, *rest))
            state = step(carried[0], _tf.squeeze(x, 1))
            place = (0, n, *(0 for _ in initial.shape[1:]))
            return state, ops.slice_update(carried[1], place, state[:, None])

        return ops.fori_loop(0, length, body, (initial, result))[1]

    def custom_gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
        """The value of ``fn``, which returns it with its gradient function."""
        # The tape must not look inside: a compiled loop in there cannot be differentiated.
        return _tf.custom_gradient(lambda *args: fn(*map(_tf.stop_gradient, args)))

elif NAME == "torch":
    import torch as _torch

    def cholesky(a: Tensor) -> Tensor:
        """Lower triangular ``L`` with ``L L^H = a``, ``a`` Hermitian positive definite.

        On a GPU NaN where there is none: an error would have to wait for it.
        """
        if not a.is_cuda:
            return _torch.linalg.cholesky(a)
        lower, info = _torch.linalg.cholesky_ex(a)
        return lower.masked_fill((info > 0)[..., None, None], float("nan"))

    def adjoint_product(a: Tensor, b: Tensor) -> Tensor:
        """``a^H @ b`` over the last two axes, without a copy of ``a``."""
        return a.mH @ b

    def complex(real: Tensor, imag: Tensor) -> Tensor:
        """The complex tensor ``real + 1j * imag``, differentiable in both."""
        return _torch.complex(ops.convert_to_tensor(real), ops.convert_to_tensor(imag))

    def cholesky_solve(a: Tensor, b: Tensor) -> Tensor:
        """``x`` with ``a @ x = b``, ``a`` Hermitian positive definite ``[..., F, F]``."""
        lower = cholesky(a)
        half = _torch.linalg.solve_triangular(lower, b, upper=False)
        return _torch.linalg.solve_triangular(lower.mH, half, upper=True)

    def inverse_factor(a: Tensor) -> Tensor:
        """Lower triangular ``R`` with ``R^H R = a^-1``, ``a`` Hermitian positive definite."""
        lower = cholesky(a)
        identity = _torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
        return _torch.linalg.solve_triangular(lower, identity, upper=False)

    def fft(x: Tensor) -> Tensor:
        """DFT along the last axis, ``X[k] = sum_n x[n] exp(-2j pi k n / n_fft)``, not scaled."""
        return _torch.fft.fft(x)

    def ifft(x: Tensor) -> Tensor:
        """Inverse of :func:`fft` (it carries the factor ``1 / n_fft``)."""
        return _torch.fft.ifft(x)

    def compile(fn: Function, *, relax_shapes: bool = False) -> Function:
        """``fn`` itself: PyTorch runs it eagerly."""
        return fn

    stage = compile

    def scan(
        step: Callable[[Tensor, Tensor], Tensor], initial: Tensor, xs: Tensor, *, alike: bool
    ) -> Tensor:
        """Every ``s[n] = step(s[n-1], xs[:, n])``, stacked along axis 1."""
        del alike
        states, state = [], initial
        for x in _torch.unbind(xs, 1):
            state = step(state, x)
            states.append(state)
        return _torch.stack(states, 1)

    def custom_gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
        """The value of ``fn``, its gradient left to PyTorch, which sees through eager code."""
        return lambda *args: fn(*args)[0]

else:
    raise ImportError(
        f"rx_fixedpole runs on Keras' 'tensorflow' and 'torch' backends, not on {NAME!r}; "
        "set KERAS_BACKEND before Keras is imported"
    )


def dtype(x: Tensor) -> str:
    """Name of the dtype of a tensor or array, for example ``"complex64"``."""
    return keras.backend.standardize_dtype(x.dtype)


def is_tensor(x: Any) -> bool:
    """True for a tensor or variable of the backend, False for NumPy arrays, lists and numbers."""
    return bool(ops.is_tensor(x))


def constant(x: np.ndarray, like: str) -> Tensor:
    """A tensor of dtype ``like`` from double-precision NumPy values, rounded once."""
    return ops.convert_to_tensor(np.asarray(x).astype(like), dtype=like)


def adjoint(x: Tensor) -> Tensor:
    """Conjugate transpose of the last two axes."""
    return ops.conj(ops.swapaxes(x, -1, -2))


def power(x: Tensor) -> Tensor:
    """``|x|^2``, real, without the square root that makes ``abs`` undifferentiable at zero."""
    return ops.square(ops.real(x)) + ops.square(ops.imag(x))


def at_least(x: Tensor, floor: Tensor | float) -> Tensor:
    """``max(x, floor)``, real; ``ops.maximum`` turns float64 into float32 on PyTorch."""
    floor = floor + ops.zeros_like(x)
    return ops.where(x > floor, x, floor)


def require_complex(x: Tensor, name: str, *shape: int | str | None) -> Tensor:
    """The argument as a complex tensor, or an error that names it.

    Args:
        x: a tensor, or anything that NumPy turns into a complex array.
        name: how the caller names the argument.
        shape: one entry an axis: a size that must match where both are known, or a letter (any
            size, used in the message); nothing to accept any rank.
    """
    x = ops.convert_to_tensor(x if is_tensor(x) else np.asarray(x))
    if dtype(x) not in REAL_OF:
        raise TypeError(f"{name} must be complex64 or complex128, got {dtype(x)}")
    if shape:
        fits = len(x.shape) == len(shape) and all(
            not isinstance(want, int) or got is None or got == want
            for want, got in zip(shape, x.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if s is None else str(s) for s in shape)
            raise ValueError(f"{name} must have shape [{wanted}], got {tuple(x.shape)}")
    return x
