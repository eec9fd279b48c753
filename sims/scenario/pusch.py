"""The description of a 5G NR uplink: a scenario whose grid, pilots and code are the standard's."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sionna.phy.nr import PUSCHConfig

from sims.scenario import checks
from sims.scenario.model import WAVEFORMS, Scenario

SYMBOLS_PER_SLOT = 14
# DMRS ports of one OFDM symbol, in as many groups without data as there are (TS 38.211, 6.4.1.1).
DMRS_PORTS, CDM_GROUPS = 4, 2
LARGEST_GRID = 275
# QPSK to 64-QAM (TS 38.214, table 5.1.3.1-1)
LARGEST_MCS = 28
NUMEROLOGIES = (15e3, 30e3, 60e3, 120e3)


class _Facts(NamedTuple):
    """What the standard derives from a configuration."""

    fft_size: int
    cp_length: int
    pilot_symbols: tuple[int, ...]
    num_bits_per_symbol: int
    coderate: float
    num_coded_bits: int
    num_info_bits: int
    power: float


@dataclass(frozen=True, kw_only=True)
class PUSCHScenario(Scenario):
    """A PUSCH slot of TS 38.211, which Sionna's PUSCHTransmitter makes.

    A block is a transport block, one a user and slot. The grid is the allocation alone, without
    guards; DMRS symbols carry no data. Of the fields of `Scenario` those of grid, pilots and
    modulation follow from the ones below and cannot be given. Es/N0 counts unit power a layer:
    with a precoder the standard sends less, and the receiver gets that much less.

    Args:
        num_prb: resource blocks of 12 subcarriers.
        num_layers: layers, and streams, of a user; as many as antennas unless `tpmi` is given.
        mcs_index: modulation and code rate, of table 1 of TS 38.214.
        dmrs_additional_position: DMRS symbols beyond the first, 0 to 3.
        tpmi: index of the precoder in the codebook for num_layers and num_tx_ant (2 or 4); None:
            no precoder.
        waveform: tells such a scenario from others in a file.

    >>> s = PUSCHScenario(name="demo", channel="tdl-c", delay_spread=3e-7, num_rx_ant=2)
    >>> s.fft_size, s.cp_length, s.pilot_symbols, s.num_info_bits, s.num_coded_bits
    (48, 5, (2, 11), 1256, 2304)
    >>> Scenario.from_dict(s.to_dict()) == s
    True
    """

    num_prb: int = 4
    num_layers: int = 1
    mcs_index: int = 14
    dmrs_additional_position: int = 1
    tpmi: int | None = None
    waveform: str = "pusch"

    num_ofdm_symbols: int = field(init=False)
    fft_size: int = field(init=False)
    cp_length: int = field(init=False)
    num_guard_carriers: tuple[int, int] = field(init=False)
    dc_null: bool = field(init=False)
    num_bits_per_symbol: int = field(init=False)
    coderate: float | None = field(init=False)
    pilot_symbols: tuple[int, ...] = field(init=False)
    pilot_pattern: str = field(init=False)
    pilot_seed: int = field(init=False)

    def __post_init__(self) -> None:
        # What follows from the other fields needs them in order.
        for f in dataclasses.fields(self):
            if f.init:
                value = checks.normalize(f.name, f.type, getattr(self, f.name))
                object.__setattr__(self, f.name, value)
        _check(self)
        facts = self._facts
        derived = {
            "num_ofdm_symbols": SYMBOLS_PER_SLOT,
            "fft_size": facts.fft_size,
            "cp_length": facts.cp_length,
            "num_guard_carriers": (0, 0),
            "dc_null": False,
            "num_bits_per_symbol": facts.num_bits_per_symbol,
            "coderate": facts.coderate,
            "pilot_symbols": facts.pilot_symbols,
            # Layers of a code division group send on the same resource elements.
            "pilot_pattern": "kronecker" if self.num_streams == 1 else "full",
            "pilot_seed": 0,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        super().__post_init__()

    def pusch_configs(self) -> list[PUSCHConfig]:
        """Returns Sionna's configuration of every user."""
        return [_config(*self._key, user=user) for user in range(self.num_users)]

    @property
    def summary(self) -> str:
        """What a reader of a plot must know, in one line.

        >>> PUSCHScenario(name="demo", channel="tdl-c", delay_spread=3e-7, num_rx_ant=2).summary
        'PUSCH, 4 PRB, 1 layer, TDL-C 300 ns, 1 x 2 antennas, 16-QAM, rate 0.54, FFT 48, CP 5'
        """
        layers = f"{self.num_layers} layer{'s' if self.num_layers > 1 else ''}"
        # Two digits tell all code rates of the table.
        rest = super().summary.replace(f"rate {self.coderate:g}", f"rate {self.coderate:.2f}")
        return f"PUSCH, {self.num_prb} PRB, {layers}, {rest}"

    @property
    def has_transport_blocks(self) -> bool:
        """True: the standard fits its code to any slot."""
        return True

    @property
    def num_streams(self) -> int:
        """Layers of all users together."""
        return self.num_users * self.num_layers

    @property
    def sent_power(self) -> float:
        """Mean power of all users together, over their antennas, on a resource element."""
        return self.num_users * self._facts.power

    @property
    def num_coded_bits(self) -> int:
        """Coded bits of one transport block."""
        return self._facts.num_coded_bits

    @property
    def num_info_bits(self) -> int:
        """Information bits of one transport block, without its CRC."""
        return self._facts.num_info_bits

    @property
    def _key(self) -> tuple[float, int, int, int, int, int, int | None]:
        return (
            self.subcarrier_spacing,
            self.num_prb,
            self.num_layers,
            self.num_tx_ant,
            self.mcs_index,
            self.dmrs_additional_position,
            self.tpmi,
        )

    @property
    def _facts(self) -> _Facts:
        return _facts(*self._key)


WAVEFORMS["pusch"] = PUSCHScenario


def _config(
    subcarrier_spacing: float,
    num_prb: int,
    num_layers: int,
    num_ports: int,
    mcs_index: int,
    additional_position: int,
    tpmi: int | None,
    *,
    user: int = 0,
) -> PUSCHConfig:
    config = PUSCHConfig()
    config.carrier.subcarrier_spacing = subcarrier_spacing / 1e3
    config.carrier.n_size_grid = num_prb
    config.num_layers, config.num_antenna_ports = num_layers, num_ports
    config.n_rnti = 1 + user
    config.tb.mcs_index = mcs_index
    config.dmrs.additional_position = additional_position
    config.dmrs.num_cdm_groups_without_data = CDM_GROUPS
    config.dmrs.dmrs_port_set = list(range(user * num_layers, (user + 1) * num_layers))
    if tpmi is not None:
        config.precoding, config.tpmi = "codebook", tpmi
    config.check_config()
    return config


@lru_cache
def _facts(subcarrier_spacing: float, num_prb: int, *rest: int) -> _Facts:
    config = _config(subcarrier_spacing, num_prb, *rest)
    bandwidth = config.num_subcarriers * subcarrier_spacing
    weights = config.precoding_matrix if config.precoding == "codebook" else None
    return _Facts(
        fft_size=int(config.num_subcarriers),
        # As Sionna has it: the length of the slot's first symbol for all of them
        cp_length=math.ceil(config.carrier.cyclic_prefix_length * bandwidth),
        pilot_symbols=tuple(map(int, config.dmrs_symbol_indices)),
        num_bits_per_symbol=int(config.tb.num_bits_per_symbol),
        coderate=float(config.tb.target_coderate),
        num_coded_bits=int(config.num_coded_bits),
        num_info_bits=int(config.tb_size),
        power=float(config.num_layers if weights is None else np.sum(np.abs(weights) ** 2)),
    )


def _check(s: PUSCHScenario) -> None:
    """Refuses what the standard, or Sionna's part of it, does not know."""
    require = checks._require
    require(s.waveform == "pusch", "waveform", "'pusch'", s)
    require(s.subcarrier_spacing in NUMEROLOGIES, "subcarrier_spacing", "15, 30, 60 or 120 kHz", s)
    require(1 <= s.num_prb <= LARGEST_GRID, "num_prb", f"in 1..{LARGEST_GRID}", s)
    require(0 <= s.mcs_index < LARGEST_MCS, "mcs_index", f"in 0..{LARGEST_MCS - 1}", s)
    require(0 <= s.dmrs_additional_position <= 3, "dmrs_additional_position", "in 0..3", s)
    require(s.num_users >= 1, "num_users", "at least 1", s)
    most = DMRS_PORTS // s.num_users
    require(
        1 <= s.num_layers <= most,
        "num_layers",
        f"in 1..{most}, as {s.num_users} users share {DMRS_PORTS} DMRS ports",
        s,
    )
    if s.tpmi is None:
        require(
            s.num_tx_ant == s.num_layers,
            "num_tx_ant",
            f"num_layers ({s.num_layers}) without a precoder (tpmi None)",
            s,
        )
        return
    require(s.channel != "awgn", "tpmi", "None for channel 'awgn'", s)
    require(s.num_tx_ant in (2, 4), "num_tx_ant", "2 or 4 with a precoder (tpmi)", s)
    require(s.num_layers <= s.num_tx_ant, "num_layers", f"at most num_tx_ant ({s.num_tx_ant})", s)
    indices = {(1, 2): 6, (1, 4): 28, (2, 2): 3, (2, 4): 22, (3, 4): 7, (4, 4): 5}
    most = indices[s.num_layers, s.num_tx_ant] - 1
    require(0 <= s.tpmi <= most, "tpmi", f"None or in 0..{most}", s)
