"""The description of a simulated link: one frozen value that a file or a flag can hold."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from sims.scenario import checks


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that fixes the statistics of a simulated slot, apart from Eb/N0.

    Impossible combinations are refused when the scenario is made. The Es/N0 of a stream is
    Eb/N0 x num_bits_per_symbol x coderate (rate 1 when uncoded): pilots and cyclic prefix are
    not counted.

    Args:
        name: a label. Nothing is simulated differently for it, but as part of the scenario it
            enters the seeds and the identities of a sweep's results: another name, other slots.
        carrier_frequency: in Hz.
        subcarrier_spacing: in Hz; the sample rate is fft_size times it.
        num_ofdm_symbols: OFDM symbols of a slot.
        fft_size: subcarriers, guards and DC included.
        cp_length: samples of every cyclic prefix, at most fft_size.
        num_guard_carriers: empty subcarriers below and above.
        dc_null: whether the DC subcarrier is empty.
        channel: "awgn" (antenna i receives stream i), "rayleigh" (block-flat, independent per
            antenna pair), "tdl-a" .. "tdl-e" or "cdl-a" .. "cdl-e".
        delay_spread: RMS delay spread in s of a TDL or CDL channel, 0 for the others.
        speed: in km/h; 0 is a static channel.
        num_users: transmitters, each with a channel of its own.
        num_tx_ant: antennas, and streams, of a user.
        num_rx_ant: antennas of the receiver.
        num_bits_per_symbol: 2 (QPSK), 4 (16-QAM) or 6 (64-QAM).
        coderate: of the 5G LDPC code, one codeword a stream and slot; None is uncoded.
        num_decoder_iterations: of belief propagation.
        pilot_symbols: OFDM symbols that carry pilots and no data, 0-based.
        pilot_pattern: "kronecker" (stream s has the occupied subcarriers i with
            i mod num_streams == s, boosted to unit mean power over the pilot symbol) or "full"
            (all streams on all occupied subcarriers, not orthogonal, unit power each).
        pilot_seed: of the random QPSK pilots.
        l_min: first lag of the discrete channel in samples, <= 0.
        l_max: its last lag; None: ceil(longest delay x bandwidth) + 6.
        interferer_sir_db: mean power of all users over that of one co-channel interferer, in dB;
            None: no interferer.
        impairments: name -> parameters, see `sims.impairments`; defaults are filled in.
        normalize_channel: whether every channel draw is scaled to unit energy.

    Raises:
        ValueError: naming the field, what was expected and what came.
        TypeError: if a field has the wrong type.

    >>> s = Scenario(name="demo", fft_size=64, cp_length=8, channel="tdl-a", delay_spread=1e-7,
    ...              num_rx_ant=2, num_bits_per_symbol=2)
    >>> s.num_coded_bits, s.num_info_bits, s.lags
    (1536, 768, (-6, 8))
    >>> Scenario.from_dict(s.to_dict()) == s
    True
    """

    name: str
    carrier_frequency: float = 3.5e9
    subcarrier_spacing: float = 30e3
    num_ofdm_symbols: int = 14
    fft_size: int
    cp_length: int
    num_guard_carriers: tuple[int, int] = (0, 0)
    dc_null: bool = False
    channel: str
    delay_spread: float = 0.0
    speed: float = 0.0
    num_users: int = 1
    num_tx_ant: int = 1
    num_rx_ant: int
    num_bits_per_symbol: int
    coderate: float | None = 0.5
    num_decoder_iterations: int = 20
    pilot_symbols: tuple[int, ...] = (2, 11)
    pilot_pattern: str = "kronecker"
    pilot_seed: int = 0
    l_min: int = -6
    l_max: int | None = None
    interferer_sir_db: float | None = None
    impairments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    normalize_channel: bool = False

    def __post_init__(self) -> None:
        # One value has one spelling (3 and 3.0, list and tuple): equal scenarios then have
        # equal dictionaries.
        for f in dataclasses.fields(self):
            value = checks.normalize(f.name, f.type, getattr(self, f.name))
            object.__setattr__(self, f.name, value)
        checks.fields(self)
        checks.combinations(self)
        object.__setattr__(self, "impairments", checks.impairments(self))

    def to_dict(self) -> dict[str, Any]:
        """Returns a dictionary of plain values, ready for `json.dumps`."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scenario:
        """Makes the scenario of a dictionary, the inverse of `to_dict`.

        Args:
            values: field name -> value; fields with a default may be left out. Scenarios of
                another waveform than this class' have the field `waveform`, see WAVEFORMS.

        Returns:
            The scenario.

        Raises:
            ValueError: for an unknown or a missing field.
        """
        cls = WAVEFORMS.get(str(values.get("waveform")), cls)
        fields = [f for f in dataclasses.fields(cls) if f.init]
        for key in values:
            checks.known("field of a scenario", key, [f.name for f in fields])
        missing = [f.name for f in fields if _required(f) and f.name not in values]
        if missing:
            raise ValueError(f"a scenario needs the fields {', '.join(missing)}")
        return cls(**copy.deepcopy(dict(values)))

    def replace(self, **fields: Any) -> Scenario:
        """Returns a copy with the given fields changed, checked anew; raises as `from_dict`."""
        return Scenario.from_dict({**self.to_dict(), **fields})

    @property
    def summary(self) -> str:
        """What a reader of a plot must know, in one line.

        >>> Scenario(name="demo", fft_size=64, cp_length=8, channel="rayleigh", num_rx_ant=2,
        ...          num_bits_per_symbol=2, interferer_sir_db=3).summary
        'Rayleigh, 1 x 2 antennas, QPSK, rate 0.5, FFT 64, CP 8, SIR 3 dB'
        """
        users = f"{self.num_users} users, " if self.num_users > 1 else ""
        spread = f" {self.delay_spread * 1e9:g} ns" if self.delay_spread else ""
        order = 2**self.num_bits_per_symbol
        facts = [
            (self.channel.title() if self.channel == "rayleigh" else self.channel.upper()) + spread,
            *([f"{self.speed:g} km/h"] if self.speed else []),
            f"{users}{self.num_tx_ant} x {self.num_rx_ant} antennas",
            "QPSK" if order == 4 else f"{order}-QAM",
            "uncoded" if self.coderate is None else f"rate {self.coderate:g}",
            f"FFT {self.fft_size}",
            f"CP {self.cp_length}",
            *([] if self.interferer_sir_db is None else [f"SIR {self.interferer_sir_db:g} dB"]),
            *(name.replace("_", " ") for name in self.impairments),
        ]
        return ", ".join(facts)

    @property
    def num_streams(self) -> int:
        """Streams of all users together."""
        return self.num_users * self.num_tx_ant

    @property
    def sent_power(self) -> float:
        """Mean power of all users together, over their antennas, on a resource element."""
        return self.num_streams

    @property
    def has_transport_blocks(self) -> bool:
        """Whether a user's streams share blocks, which are segmented for the code."""
        return False

    @property
    def sample_rate(self) -> float:
        """Samples per second, also the simulated bandwidth in Hz."""
        return self.fft_size * self.subcarrier_spacing

    @property
    def num_occupied(self) -> int:
        """Subcarriers that are neither guard nor DC null."""
        return self.fft_size - sum(self.num_guard_carriers) - int(self.dc_null)

    @property
    def num_data_res(self) -> int:
        """Resource elements with data, of one stream in a slot."""
        return (self.num_ofdm_symbols - len(self.pilot_symbols)) * self.num_occupied

    @property
    def num_pilots(self) -> int:
        """Resource elements of a slot that carry pilots, and no data of any stream."""
        return len(self.pilot_symbols) * self.num_occupied

    @property
    def num_coded_bits(self) -> int:
        """Bits on the data resource elements of one stream in a slot."""
        return self.num_data_res * self.num_bits_per_symbol

    @property
    def num_info_bits(self) -> int:
        """Information bits of one stream in a slot; all bits when uncoded."""
        if self.coderate is None:
            return self.num_coded_bits
        return int(self.num_coded_bits * self.coderate)

    @property
    def lags(self) -> tuple[int, int]:
        """First and last lag of the discrete channel in samples."""
        if self.l_max is not None:
            return self.l_min, self.l_max
        if not self.channel.startswith(("tdl", "cdl")):
            return self.l_min, 6
        longest = max(_model_delays(self.channel)) * self.delay_spread
        return self.l_min, math.ceil(longest * self.sample_rate) + 6


# Scenarios with fields of their own: value of their field `waveform` -> class.
WAVEFORMS: dict[str, type[Scenario]] = {}


def _required(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _model_delays(channel: str) -> list[float]:
    """Path delays of a 3GPP model in delay spreads, as the link's channel will use them."""
    tables = files("sionna.phy.channel.tr38901.models")
    return json.loads(tables.joinpath(f"{channel.upper()}.json").read_text("utf-8"))["delays"]
