"""Writes docs/arguments.md, the texts of `--help` as lists: make docs/arguments.md."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import data_loader
import predict
from runtime.command_line import DATA_HELP, help_text
from training import settings

PAGE = Path(__file__).with_suffix(".md")
OPENING = "# All arguments\n\n`make docs/arguments.md` writes this page from what `--help` says."


def page() -> str:
    """The whole page."""
    parsers = [script.arguments() for script in (settings, predict, data_loader)]
    return "\n".join([OPENING, *(line for parser in parsers for line in section(parser)), ""])


def section(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The lines on one parser, or on each of its commands: a list per group of arguments."""
    for action in parser._actions:  # argparse has no public list of actions and groups
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from section(command)
            return
    about = " ".join(filter(None, [parser.description, parser.epilog]))
    yield from ("", f"## {parser.prog}", "", about)
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            yield from ("", f"**{group.title}**", "")
        if actions and group.description:
            yield from (group.description, "")
        for action in actions:
            text = help_text(action)
            if parser.prog != "train.py":
                text = text.replace(DATA_HELP, "where the images are, as for train.py")
            yield f"- `{written(action)}`: {text}"


def written(action: argparse.Action) -> str:
    """An argument as the user types it: `--epochs EPOCHS`."""
    words = list(action.option_strings)
    if action.choices:
        words.append("{" + ",".join(action.choices) + "}")
    elif action.nargs != 0:
        words.append(str(action.metavar or action.dest.upper()))
    if action.nargs in ("+", "*"):
        words.append("...")
    return " ".join(words)


if __name__ == "__main__":
    PAGE.write_text(page())
