"""The network's answer for an image file, and how predict.py prints it."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from images import own
from images.blocks import scaled
from network.sequential import outputs_of
from results import doubt
from results.doubt import Doubt
from results.model_files import Trained, words_for
from runtime.command_line import UserError, complain, printable, say

DIGITS = list(map(str, range(10)))


class Label(NamedTuple):
    """The answer for an image file: digit and runner-up, the outputs Y, and a reason for doubt.

    pixels (1, 784): the network's input. reason: "" if the answer is sure. names: the
    names of the classes.
    """

    file: str
    pixels: np.ndarray
    digit: int
    runner_up: int
    outputs: dict[int, float]
    reason: str
    names: dict[int, str]


def known(trained: Trained) -> str:
    """The classes of the network in one line; "" if they are all ten digits."""
    *others, last = trained.names()
    if [*others, last] == DIGITS:
        return ""
    _, classes = words_for(trained.names())
    return f"this network knows only the {classes} {', '.join(others)} and {last}"


def label(trained: Trained, limits: Doubt, file: str) -> Label:
    """The network's answer for an image file. Raises UserError if no digit is found in it."""
    pixels, reason = own.read_digit(file)
    X = scaled(pixels, trained.parameters[0].dtype)
    Y = outputs_of(trained.network, trained.parameters, X)[0]
    first, second = np.argsort(-Y, kind="stable")[:2]
    reason = reason or doubt.reason(limits, X, Y, trained.names())
    digits = trained.digits
    outputs = dict(zip(digits, Y.tolist(), strict=True))
    names = dict(zip(digits, trained.names(), strict=True))
    return Label(file, pixels, digits[first], digits[second], outputs, reason, names)


def print_answers(
    trained: Trained, limits: Doubt, files: Sequence[str], as_json_lines: bool
) -> list[Label]:
    """Print a line for each image file, and what is wrong with those that cannot be read.

    Returns the answers. Before the first one comes a line on the classes that the network knows.
    """
    heading, _ = words_for(trained.names())
    class_width = max(map(len, [heading, *trained.names()]))
    columns = f"  {heading:>{class_width}}  output  runner-up"
    room = shutil.get_terminal_size().columns - len(columns)
    width = max(4, min(room, max(map(len, files))))
    knows = known(trained)
    answers: list[Label] = []
    for file in files:
        try:
            answer = label(trained, limits, file)
        except UserError as error:
            complain(str(error))
            continue
        if knows and not answers:
            print(printable(knows), file=sys.stderr if as_json_lines else sys.stdout)
        if not answers and not as_json_lines:
            say(f"{'file':<{width}}{columns}")
        say(as_json(answer) if as_json_lines else as_row(answer, width, class_width))
        answers.append(answer)
    return answers


def as_json(answer: Label) -> str:
    """The answer as a JSON object in one line."""
    content = {
        "file": answer.file,
        "digit": answer.digit,
        "class": answer.names[answer.digit],
        "runner_up": answer.runner_up,
        "unsure": bool(answer.reason),
        "reason": answer.reason or None,
        "outputs": answer.outputs,
    }
    return json.dumps(content)


def as_row(answer: Label, width: int, class_width: int) -> str:
    """The answer as a row of a table whose first two columns have these widths.

    A longer file name stands above its row, the reason for doubt below.
    """
    above, name = "", os.fsencode(answer.file).decode(errors="replace")
    name = printable(name, len(name))
    if len(name) > width:
        above, name = f"{name}\n", ""
    first, second = answer.names[answer.digit], answer.names[answer.runner_up]
    runner_up = f"{second} ({answer.outputs[answer.runner_up]:.3f})"
    output = answer.outputs[answer.digit]
    row = f"{name:<{width}}  {first:>{class_width}}  {output:>6.3f}  {runner_up}"
    below = f"\n  unsure: {answer.reason}" if answer.reason else ""
    return above + row + below


def caption(answer: Label) -> str:
    """The title of the image in inputs.png: class and output, with ? if the answer is unsure."""
    mark = "?" if answer.reason else ""
    return f"{answer.names[answer.digit]}{mark} ({answer.outputs[answer.digit]:.2f})"
