"""Recurrences trained offline on slots that no sweep draws."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sims.link import Link
from sims.link.randomness import own_stream
from sims.receivers.learned import Frame, LearnedReceiver
from sims.receivers.recurrences import Recurrence
from sims.scenario import Scenario
from sims.training import Adam, Data, Network, pretrain

# Its own stream of slots, at Es/N0 drawn evenly from a range in dB.
_SEED = 30_001
_ESNO_DB = (0.0, 25.0)
_BATCH = 16
_LEARNING_RATE = 0.01


def pretrained_network(
    link: Link, recurrence: Recurrence, frame: Frame, *, num_steps: int
) -> Network:
    """The network with its recurrence trained for the scenario, over all noise levels.

    Args:
        link: the link to receive on; its random stream is left where it is.
        recurrence: the network before training.
        frame: how it will be set into the receiver.
        num_steps: batches of 16 slots, >= 1.

    Raises:
        ValueError: if ``num_steps`` is below 1.

    Notes:
        Remembered: receivers of one scenario with one recurrence share the training.
    """
    if num_steps < 1:
        raise ValueError(f"pretraining_steps must be at least 1, got {num_steps!r}")
    # How the readout is fitted after training makes no difference here.
    frame = dataclasses.replace(frame, refit=True, ridge_start=True, readout="ridge")
    return _trained(link.scenario, link.precision, recurrence, frame, num_steps)


@functools.lru_cache(maxsize=32)
def _trained(
    scenario: Scenario, precision: str, recurrence: Recurrence, frame: Frame, num_steps: int
) -> Network:
    # Pilots alone are looked at, so the code does not matter; a link of its own, lest the sweep's
    # be traced for another batch size.
    if not scenario.has_transport_blocks:
        scenario = scenario.replace(coderate=None)
    practice = Link(scenario, precision=precision)
    network = recurrence.make(scenario.num_rx_ant)
    receiver = LearnedReceiver(practice, network, None, frame)
    rng = np.random.default_rng(_SEED)
    per_bit = 10 * np.log10(scenario.num_bits_per_symbol)

    def draw() -> Data:
        return receiver.data(practice.transmit(_BATCH, rng.uniform(*_ESNO_DB) - per_bit))

    with own_stream(_SEED):
        recurrent = pretrain(receiver.regression, draw, Adam(_LEARNING_RATE, num_steps))
    return network.starting_at(recurrent)
