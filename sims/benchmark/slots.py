"""How long one slot takes from samples to symbols, against the time until the next one comes.

The receiver is FixedPoleEqualizer's numerics in the time domain with its defaults, without
Sionna's Block, so that it runs where Sionna does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole import poles as placements
from rx_fixedpole.readout import READOUTS
from rx_fixedpole.receivers.frontend import default_delay, default_window
from rx_fixedpole.receivers.reliability import Reliability
from rx_fixedpole.receivers.time_frontend import TimeFrontEnd
from sims.benchmark import engine
from sims.benchmark.bar import Budget, Found
from sims.benchmark.engine import Tensor

SLOT_MS = 0.5
STREAMS, CALLS, BATCH = 2, 500, 64
L_MIN, SPREAD = -6, 18  # first sample before the slot, taps of the channel
NO = 0.05
RING_RADIUS = 0.8


class Grid(NamedTuple):
    """The grid of the scenario cdl_2x2, as far as a receiver needs it."""

    fft_size: int = 256
    cyclic_prefix_length: int = 18
    num_ofdm_symbols: int = 14
    pilot_symbols: tuple[int, ...] = (2, 11)
    num_guards: int = 8

    @property
    def occupied(self) -> np.ndarray:
        """Occupied subcarriers, without guards and DC."""
        inner = np.arange(self.num_guards, self.fft_size - self.num_guards)
        return inner[inner != self.fft_size // 2]

    def elements(self, *, pilots: bool) -> np.ndarray:
        """Flat indices of the pilots, or of the data."""
        symbols = np.arange(self.num_ofdm_symbols)
        symbols = symbols[np.isin(symbols, self.pilot_symbols) == pilots]
        return (symbols[:, None] * self.fft_size + self.occupied).reshape(-1)


class Receiver:
    """Trained on the pilots of every slot, applied to its data.

    Args:
        grid: the resource grid.
        targets: what the streams send on the pilots, complex ``[P, S]``.
        num_ant: receive antennas A.
        num_poles: poles on a ring, in the orthonormal basis; 0 for a delay line alone.
        readout: a name in READOUTS.
    """

    def __init__(
        self, grid: Grid, targets: np.ndarray, num_ant: int, num_poles: int, readout: str
    ) -> None:
        poles = (
            placements.ring(num_poles, radius=RING_RADIUS) if num_poles else np.zeros(0, complex)
        )
        self._pilots, self._data = grid.elements(pilots=True), grid.elements(pilots=False)
        prefix = grid.cyclic_prefix_length
        window = default_window(len(self._pilots) // num_ant, num_poles, prefix)
        delay = default_delay(window, num_poles)
        self._front_end = TimeFrontEnd(
            grid, poles, "orthonormal", window, delay, "complex64", l_min=L_MIN
        )
        self.num_features = num_ant * self._front_end.num_features
        self._roles = np.tile(np.arange(self._front_end.num_features), num_ant)
        self._readout = READOUTS[readout]()
        self._reliability = Reliability(self._pilots % grid.fft_size, grid.occupied, grid.fft_size)
        self._targets, self._fft_size = targets, grid.fft_size

    def __call__(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Data symbols and their error variance ``[B, S, D]`` of ``y [B, A, T]`` and ``no [1]``."""
        features = self._front_end.features(y, self._pilots)
        targets = _backend.constant(self._targets, "complex64") + 0 * features[..., :1]
        fit = self._readout.fit(
            features, targets, no, groups=self._roles, blocks=self._pilots // self._fft_size
        )
        outputs = self._front_end.apply(y, fit.weights)
        noise = self._front_end.noise(fit.weights, no)
        error = self._reliability.error_variance(fit.leave_one_out, outputs, noise)
        error = ops.take(error, self._data % self._fft_size, axis=-1)
        size = outputs.shape[2] * outputs.shape[3]
        data = ops.take(ops.reshape(outputs, (-1, STREAMS, size)), self._data, axis=-1)
        gain = 1.0 - error
        return data / ops.cast(gain, "complex64"), error / gain


class Slots(NamedTuple):
    """A receiver and slots for it."""

    receive: Receiver
    y: Tensor  # [B, A, T] complex64
    no: Tensor  # [1] float32
    sent: np.ndarray  # [B, S, D]


def draw(batch: int, num_ant: int, num_poles: int, readout: str = "ard") -> Slots:
    """QPSK through a random channel of 18 taps an antenna, as short as the cyclic prefix."""
    grid = Grid()
    rng = np.random.default_rng(1)
    size, prefix, num_symbols = grid.fft_size, grid.cyclic_prefix_length, grid.num_ofdm_symbols
    resources = np.zeros((batch, STREAMS, num_symbols, size), complex)
    quadrant = rng.integers(4, size=(batch, STREAMS, num_symbols, len(grid.occupied)))
    resources[..., grid.occupied] = np.exp(0.5j * np.pi * (quadrant + 0.5))
    resources[:, :, grid.pilot_symbols] = resources[:1, :, grid.pilot_symbols]  # all know them
    symbols = np.fft.ifft(np.fft.ifftshift(resources, axes=-1), norm="ortho")
    x = np.concatenate([symbols[..., -prefix:], symbols], axis=-1).reshape(batch, STREAMS, -1)
    x = np.pad(x, ((0, 0), (0, 0), (-L_MIN, SPREAD)))
    profile = np.exp(-np.arange(SPREAD) / 4)
    shape = (batch, num_ant, STREAMS, SPREAD)
    taps = _gaussian(rng, *shape) * np.sqrt(profile / profile.sum())
    y = sum(np.einsum("bas,bst->bat", taps[..., n], np.roll(x, n, axis=-1)) for n in range(SPREAD))
    y = y + np.sqrt(NO) * _gaussian(rng, *y.shape)
    flat = resources.reshape(batch, STREAMS, -1)
    receive = Receiver(grid, flat[0][:, grid.elements(pilots=True)].T, num_ant, num_poles, readout)
    return Slots(
        receive,
        engine.constant(y, "complex64"),
        engine.constant(np.array([NO]), "float32"),
        flat[..., grid.elements(pilots=False)],
    )


def latency(num_ant: int, num_poles: int = 0, *, readout: str = "ard") -> Callable[[Budget], Found]:
    """Longest of all but one in a hundred calls with one slot, in milliseconds."""

    def measure(budget: Budget) -> Found:
        given = draw(1, num_ant, num_poles, readout)
        receive = engine.function(given.receive)
        seconds = _single_calls(receive, given, CALLS)
        p50, p99 = (1e3 * float(np.percentile(seconds, share)) for share in (50, 99))
        details = {"p50_ms": p50, "p99_ms": p99, "slot_ms": SLOT_MS, "calls": CALLS}
        details |= _quality(receive, given)
        way = engine.how(receive)
        if budget.device == "gpu" and engine.NAME != "tensorflow":
            eager = _single_calls(given.receive, given, CALLS // 5)
            details["eager_p50_ms"] = 1e3 * float(np.median(eager))
            way += f" (eager p50 {details['eager_p50_ms']:.3g} ms)"
        note = f"p50 {p50:.3g} ms, {given.receive.num_features} features"
        return Found(p99, f"{note}, error {details['error_db']:.1f} dB; {way}".strip("; "), details)

    return measure


def throughput(num_ant: int, num_poles: int = 0) -> Callable[[Budget], Found]:
    """Slots a second where 64 of them are received in one call."""

    def measure(budget: Budget) -> Found:
        given = draw(BATCH, num_ant, num_poles)
        receive = engine.function(given.receive)
        seconds = float(np.median(_single_calls(receive, given, max(3, budget.rounds), 3)))
        details = {"batch_ms": 1e3 * seconds, "batch": BATCH} | _quality(receive, given)
        note = f"{details['batch_ms']:.3g} ms a batch, error {details['error_db']:.1f} dB"
        return Found(BATCH / seconds, f"{note}; {engine.how(receive)}".strip("; "), details)

    return measure


def _single_calls(
    receive: Callable[..., Any], given: Slots, count: int, unseen: int = 20
) -> list[float]:
    """Seconds of calls one after the other, each until its result is there."""
    seconds = []
    for turn in range(count + unseen):  # the first ones compile and warm up
        start = time.perf_counter()
        engine.wait(receive(given.y, given.no))
        if turn >= unseen:
            seconds.append(time.perf_counter() - start)
    return seconds


def _quality(receive: Callable[..., Any], given: Slots) -> dict[str, float]:
    """Power of the error of the symbols, so that nobody measures how fast nonsense comes."""
    found = engine.array(receive(given.y, given.no)[0])
    return {"error_db": 10 * float(np.log10(np.mean(np.abs(found - given.sent) ** 2)))}


def _gaussian(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
