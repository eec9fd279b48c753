"""Doctests: what is PyTorch's is not imported where PyTorch is not."""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("torch") else ["captured.py"]
