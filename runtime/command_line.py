"""What the scripts share: arguments, one-line errors, exit status."""

import argparse
import contextlib
import functools
import io
import math
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TextIO


class UserError(Exception):
    """A mistake that the user can mend. Its text says what was wrong, where, and what to do."""


DATA_HELP = (
    "where the images are: a folder or a Hadoop URI with IDX, CSV, Parquet or npz files or with "
    "folders of images (docs/data.md); or `mnist`: data/mnist, downloaded if needed; or `offline`: "
    "digits drawn from fonts"
)

TRANSPOSE_HELP = (
    "swap rows and columns of each image; always done for IDX and CSV files named emnist"
)

P = ParamSpec("P")
LONGEST = 400  # characters of a text from outside that are printed
# The exit statuses of a shell for a program that SIGINT or SIGPIPE has ended.
STATUS_OF_CTRL_C, STATUS_OF_CLOSED_PIPE = 130, 141


def exit_status(main: Callable[P, int]) -> Callable[P, int]:
    """Wrap main(argv): its failures print one line to stderr and return an exit status.

    1 for an error, 130 after Ctrl-C, 141 if the reader of the output has gone, as in
    `train.py | head -3`. Unusable arguments end in argparse, with one line and status 2.
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **named: P.kwargs) -> int:
        _make_output_safe()
        try:
            status = _in_one_line(functools.partial(main, *args, **named))
        except BrokenPipeError:
            _discard(sys.stdout)  # Python flushes both once more at its end
            _discard(sys.stderr)
            return STATUS_OF_CLOSED_PIPE
        if _LOST:
            complain(f"the output could not be written: {_LOST.pop()}")
            return status or 1
        return status

    return wrapped


def _in_one_line(main: Callable[[], int]) -> int:
    try:
        return main()
    except UserError as error:
        complain(str(error))
        return 1
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        complain(f"not enough memory{reason}; free memory, or use a smaller network or batch")
        return 1
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return STATUS_OF_CTRL_C
    finally:
        say(end="")  # a closed pipe raises here


def complain(message: str) -> None:
    """Print an error as one line to stderr."""
    with contextlib.suppress(OSError):  # the exit status remains
        print(f"error: {printable(message, 3 * LONGEST)}", file=sys.stderr, flush=True)


def say(text: str = "", end: str = "\n") -> None:
    """Print at once, with control characters escaped.

    If that fails, as on a full disk, the program continues without output, and its exit status is
    1 in the end. A closed pipe raises BrokenPipeError.
    """
    lines = (printable(line, len(line)) for line in text.split("\n"))
    try:
        print("\n".join(lines), end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _LOST[:] = [error.strerror or str(error)]
        _discard(sys.stdout)


def say_what_begins(text: str) -> None:
    """Print that work begins. A closed pipe is ignored, so that the work is done."""
    with contextlib.suppress(BrokenPipeError):
        say(text)


def _discard(stream: TextIO) -> None:
    """Send what is written to a stream from now on to /dev/null."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str, most: int = LONGEST) -> str:
    """A text from outside as it may be printed: control characters escaped, the middle cut out."""
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


_LOST: list[str] = []  # why output of this run could not be written


def _make_output_safe() -> None:
    """Escape letters that the encoding lacks; open stdout and stderr on /dev/null if closed."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:  # closed, as by `2>&-`: the next file that is opened would take its number
            os.open(os.devnull, os.O_RDWR)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if descriptor == 0 else "w"))
        elif descriptor and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Parser(argparse.ArgumentParser):
    """Prints one line about an invalid argument; its help shows the defaults."""

    class _Help(argparse.HelpFormatter):
        def _get_help_string(self, action: argparse.Action) -> str:
            text = (action.help or "").replace("%", "%%")
            if not action.option_strings or action.nargs == 0 or action.default is None:
                return text
            values = action.default if isinstance(action.default, list) else [action.default]
            return f"{text} (default: {' '.join(map(str, values))})"

    def __init__(self, **named) -> None:
        super().__init__(formatter_class=self._Help, **named)

    def error(self, message: str) -> NoReturn:
        """Print the line and end the program with status 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def counted(number: int, noun: str) -> str:
    """A number of things in words: 1 partition, 1,000 partitions."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def nonempty(text: str) -> str:
    """The argparse type of a folder or a URI."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the place is empty; name a folder or a URI")
    return text


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The argparse type of a whole number from `least` to `most`, if there is a most."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        if most is not None and number > most:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {most}")
        return number

    return parse


def number_within(low: float, high: float, low_allowed: bool = False) -> Callable[[str], float]:
    """The argparse type of a finite number in (low, high], or in [low, high] where low_allowed."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (low < number <= high or (low_allowed and number == low)) or math.isinf(number):
            bound = f"at least {low:g}" if low_allowed else f"above {low:g}"
            ceiling = "" if math.isinf(high) else f" and at most {high:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {bound}{ceiling}")
        return number

    return parse
