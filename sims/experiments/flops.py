"""Floating point operations of training and detecting one slot, counted from the formulas.

A complex product with its addition counts 8 operations, a real one 2, an FFT of N points
5 N log2 N. Only terms that grow with samples, pilots or steps are counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rx_fixedpole.receivers.frontend import default_window
from sims.receivers.bptt import DESCENT_STEPS
from sims.scenario import Scenario

COMPLEX_MAC, REAL_MAC = 8, 2
ARD_FITS = 3  # one, and two updates of the prior
BACKWARD = 2  # reverse-mode derivatives cost about two forward passes


def flops_fixed(scenario: Scenario, options: Mapping[str, Any]) -> float:
    """Operations of the fixed-pole equalizer.

    Args:
        scenario: the link.
        options: complete options of the receiver "fixed_pole" or "window".

    >>> from sims.receivers import resolve
    >>> from sims.scenario import SCENARIOS
    >>> one, two = (flops_fixed(SCENARIOS[name], resolve("fixed_pole"))
    ...             for name in ("nominal_siso", "nominal_2x2"))
    >>> 1 < two / one < 4
    True
    """
    features = _window(scenario, options["window"], options["num_poles"]) + options["num_poles"]
    fits = ARD_FITS if options["readout"] == "ard" else 1
    return (
        _features(scenario, features) + _fit(scenario, features, fits) + _apply(scenario, features)
    )


def flops_learnt(scenario: Scenario, options: Mapping[str, Any]) -> float | None:
    """Operations of a receiver "bptt": all steps of a gradient method, then fit and detection.

    Args:
        scenario: the link.
        options: complete options of the receiver.

    Returns:
        The count; None where the number of evaluations is up to the method.
    """
    antennas = scenario.num_rx_ant
    per_antenna = options["num_poles"] if options["bank"] == "per_antenna" else 0
    window = _window(scenario, options["window"], per_antenna)
    states = options["num_poles"] if options["network"] == "diagonal" else options["num_neurons"]
    alike = window + (per_antenna or states / antennas)
    once = _features(scenario, alike) + _fit(scenario, alike, ARD_FITS) + _apply(scenario, alike)
    if options["pretrained"] == "frozen":
        return once
    if options["optimizer"] in ("lbfgs", "varpro"):
        return None
    steps = DESCENT_STEPS if options["num_steps"] is None else options["num_steps"]
    kinds = {
        "diagonal": COMPLEX_MAC * (states * (1 if per_antenna else antennas) + states),
        "dense": COMPLEX_MAC * (states * antennas + states**2),
        "gru": REAL_MAC * 3 * (2 * antennas * states + states**2),
        "lstm": REAL_MAC * 4 * (2 * antennas * states + states**2),
    }
    outputs = COMPLEX_MAC * scenario.num_streams * (states + antennas * window)
    samples = len(scenario.pilot_symbols) * (scenario.fft_size + scenario.cp_length + window)
    step = samples * (kinds[options["network"]] + outputs) * (1 + BACKWARD)
    return once + steps * step


def _features(scenario: Scenario, features: float) -> float:
    """States of every sample, and spectra of all features at the pilot symbols."""
    size, antennas = scenario.fft_size, scenario.num_rx_ant
    samples = scenario.num_ofdm_symbols * (size + scenario.cp_length)
    spectra = len(scenario.pilot_symbols) * 5 * size * math.log2(size)
    return antennas * features * (COMPLEX_MAC * samples + spectra)


def _fit(scenario: Scenario, features: float, fits: int) -> float:
    """Gram matrix, factorisations and solutions."""
    width = scenario.num_rx_ant * features
    pilots = len(scenario.pilot_symbols) * scenario.num_occupied
    gram = pilots * width * (width / 2 + scenario.num_streams)
    factor = width**3 / 6 + width**2 * (width if fits > 1 else scenario.num_streams)
    return COMPLEX_MAC * (gram + fits * factor)


def _apply(scenario: Scenario, features: float) -> float:
    """The output at every sample, and its spectra."""
    size = scenario.fft_size
    samples = scenario.num_ofdm_symbols * (size + scenario.cp_length)
    spectra = scenario.num_ofdm_symbols * 5 * size * math.log2(size)
    return scenario.num_streams * (samples * COMPLEX_MAC * scenario.num_rx_ant * features + spectra)


def _window(scenario: Scenario, window: int | None, num_poles: int) -> int:
    """What the receivers take as the length of their delay line."""
    if window is not None:
        return window
    pilots = len(scenario.pilot_symbols) * scenario.num_occupied
    return default_window(pilots // scenario.num_rx_ant, num_poles, scenario.cp_length)
