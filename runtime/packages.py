"""Name in one line a package that is missing in this Python; the scripts import this first.

Ctrl-C while they import the others is one line too.
"""

import os
import sys
from types import TracebackType

SCRIPTS = ("train.py", "predict.py", "data_loader.py")
PACKAGES = "filelock matplotlib numpy PIL pooch py4j pyspark scipy tqdm".split()


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if kind is KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr, flush=True)
        os._exit(130)
    name = str(getattr(error, "name", None)).partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in PACKAGES:
        sys.__excepthook__(kind, error, trace)
        return
    script = sys.argv[0]
    remedy = f"type `make run`, or use .venv/bin/python {script}"
    if sys.prefix != sys.base_prefix:  # this is a virtual environment
        remedy = f"install it with {sys.executable} -m pip install -r requirements.txt"
    print(f"error: this Python ({sys.executable}) has no {name}: {remedy}", file=sys.stderr)


# Only for the scripts themselves: a program that imports them keeps its own hook.
if os.path.basename(getattr(sys.modules["__main__"], "__file__", None) or "") in SCRIPTS:
    sys.excepthook = _tell
