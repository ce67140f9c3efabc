"""The figures that a run draws, and the page that shows the network at work."""

import contextlib
import os
import sys


def _import_matplotlib() -> None:
    """Import it whatever MPLBACKEND says: no figure here needs a backend.

    Jupyter sets the variable for all that it starts, and the import fails where the backend that it
    names is not installed.
    """
    named = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if named is not None:
        os.environ["MPLBACKEND"] = named
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = named  # for the figures of a notebook's own cells


if "matplotlib" not in sys.modules:
    _import_matplotlib()
