"""What the command lines share: help that keeps its examples, and errors in one line."""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter


class Formatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows types and defaults, and leaves the examples as they are."""


class Parser(ArgumentParser):
    """Reports errors in one line, with the near flags for one that does not exist."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong and exit with code 2."""
        del ex
        text = " ".join(message.split())
        for word in text.split():
            if word.startswith("--") and "nrecognized" in text:
                flags = [flag for action in self._actions for flag in action.option_strings]
                near = difflib.get_close_matches(word.split("=")[0], flags, n=3, cutoff=0.5)
                text += f"; did you mean {' or '.join(near)}?" if near else "; see --help"
                break
        print(f"{self.prog}: error: {text}", file=sys.stderr)
        raise SystemExit(2)
