"""Ctrl-C before main begins: the scripts' imports take a second, and leave nothing to undo.

Imports as little as it can: during its own imports Ctrl-C still ends in a traceback.
"""

import os
import signal

SAID, STATUS = "stopped by Ctrl-C", 130


def ends_the_program() -> None:
    """From now on Ctrl-C ends the program at once; `exit_status` puts an end to that."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


def end_at_once(number, frame) -> None:
    """Say it in a line, and end."""
    os.write(2, f"{SAID}\n".encode())
    os._exit(STATUS)
