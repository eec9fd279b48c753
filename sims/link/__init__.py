"""A simulated OFDM link in the time domain."""

from __future__ import annotations

from sims.link.link import Link, Slots

__all__ = ["Link", "Slots"]
