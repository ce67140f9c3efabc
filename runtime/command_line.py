"""What the scripts share in talking with a person: arguments, one-line errors, exit status."""

import argparse
import functools
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

from runtime import ctrl_c


class UserError(Exception):
    """A mistake that a person can mend. Its text says what was wrong, where, and what to do."""


DATA_HELP = (
    "where the images are: a folder, or a URI that Hadoop knows, with IDX, CSV, Parquet or npz "
    "files, or folders of images (see docs/data.md); "
    "`mnist` for data/mnist or a download and nothing else; `offline` for digits drawn from fonts"
)

P = ParamSpec("P")
STATUS_OF_CLOSED_PIPE = 141  # as the shell says of a program that writing to one has ended


def exit_status(main: Callable[P, int]) -> Callable[P, int]:
    """Wrap main(argv) so that it returns its own status, or says in a line why it could not.

    1 where it went wrong, 130 after Ctrl-C, 141 where nobody reads any more what it prints, as in
    `train.py | head -3`. Unusable arguments leave through argparse, with one line and status 2.
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **named: P.kwargs) -> int:
        outside = signal.getsignal(signal.SIGINT)
        if outside is ctrl_c.end_at_once:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return _told_in_a_line(functools.partial(main, *args, **named))
        except BrokenPipeError:
            devnull = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):  # Python writes what is left when it ends
                os.dup2(devnull, stream.fileno())
            return STATUS_OF_CLOSED_PIPE
        finally:
            if outside is ctrl_c.end_at_once:
                signal.signal(signal.SIGINT, ctrl_c.end_at_once)

    return wrapped


def _told_in_a_line(main: Callable[[], int]) -> int:
    try:
        return main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"error: not enough memory for this: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(ctrl_c.SAID, file=sys.stderr)
        return ctrl_c.STATUS
    finally:
        print(end="", flush=True)  # so that a closed pipe is noticed here


def help_text(action: argparse.Action) -> str:
    """What `--help` and docs/arguments.md say of an argument, with its default if it has one."""
    text = action.help or ""
    if not action.option_strings or action.nargs == 0 or action.default is None:
        return text
    values = action.default if isinstance(action.default, list) else [action.default]
    return f"{text} (default: {' '.join(map(str, values))})"


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with an argument, and defaults in the help where there are."""

    class _Help(argparse.HelpFormatter):
        def _get_help_string(self, action: argparse.Action) -> str:
            return help_text(action).replace("%", "%%")

    def __init__(self, **named) -> None:
        super().__init__(formatter_class=self._Help, **named)

    def error(self, message: str) -> NoReturn:
        """Print the line and end the program with status 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def counted(number: int, noun: str) -> str:
    """A number of things in words: 1 partition, 1,000 partitions."""
    return f"{number:,} {noun}" + "s" * (number != 1)


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


class Digits(argparse.Action):
    """The argparse action of --digits: two or more different ones, as `3 8`, `3,8` or `all`."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Check the digits, and sort them; an unusable one ends the program with status 2."""
        known = {str(digit): digit for digit in range(10)}
        words = ",".join(values).replace(",", " ").lower().split()
        chosen = list(known) if words == ["all"] else words
        for text in chosen:
            if text not in known:
                raise argparse.ArgumentError(self, f"{text!r} is not a digit from 0 to 9")
        if len(set(chosen)) < 2:
            raise argparse.ArgumentError(self, "give at least two different digits to tell apart")
        setattr(namespace, self.dest, sorted({known[text] for text in chosen}))
