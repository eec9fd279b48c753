"""What code computes here: versions of the libraries, and a digest of our own sources."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("sionna", "tensorflow", "keras", "numpy")
OURS = ("rx_fixedpole", "sims")


@dataclass(frozen=True)
class Revision:
    """The code that a process runs: equal revisions give equal results.

    Args:
        versions: "python" or a library -> its version.
        sources: file of our packages, such as sims/store.py -> digest of its content.
    """

    versions: Mapping[str, str]
    sources: Mapping[str, str]

    def differences(self, other: Revision) -> str:
        """Say in words what `other` has that this one has not; empty if they are equal.

        >>> here = Revision({"numpy": "2.4.6"}, {"sims/store.py": "a"})
        >>> here.differences(Revision({"numpy": "1.26.0"}, {"sims/store.py": "b"}))
        'numpy is 1.26.0 there and 2.4.6 here; sims/store.py differs'
        """
        parts = [
            f"{name} is {other.versions.get(name, 'missing')} there and {version} here"
            for name, version in self.versions.items()
            if other.versions.get(name) != version
        ]
        files = sorted(dict(self.sources.items() ^ other.sources.items()))
        if len(files) == 1:
            parts.append(f"{files[0]} differs")
        elif files:
            parts.append(f"{len(files)} files differ, {files[0]} among them")
        return "; ".join(parts)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries on which results depend, if installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def on_disk() -> Revision:
    """Return the revision that a process which starts now would run."""
    sources = {}
    for package in OURS:
        spec = importlib.util.find_spec(package)
        for folder in map(Path, (spec.submodule_search_locations or ()) if spec else ()):
            for file in folder.rglob("*.py"):
                name = (package / file.relative_to(folder)).as_posix()
                sources[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return Revision(versions(), sources)


@functools.cache
def first_seen() -> Revision:
    """Return the revision as it was at the first call: what a long-lived process has imported."""
    return on_disk()
