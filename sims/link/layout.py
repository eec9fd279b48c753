"""What the waveform of a scenario decides: the grid, its streams and their code."""

from __future__ import annotations

from typing import NamedTuple

from sionna.phy.mimo import StreamManagement
from sionna.phy.nr import PUSCHTransmitter
from sionna.phy.ofdm import ResourceGrid

from sims.link import grid, pusch
from sims.link.coding import Codec
from sims.link.layers import OneAntennaEach
from sims.scenario import PUSCHScenario, Scenario


class Layout(NamedTuple):
    """The parts of a link that know the waveform."""

    resource_grid: ResourceGrid
    stream_management: StreamManagement
    codec: Codec | pusch.TransportCodec
    layers: OneAntennaEach
    pusch_transmitter: PUSCHTransmitter | None  # None: not PUSCH


def lay_out(scenario: Scenario, precision: str) -> Layout:
    """Makes the parts of a scenario's link."""
    if not isinstance(scenario, PUSCHScenario):
        return Layout(
            grid.resource_grid(scenario, precision),
            grid.stream_management(scenario),
            Codec(scenario, precision),
            OneAntennaEach(),
            None,
        )
    transmitter = PUSCHTransmitter(scenario.pusch_configs(), precision=precision)
    return Layout(
        transmitter.resource_grid,
        pusch.stream_management(scenario),
        pusch.TransportCodec(scenario, transmitter, precision),
        pusch.Layers(transmitter, precision),
        transmitter,
    )
