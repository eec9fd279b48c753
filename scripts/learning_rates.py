"""Search the learning rates of trained receivers, and check that twice the steps change little.

    python scripts/learning_rates.py diagonal dense --optimizers adam sgd --rates 0.01 0.03 0.1

Prints bit error rates before decoding on slots that no sweep draws; the rates found stand in
`sims.receivers.bptt`.
"""

from __future__ import annotations

import argparse
import os


def main() -> None:
    """Parse the command line and print one table a network and optimizer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("receivers", nargs="*", default=["bptt"], help="names of receivers")
    parser.add_argument("--optimizers", nargs="*", default=["adam"])
    parser.add_argument("--rates", nargs="*", type=float, default=[0.003, 0.01, 0.03, 0.1])
    parser.add_argument("--steps", type=int, default=None, help="default: the receiver's")
    parser.add_argument("--slots", type=int, default=16, help="of every scenario")
    parser.add_argument("--no-doubling", action="store_true", help="leave the check out")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, "1")

    from sims.receivers.tuning import tune

    for receiver in arguments.receivers:
        for optimizer in arguments.optimizers:
            tune(
                receiver,
                optimizer,
                [None] if optimizer in ("lbfgs", "varpro") else arguments.rates,
                num_steps=arguments.steps,
                num_slots=arguments.slots,
                doubling=not arguments.no_doubling,
            )


if __name__ == "__main__":
    main()
