"""Compare channel estimators with the true channel, on the same drops of the UMi uplink.

    python scripts/estimation.py
    python scripts/estimation.py umi_uplink --ebno 0 5 10 --drops 128 --out results/estimation.json

Prints the mean NMSE with its 95 % bootstrap interval over drops; --out leaves the error of every
drop, for paired comparisons.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # sims is used from the checkout


def main() -> None:
    """Parse the command line, print a table and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", default=["umi_uplink", "umi_uplink_fast"])
    parser.add_argument("--ebno", nargs="*", type=float, default=[0.0, 10.0], help="in dB")
    parser.add_argument("--drops", type=int, default=64, help="slots")
    parser.add_argument(
        "--drops-at-once",
        type=int,
        default=16,
        help="a divisor of --drops; part of what the slots are, and memory grows with it",
    )
    parser.add_argument(
        "--ablation", action="store_true", help="ours with one part changed, instead of rivals"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="JSON file (default: none)")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, "1")

    from sims.experiments.estimation import ABLATION, ESTIMATORS, measure, table
    from sims.experiments.record import versions
    from sims.link import Link
    from sims.scenario import SCENARIOS

    rows = []
    for scenario in arguments.scenarios:
        link = Link(SCENARIOS[scenario])
        rows += measure(
            link,
            ebno_db=arguments.ebno,
            num_drops=arguments.drops,
            drops_at_once=arguments.drops_at_once,
            seed=arguments.seed,
            estimators=ABLATION if arguments.ablation else ESTIMATORS,
        )
    print(table(rows))
    if arguments.out is not None:
        settings = {
            "drops": arguments.drops,
            "drops_at_once": arguments.drops_at_once,
            "seed": arguments.seed,
            "versions": versions(),
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"settings": settings, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
