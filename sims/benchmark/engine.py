"""What the benchmark needs of Keras' backend: graphs, a device, and results that are there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import keras
import numpy as np

NAME = keras.backend.backend()
Tensor = Any

if NAME == "tensorflow":
    import tensorflow as tf

    TITLE = "TensorFlow"
    tf.get_logger().setLevel("ERROR")  # every bar traces a link of its own, and means to

    def gpu_name() -> str | None:
        """Name of the GPU that is there, if any."""
        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            return None
        details: dict[str, str] = tf.config.experimental.get_device_details(gpus[0])
        return details.get("device_name", "unknown")

    def on(device: str) -> AbstractContextManager[Any]:
        """Compute on "cpu" or "gpu" meanwhile."""
        place: AbstractContextManager[Any] = tf.device("GPU:0" if device == "gpu" else "CPU:0")
        return place

    def constant(x: np.ndarray, dtype: str) -> Tensor:
        """A tensor of a NumPy array."""
        return tf.constant(x, dtype)

    def function(fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a graph of its tensor arguments."""
        return tf.function(fn, autograph=False)

    def stage(fn: Callable[..., Any]) -> Callable[..., Any]:
        """The same, compiled by XLA; may be part of another one."""
        return tf.function(fn, jit_compile=True, autograph=False)

    def how(fn: Callable[..., Any]) -> str:
        """In few words how a function is run where that is not always the same."""
        del fn
        return ""

    def wait(result: Any) -> None:
        """Return once a result is there, also where devices compute behind one's back."""
        for part in tf.nest.flatten(result):
            if isinstance(part, tf.Tensor):
                memoryview(part)  # unlike .numpy(), no copy, which would count as much as the work

else:
    import torch

    from sims.benchmark.captured import Captured

    TITLE = "PyTorch"

    def gpu_name() -> str | None:
        """Name of the GPU that is there, if any."""
        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None

    def on(device: str) -> AbstractContextManager[Any]:
        """Compute on "cpu" or "gpu" meanwhile."""
        del device  # Keras takes the GPU where PyTorch sees one
        return nullcontext()

    def constant(x: np.ndarray, dtype: str) -> Tensor:
        """A tensor of a NumPy array."""
        return keras.ops.convert_to_tensor(np.asarray(x).astype(dtype), dtype=dtype)

    def function(fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a CUDA graph of its tensor arguments, on the CPU the function itself."""
        return Captured(fn)

    def stage(fn: Callable[..., Any]) -> Callable[..., Any]:
        """A function that may be part of another one: as it is."""
        return fn

    def how(fn: Callable[..., Any]) -> str:
        """In few words how a function is run where that is not always the same."""
        fn = fn.func if isinstance(fn, partial) else fn
        return fn.how if isinstance(fn, Captured) else ""

    def wait(result: Any) -> None:
        """Return once a result is there, also where devices compute behind one's back."""
        del result
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def allocated(call: Callable[[], Any]) -> int:
        """Bytes of the GPU that a call takes at most, beyond what is taken before it."""
        call()  # libraries take their own
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


def graph(fn: Callable[..., Any], *args: Tensor) -> Callable[[], Any]:
    """The function in a graph, applied to tensors that are inputs, not constants, of it."""
    return partial(function(fn), *args)


def compiled(fn: Callable[..., Any], *args: Tensor) -> Callable[[], Any]:
    """The same, compiled by XLA where there is one."""
    if NAME != "tensorflow":
        return graph(fn, *args)
    return partial(stage(fn), *args)


def array(x: Tensor) -> np.ndarray:
    """A tensor as a NumPy array."""
    return keras.ops.convert_to_numpy(x)
