"""Name in one line the package that this Python lacks; the scripts import this first."""

import sys
from types import TracebackType

PACKAGES = "filelock matplotlib numpy PIL pooch py4j pyspark scipy tqdm".split()


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    name = str(getattr(error, "name", None)).partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in PACKAGES:
        sys.__excepthook__(kind, error, trace)
        return
    script = sys.argv[0]
    remedy = f"type `make run`, or start it with .venv/bin/python {script}"
    if sys.prefix != sys.base_prefix:  # this is a virtual environment
        remedy = f"install it with {sys.executable} -m pip install -r requirements.txt"
    print(f"error: this Python ({sys.executable}) has no {name}: {remedy}", file=sys.stderr)


sys.excepthook = _tell
