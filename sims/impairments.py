"""Hardware and channel impairments of a sampled waveform, and their registry.

Every impairment is a function ``f(samples, rng, *, parameters)``: it takes and returns complex
samples ``[..., T]`` (time last, one oscillator per entry of the first axis), draws its randomness
from ``rng`` alone, works in graph mode and keeps the precision of its input. Parameters named in
`LINK_PARAMETERS` are facts of the link and supplied by it; all others belong to the user.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

Impairment = Callable[..., tf.Tensor]

LINK_PARAMETERS = ("fft_size", "sample_rate", "no")


def rapp_pa(
    samples: tf.Tensor,
    rng: tf.random.Generator,
    *,
    p: float = 2.0,
    input_backoff_db: float = 0.0,
) -> tf.Tensor:
    r"""Compresses the amplitude as a Rapp (solid-state) power amplifier does.

    $y = x / (1 + (|x| / A)^{2p})^{1/(2p)}$, $A = \mathrm{rms}(x) \, 10^{\mathrm{backoff} / 20}$

    Args:
        samples: ``[..., T]`` complex; the RMS is taken over T, for every antenna and slot.
        rng: unused, the amplifier is deterministic.
        p: smoothness of the knee, > 0; large values clip hard.
        input_backoff_db: input back-off in dB of the saturation power over the mean power.

    Returns:
        ``[..., T]`` amplified samples with unit small-signal gain: compression costs power.

    Raises:
        ValueError: if `p` is not positive or `input_backoff_db` not finite.
    """
    _require(p > 0, "p", "a positive smoothness", p)
    finite = math.isfinite(input_backoff_db)
    _require(finite, "input_backoff_db", "a finite value", input_backoff_db)
    power = tf.math.real(samples * tf.math.conj(samples))
    saturation = _mean_power(samples) * 10 ** (input_backoff_db / 10)
    ratio = tf.math.divide_no_nan(power, saturation)
    # Split at the knee: ratio**p alone would overflow far beyond it.
    above, below = tf.maximum(ratio, 1), tf.minimum(ratio, 1)
    gain = above**-0.5 * (above**-p + below**p) ** (-1 / (2 * p))
    return samples * tf.cast(gain, samples.dtype)


def impulsive_noise(
    samples: tf.Tensor,
    rng: tf.random.Generator,
    *,
    probability: float = 0.01,
    power_db: float = 20.0,
    no: tf.Tensor | float,
) -> tf.Tensor:
    r"""Adds Bernoulli-Gaussian impulses, independent per sample and antenna.

    $y = x + b w$, $b \sim \mathrm{Bernoulli}(\mathrm{probability})$,
    $w \sim CN(0, N_0 \, 10^{\mathrm{power\_db} / 10})$

    Args:
        samples: ``[..., T]`` complex.
        rng: source of the impulses.
        probability: chance of an impulse in a sample, in [0, 1].
        power_db: variance of an impulse in dB over the thermal noise variance.
        no: thermal noise variance per sample (from the link).

    Returns:
        ``[..., T]`` samples with impulses.

    Raises:
        ValueError: if `probability` is outside [0, 1] or `power_db` not finite.
    """
    _require(0 <= probability <= 1, "probability", "a value in [0, 1]", probability)
    _require(math.isfinite(power_db), "power_db", "a finite value", power_db)
    rdtype = samples.dtype.real_dtype
    variance = tf.cast(no, rdtype) * 10 ** (power_db / 10)
    hit = tf.cast(rng.uniform(tf.shape(samples), dtype=rdtype) < probability, rdtype)
    amplitude = hit * tf.sqrt(variance / 2)
    noise = rng.normal(tf.concat([[2], tf.shape(samples)], 0), dtype=rdtype)
    return samples + tf.complex(amplitude * noise[0], amplitude * noise[1])


def cfo(
    samples: tf.Tensor,
    rng: tf.random.Generator,
    *,
    subcarriers: float = 0.01,
    fft_size: int,
) -> tf.Tensor:
    r"""Rotates the samples by a carrier frequency offset.

    $y_n = x_n \exp(2 \pi j \, \epsilon n / N)$

    Args:
        samples: ``[..., T]`` complex.
        rng: unused, the offset is given.
        subcarriers: the offset in subcarrier spacings, finite.
        fft_size: N, samples of one OFDM symbol without prefix (from the link).

    Returns:
        ``[..., T]`` rotated samples, phase zero at the first one.

    Raises:
        ValueError: if `subcarriers` is not finite.
    """
    _require(math.isfinite(subcarriers), "subcarriers", "a finite offset", subcarriers)
    # Double precision: the phase of a late sample is large against that of one step.
    n = tf.range(tf.shape(samples)[-1], dtype=tf.int32)
    phase = 2 * math.pi * subcarriers / fft_size * tf.cast(n, tf.float64)
    return samples * tf.cast(tf.complex(tf.cos(phase), tf.sin(phase)), samples.dtype)


def phase_noise(
    samples: tf.Tensor,
    rng: tf.random.Generator,
    *,
    linewidth: float = 100.0,
    sample_rate: float,
) -> tf.Tensor:
    r"""Rotates the samples by a Wiener phase, common to all antennas of a slot.

    $y_n = x_n e^{j \phi_n}$, $\phi_0 = 0$,
    $\phi_n - \phi_{n-1} \sim N(0, 2 \pi \, \mathrm{linewidth} / f_s)$

    Args:
        samples: ``[B, ..., T]`` complex; every entry of the first axis has its own phase.
        rng: source of the phase steps.
        linewidth: two-sided 3 dB linewidth of the oscillator in Hz, >= 0.
        sample_rate: samples per second (from the link).

    Returns:
        ``[B, ..., T]`` rotated samples.

    Raises:
        ValueError: if `linewidth` is negative or not finite.
    """
    _require(0 <= linewidth < math.inf, "linewidth", "a finite value >= 0 in Hz", linewidth)
    rdtype = samples.dtype.real_dtype
    shape = tf.shape(samples)
    others = tf.ones([tf.rank(samples) - 2], tf.int32)
    steps = rng.normal(tf.concat([shape[:1], others, shape[-1:]], 0), dtype=rdtype)
    sigma = math.sqrt(2 * math.pi * linewidth / sample_rate)
    phase = tf.cumsum(sigma * steps, axis=-1, exclusive=True)
    return samples * tf.complex(tf.cos(phase), tf.sin(phase))


def adc(
    samples: tf.Tensor,
    rng: tf.random.Generator,
    *,
    num_bits: int = 6,
    clip_level: float = 3.0,
) -> tf.Tensor:
    r"""Quantizes the real and the imaginary part by a uniform mid-rise converter.

    $Q(v) = \Delta (\lfloor v / \Delta \rfloor + 1/2)$ within
    $\pm c$, $\Delta = 2 c / 2^{\mathrm{num\_bits}}$,
    $c = \mathrm{clip\_level} \cdot \mathrm{rms}(x) / \sqrt{2}$

    Args:
        samples: ``[..., T]`` complex; the gain control uses the RMS over T, for every antenna
            and slot.
        rng: unused, the converter is deterministic.
        num_bits: bits per real sample, an integer in 1..24.
        clip_level: full scale over the RMS of one real part, > 0.

    Returns:
        ``[..., T]`` quantized samples on the scale of the input.

    Raises:
        ValueError: if `num_bits` or `clip_level` is out of range.
    """
    whole = isinstance(num_bits, int) and not isinstance(num_bits, bool)
    _require(whole and 1 <= num_bits <= 24, "num_bits", "an integer in 1..24", num_bits)
    _require(0 < clip_level < math.inf, "clip_level", "a positive full scale", clip_level)
    full_scale = clip_level * tf.sqrt(_mean_power(samples) / 2)
    step = full_scale * 2.0 ** (1 - num_bits)
    top = 2 ** (num_bits - 1)

    def convert(v: tf.Tensor) -> tf.Tensor:
        level = tf.floor(tf.math.divide_no_nan(v, step))
        return step * (tf.clip_by_value(level, -top, top - 1) + 0.5)

    return tf.complex(convert(tf.math.real(samples)), convert(tf.math.imag(samples)))


# The order is that of the hardware: several impairments of a stage are applied from top to bottom.
IMPAIRMENTS: dict[str, tuple[str, Impairment]] = {
    "rapp_pa": ("tx", rapp_pa),
    "impulsive_noise": ("rx", impulsive_noise),
    "cfo": ("rx", cfo),
    "phase_noise": ("rx", phase_noise),
    "adc": ("rx", adc),
}


def own_parameters(function: Impairment) -> dict[str, Any]:
    """Returns the parameters of an impairment that a user may set, with their defaults."""
    signature = inspect.signature(function).parameters.values()
    keywords = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
    return {name: value for name, value in keywords.items() if name not in LINK_PARAMETERS}


def link_parameters(function: Impairment, *facts: Any) -> dict[str, Any]:
    """Returns the facts of a link, given in the order of `LINK_PARAMETERS`, that it asks for."""
    asked = inspect.signature(function).parameters
    named = zip(LINK_PARAMETERS, facts, strict=True)
    return {name: value for name, value in named if name in asked}


def _mean_power(samples: tf.Tensor) -> tf.Tensor:
    power = tf.math.real(samples * tf.math.conj(samples))
    return tf.reduce_mean(power, axis=-1, keepdims=True)


def _require(condition: bool, name: str, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {got!r}")
