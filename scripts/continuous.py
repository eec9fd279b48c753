"""Measure what the slots before bring to the channel estimate of a transmission that goes on.

python scripts/continuous.py
python scripts/continuous.py --speed 3 120 --ebno 0 10 --slots 1 2 3 4 --trials 400
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout


def main() -> None:
    """Parse the command line and print a table for every speed and point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", nargs="*", type=float, default=[3.0, 30.0, 120.0], help="km/h")
    parser.add_argument("--ebno", nargs="*", type=float, default=[5.0], help="in dB")
    parser.add_argument("--slots", nargs="*", type=int, default=[1, 2, 3, 4], help="looked at")
    parser.add_argument("--trials", type=int, default=200, help="transmissions")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from sims.experiments.continuous import run, table

    for speed in arguments.speed:
        for ebno_db in arguments.ebno:
            results = run(
                speed=speed,
                ebno_db=ebno_db,
                num_slots=tuple(arguments.slots),
                trials=arguments.trials,
                seed=arguments.seed,
            )
            print(f"{speed:g} km/h, Eb/N0 {ebno_db:g} dB, {arguments.trials} transmissions")
            print(table(results), flush=True)


if __name__ == "__main__":
    main()
