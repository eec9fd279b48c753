"""What a scenario refuses, and why."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from sims.impairments import IMPAIRMENTS, link_parameters, own_parameters

if TYPE_CHECKING:
    from sims.scenario.model import Scenario

CHANNELS = ("awgn", "rayleigh", *(f"{kind}-{m}" for kind in ("tdl", "cdl") for m in "abcde"))
PILOT_PATTERNS = ("kronecker", "full")

# What the 5G LDPC code of TS 38.212 and its implementation in Sionna can do.
LDPC_INFO_BITS = (12, 8448)
LDPC_RATES = (1 / 5, 948 / 1024)


def known(what: str, name: str, names: Iterable[str]) -> None:
    """Refuses a name that is not among `names`, and lists the near ones."""
    names = list(names)
    if name in names:
        return
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}"
    raise ValueError(f"unknown {what} {name!r}; {hint}")


def normalize(name: str, annotation: Any, value: Any) -> Any:
    """Casts a field to its one spelling, and refuses what is not of the annotated type."""
    kind = str(annotation)
    if value is None and kind.endswith("| None"):
        return None
    kind = kind.removesuffix(" | None")
    if kind == "float" and _is_number(value):
        return float(value)
    if kind == "int" and _is_number(value) and float(value).is_integer():
        return int(value)
    if kind == "bool" and isinstance(value, bool) or kind == "str" and isinstance(value, str):
        return value
    if kind.startswith("Mapping") and isinstance(value, Mapping):
        return value
    if kind.startswith("tuple") and isinstance(value, list | tuple):
        return tuple(normalize(name, "int", v) for v in value)
    raise TypeError(f"{name} must be {annotation}, got {value!r}")


def fields(s: Scenario) -> None:
    """Checks every field on its own."""
    if not s.name:
        raise ValueError("name must not be empty")
    known("channel", s.channel, CHANNELS)
    known("pilot_pattern", s.pilot_pattern, PILOT_PATTERNS)
    for name in ("carrier_frequency", "subcarrier_spacing"):
        _require(0 < getattr(s, name) < math.inf, name, "a positive frequency in Hz", s)
    for name in (
        "num_ofdm_symbols",
        "num_users",
        "num_tx_ant",
        "num_rx_ant",
        "num_decoder_iterations",
    ):
        _require(getattr(s, name) >= 1, name, "at least 1", s)
    _require(s.fft_size >= 2, "fft_size", "at least 2", s)
    _require(0 <= s.cp_length <= s.fft_size, "cp_length", f"in 0..fft_size = {s.fft_size}", s)
    guards = s.num_guard_carriers
    _require(len(guards) == 2 and min(guards) >= 0, "num_guard_carriers", "two counts >= 0", s)
    _require(0 <= s.delay_spread < math.inf, "delay_spread", "a time >= 0 in s", s)
    _require(0 <= s.speed < math.inf, "speed", "a speed >= 0 in km/h", s)
    _require(s.num_bits_per_symbol in (2, 4, 6), "num_bits_per_symbol", "2, 4 or 6", s)
    _require(s.pilot_seed >= 0, "pilot_seed", "an integer >= 0", s)
    _require(s.l_min <= 0, "l_min", "a lag <= 0", s)
    _require(s.l_max is None or s.l_max >= 0, "l_max", "None or a lag >= 0", s)
    sir = s.interferer_sir_db
    _require(sir is None or math.isfinite(sir), "interferer_sir_db", "None or finite", s)


def combinations(s: Scenario) -> None:
    """Checks what the fields cannot be together."""
    _grid(s)
    _channel(s)
    _code(s)


def impairments(s: Scenario) -> dict[str, dict[str, Any]]:
    """Checks the impairments and returns them with all defaults filled in."""
    filled = {}
    for name, given in s.impairments.items():
        known("impairment", name, IMPAIRMENTS)
        if not isinstance(given, Mapping):
            raise TypeError(f"impairments[{name!r}] must be a mapping of parameters, got {given!r}")
        function = IMPAIRMENTS[name][1]
        defaults = own_parameters(function)
        for parameter in given:
            known(f"parameter of {name}", parameter, defaults)
        parameters = {
            p: normalize(f"impairments[{name!r}][{p!r}]", type(value).__name__, given.get(p, value))
            for p, value in defaults.items()
        }
        facts = link_parameters(function, s.fft_size, s.sample_rate, 1.0)
        _try(name, function, {**parameters, **facts})
        filled[name] = parameters
    return filled


def _grid(s: Scenario) -> None:
    _require(
        s.num_occupied >= 1,
        "num_guard_carriers",
        f"such that a subcarrier of fft_size = {s.fft_size} is left",
        s,
    )
    pilots = s.pilot_symbols
    _require(len(pilots) >= 1, "pilot_symbols", "at least one OFDM symbol", s)
    _require(list(pilots) == sorted(set(pilots)), "pilot_symbols", "distinct and ascending", s)
    _require(
        pilots[0] >= 0 and pilots[-1] < s.num_ofdm_symbols,
        "pilot_symbols",
        f"in 0..{s.num_ofdm_symbols - 1}",
        s,
    )
    _require(len(pilots) < s.num_ofdm_symbols, "pilot_symbols", "fewer than num_ofdm_symbols", s)
    if s.pilot_pattern == "kronecker" and s.num_streams > s.num_occupied:
        raise ValueError(
            f"pilot_pattern 'kronecker' needs a subcarrier for each of the {s.num_streams} "
            f"streams, got {s.num_occupied} occupied subcarriers"
        )
    l_min, l_max = s.lags
    if l_max - l_min >= s.fft_size + s.cp_length:
        raise ValueError(
            f"the channel must be shorter than an OFDM symbol with prefix "
            f"({s.fft_size + s.cp_length} samples), got lags {l_min}..{l_max}: reduce "
            "delay_spread or l_max, or enlarge fft_size"
        )


def _channel(s: Scenario) -> None:
    dispersive = s.channel.startswith(("tdl", "cdl"))
    if dispersive:
        _require(s.delay_spread > 0, "delay_spread", f"positive for channel {s.channel!r}", s)
    else:
        _require(s.delay_spread == 0, "delay_spread", f"0 for channel {s.channel!r}", s)
        _require(s.speed == 0, "speed", f"0 for channel {s.channel!r}, which is static", s)
    if s.channel == "awgn":
        _require(
            s.num_rx_ant == s.num_streams,
            "num_rx_ant",
            f"the number of streams ({s.num_streams}) for channel 'awgn', where antenna i "
            "receives stream i",
            s,
        )
        _require(s.interferer_sir_db is None, "interferer_sir_db", "None for channel 'awgn'", s)
    if s.channel.startswith("cdl"):
        _require(
            s.num_users == 1, "num_users", "1 for a CDL channel, whose angles are one user's", s
        )
        for name in ("num_tx_ant", "num_rx_ant"):
            n = getattr(s, name)
            _require(
                n == 1 or n % 2 == 0,
                name,
                "1 or even for a CDL channel (dual-polarised elements)",
                s,
            )


def _code(s: Scenario) -> None:
    if s.coderate is None or s.has_transport_blocks:
        return
    low, high = LDPC_RATES
    _require(low <= s.coderate <= high, "coderate", f"None or in {low:g}..{high:g}", s)
    k, n = s.num_info_bits, s.num_coded_bits
    fewest, most = LDPC_INFO_BITS
    bound = None
    if not fewest <= k <= most:
        bound = f"{fewest}..{most} information bits, got {k} of {n} coded bits"
    elif k / n < low:
        bound = f"a rate of at least {low:g} in whole bits, got {k} / {n} = {k / n:.5f}"
    if bound is not None:
        raise ValueError(
            f"a codeword of the LDPC code must have {bound} a stream and slot at coderate "
            f"{s.coderate}: change fft_size, num_ofdm_symbols, num_bits_per_symbol or coderate"
        )


def _try(name: str, function: Any, parameters: dict[str, Any]) -> None:
    """Lets the impairment itself judge its parameters, on a few samples."""
    try:
        function(tf.zeros([1, 1, 4], tf.complex64), tf.random.Generator.from_seed(0), **parameters)
    except ValueError as error:
        raise ValueError(f"impairments[{name!r}]: {error}") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(condition: bool, name: str, expected: str, s: Scenario) -> None:
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {getattr(s, name)!r}")
