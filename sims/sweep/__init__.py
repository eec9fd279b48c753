"""Sweeps: receivers over Eb/N0 on shared slots, resumable, with any number of workers."""

from __future__ import annotations

from sims.sweep.engine import SweepError, run
from sims.sweep.ledger import Ledger
from sims.sweep.plan import Contender, Plan, StoppingRule

__all__ = ["Contender", "Ledger", "Plan", "StoppingRule", "SweepError", "run"]
