"""Parts of an experiment in worker processes, as many as cores, one thread each."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sims.experiments.record import Parts
from sims.sweep.pool import single_threaded

Key = Mapping[str, Any]


def in_processes(
    parts: Parts, keys: Sequence[Key], function: Callable[[Key], Any], *, workers: int | None = None
) -> list[Any]:
    """Return `function(key)` of every key, as JSON holds it; what `parts` holds is not computed.

    Args:
        parts: where finished parts are kept, in whatever order they come.
        keys: arguments of the function, which tell the parts apart.
        function: of a module, so that a worker can import it.
        workers: processes; None: as many as cores.

    Returns:
        The values, in the order of the keys.
    """
    missing = [key for key in keys if key not in parts]
    if missing:
        workers = min(workers or len(os.sched_getaffinity(0)), len(missing))
        context = get_context("spawn")  # TensorFlow does not survive a fork
        log = parts.path.with_suffix(".log")
        with ProcessPoolExecutor(workers, context, _prepare, (log,)) as pool:
            with single_threaded():  # processes start at the first submission
                futures = {pool.submit(function, key): key for key in missing}
            try:
                for future in as_completed(futures):
                    parts.put(futures[future], future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in (pool._processes or {}).values():
                    process.terminate()
                raise
    return [parts[key] for key in keys]


def _prepare(log: Path) -> None:
    """What is said goes to a log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(file, 2)  # native code writes to the descriptor
    os.close(file)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what Ctrl-C means is the main process' affair
