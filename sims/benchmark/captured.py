"""PyTorch functions as CUDA graphs: hundreds of kernels in one launch, without Python in between.

A graph holds kernels alone. What a function brings along from the host at every call (indices,
scales, matrices computed in NumPy) is therefore kept on the device by a run before the capture,
with all that is computed of it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

WARM_UP_CALLS = 3
# Of a replay against the function itself, relative to the largest entry, in single precision.
TOLERANCE = 1e-3


class Captured:
    """A function of tensors that is replayed: one CUDA graph for each of their shapes.

    On the CPU, or where it cannot be captured, it is called as it is, and `how` says why. Results
    are memory of the graph: the next call writes over them.

    Args:
        function: of CUDA tensors, without side effects, the same work at every call.

    >>> double = Captured(lambda x: 2 * x)
    >>> double(torch.tensor([1.0, 2.0])), double.how
    (tensor([2., 4.]), 'eager')
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._graphs: dict[Any, Callable[..., Any]] = {}
        self.how = "eager"

    def __call__(self, *tensors: torch.Tensor) -> Any:
        """Return what the function gives."""
        if not tensors or not all(x.is_cuda for x in tensors):
            return self._function(*tensors)
        key = tuple((tuple(x.shape), x.dtype) for x in tensors)
        if key not in self._graphs:
            self._graphs[key] = self._prepare(tensors)
        return self._graphs[key](*tensors)

    def _prepare(self, tensors: Sequence[torch.Tensor]) -> Callable[..., Any]:
        try:
            replay = _Replay(self._function, tensors)
            check_close(replay(*tensors), self._function(*tensors))
        except Exception as error:  # what forbids a capture depends on the versions of CUDA
            cause: BaseException = error
            while cause.__context__ is not None:  # the first one: the end of a capture fails too
                cause = cause.__context__
            text = f"{type(cause).__name__}: {str(cause).strip()}".splitlines()[0]
            self.how = f"eager, not captured: {text}"
            return self._function
        self.how = "CUDA graph"
        return replay


class _Replay:
    """One capture: inputs are copied to where they stood then."""

    def __init__(self, function: Callable[..., Any], tensors: Sequence[torch.Tensor]) -> None:
        self._inputs = [x.clone() for x in tensors]
        self._constants = Constants()
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.no_grad(), self._constants:
            for _ in range(WARM_UP_CALLS):  # libraries take their memory, kernels are loaded
                function(*self._inputs)
        torch.cuda.synchronize()
        # Relaxed: a library may take memory of its own while it is captured.
        capture = torch.cuda.graph(self._graph, stream=stream, capture_error_mode="relaxed")
        with torch.no_grad(), capture, self._constants:
            self._result = function(*self._inputs)
        torch.cuda.synchronize()

    def __call__(self, *tensors: torch.Tensor) -> Any:
        for mine, given in zip(self._inputs, tensors, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._result


class Constants(TorchFunctionMode):
    """Computes what does not depend on the inputs once, and hands it out from then on.

    That is every tensor that is made of host data, and whatever is computed of such tensors alone.

    Args:
        device: where the function computes, "cuda" or "cpu".
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()
        self._device = device
        self._kept: dict[Any, torch.Tensor] = {}
        self._known: set[int] = set()  # identities of the tensors that are kept

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of PyTorch, unless its result is there already."""
        options = dict(kwargs or {})
        if _writes(func) and args and id(args[0]) in self._known:
            raise RuntimeError(f"{func.__name__} would write over a constant")
        key = self._key(func, args, options)
        if key in self._kept:
            return self._kept[key]
        result = func(*args, **options)
        if key is not None and isinstance(result, torch.Tensor):
            self._kept[key] = result
            self._known.add(id(result))
        return result

    def _key(self, func: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """What tells a constant from others; None for what is none, or may not be kept."""
        rest = (_named(args[1:]), _named(sorted(options.items())))
        if func in _FROM_HOST:
            if func not in _MOVES and not isinstance(args[0], torch.Tensor):
                content = np.ascontiguousarray(args[0])
                # Lists may hold tensors.
                return None if content.dtype == object else (func, *_content(content), rest)
            if args[0].device.type != self._device:
                return (func, *_content(args[0].detach().resolve_conj().numpy()), rest)
        if func in _FACTORIES:
            return (func, _named(args), rest)
        if func in _ALIKE:
            return (func, tuple(args[0].shape), args[0].dtype, rest)
        if _writes(func) or func in _NEW or "out" in options:
            return None
        tensors = [x for x in _flat([args, list(options.values())]) if isinstance(x, torch.Tensor)]
        if not tensors or not all(id(x) in self._known for x in tensors):
            return None
        return (func, _named(args), rest)


_MOVES = (torch.Tensor.to, torch.Tensor.cuda)
_FROM_HOST = (torch.as_tensor, torch.tensor, torch.asarray, *_MOVES)
_FACTORIES = (torch.eye, torch.ones, torch.zeros, torch.full, torch.arange)
_ALIKE = (torch.zeros_like, torch.ones_like)
_NEW = (torch.clone, torch.Tensor.clone, torch.empty_like)  # made to be written into


def _writes(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


def _content(x: np.ndarray) -> tuple[Any, ...]:
    return x.tobytes(), x.dtype.str, x.shape


def _named(x: Any) -> Any:
    """Arguments as something that can be looked up: tensors by their identity."""
    if isinstance(x, torch.Tensor):
        return id(x)
    if isinstance(x, tuple | list):
        return tuple(map(_named, x))
    return repr(x)


def check_close(found: Any, expected: Any) -> None:
    """Refuse a replay that does not give what the function gives.

    Raises:
        ArithmeticError: if a tensor is off by more than the rounding error of single precision.
    """
    pairs = zip(_flat(found), _flat(expected), strict=True)
    for got, want in pairs:
        if not (want.is_floating_point() or want.is_complex()):
            continue
        error, scale = (got - want).abs().max(), want.abs().max()
        if not bool(error <= TOLERANCE * scale):
            raise ArithmeticError(f"a replay is off by {float(error):.2g} of {float(scale):.2g}")


def _flat(result: Any) -> list[Any]:
    if isinstance(result, tuple | list):
        return [part for item in result for part in _flat(item)]
    return [result]
