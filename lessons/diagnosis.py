"""What is wrong with a learner's function: found by true values, typical mistakes and names.

A check calls the function on cases whose true values it knows. Where a result differs, it is
compared with what typical mistakes give. An element that is missing, superfluous or in another's
place, and an argument that has changed, are found without a table.
"""

import copy
import inspect
import linecache
import math
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace as Values
from typing import Any

import numpy as np

from nn_math import sigmoid, sigmoid_prime

# What needs an element of the article's tuple later.
NEEDED_BY = {"x": "map 8", "H_hat": "map 7", "H": "map 6", "Y_hat": "map 5", "Y": "map 5"}
NEEDED_BY |= {"y": "map 5", "dB2": "the next map"}


def one_by_one(function: Callable, arguments: Sequence) -> Any:
    """f(a, b, c)."""
    return function(*arguments)


def in_a_tuple(function: Callable, arguments: Sequence) -> Any:
    """f((a, b, c)), as `.map` calls it."""
    return function(tuple(arguments))


def in_a_partition(function: Callable, arguments: Sequence) -> Any:
    """All that f(iterator) gives, as `.mapPartitions` calls it: the one element, or a list."""
    given = function(iter(arguments[0]))
    if not isinstance(given, Iterable):
        return given
    elements = list(given)
    if len(elements) != 1:
        return elements
    return tuple(elements[0]) if isinstance(elements[0], list) else elements[0]


@dataclass(frozen=True)
class Check:
    """What a function takes and gives (names), its cases, how it is called, its typical mistakes.

    A mistake is a line of code, "dB2 = Y - y", or "return a + b" for all of the result; its names
    are those of the cases' values.
    """

    takes: str
    gives: str
    cases: Callable[[dict], list[Values]]
    call: Callable[[Callable, Sequence], Any]
    mistakes: dict[str, str]

    def __call__(self, function: Callable) -> None:
        """Print `right`, or what is wrong."""
        print(self.answer(function))

    def answer(self, function: Callable) -> str:
        """`right`, or what is wrong."""
        if not inspect.isfunction(function):
            return "give the function itself: its name, without brackets after it"
        try:
            cases = self.cases(function.__globals__)
        except KeyError as missing:
            return f"there is no {missing.args[0]} in the notebook yet; run the cells above first"
        except (TypeError, ValueError):
            return "W1, B1, W2 or B2 has a wrong shape; run the cell again that makes them"
        takes, results = self.takes.split(), []
        for case in cases:
            given = copy.deepcopy(vars(case))
            try:
                with np.errstate(all="ignore"):
                    results.append(self.call(function, [given[name] for name in takes]))
            except Exception as error:
                return self.about_error(error, function, case)
            for name in takes:
                if not same(given[name], vars(case)[name]):
                    return f"it changes its argument {name}, as += and -= do; make a new array"
        return self.about_results(results, cases) or "right"

    def about_error(self, error: Exception, function: Callable, case: Values) -> str:
        """The learner's line, what it raises, and the shapes that belong there."""
        folder = Path(function.__code__.co_filename).parent  # of the notebook's other cells too
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == folder]
        told = f"{type(error).__name__}: {error}"
        if not own:
            takes = ", ".join(self.takes.split())
            if self.call is in_a_tuple:
                takes = f"one argument, the tuple ({takes})"
            return f"the function should take {takes}. {told}"
        line = linecache.getline(own[-1].filename, own[-1].lineno or 0).strip()
        lines = [f"line {own[-1].lineno}, `{line}`, raises {told}"]
        words = names_in(line, case).split()
        shapes = [
            f"{name} {value.shape}"
            for name, value in vars(case).items()
            if name in words and isinstance(value, np.ndarray)
        ]
        if shapes:
            lines.append(f"shapes that belong here: {', '.join(shapes)}")
        for mistake, sentence in self.mistakes.items():
            name, code = split(mistake)
            try:
                value_of(code, case)
            except Exception as known:
                if fault(known) == fault(error) and (
                    name == "return" or names_in(code, case) in names_in(line, case)
                ):
                    return "\n".join([self.named(name, sentence), *lines])
        return "\n".join(lines)

    def about_results(self, results: list, cases: list[Values]) -> str | None:
        """What is wrong with the results, one for each case; None if nothing is."""
        names, first = self.gives.split(), results[0]
        whole = f"({', '.join(names)})"
        if first is None or first is ...:
            return "it returns nothing yet; write the missing lines, and return the result"
        if inspect.isgenerator(first):
            return "it returns a generator, which can be read only once; put tuple(...) around it"
        found = self.recognised("return", results, cases)
        if found is not None:
            return found
        if len(names) == 1:
            results = [(result,) for result in results]
        elif not isinstance(first, tuple | list):
            return f"it returns {in_words(first)}; return the whole tuple, {whole}"
        columns = list(zip(*results, strict=False))
        returned = [self.name_of(column, cases) for column in columns]
        missing = [name for name in names if name not in returned]
        if len(columns) < len(names) and len(columns) + len(missing) == len(names):
            needed = [f"{name}, which {NEEDED_BY.get(name, 'the rest')} needs" for name in missing]
            return f"the tuple lacks {' and '.join(needed)}; return {whole}"
        if len(columns) > len(names) and not missing:
            more = [name or "an unknown element" for name in returned if name not in names]
            return f"remove {' and '.join(more or ['an element'])}; return only {whole}"
        if len(columns) != len(names):
            return f"it returns {len(columns)} elements; return {len(names)}, {whole}"
        if not missing and returned != names:
            return f"the order is wrong: ({', '.join(map(str, returned))}); return {whole}"
        for name, column, is_now in zip(names, columns, returned, strict=True):
            if is_now != name or in_words(column[0]) != in_words(vars(cases[0])[name]):
                return self.named(name, self.about_element(name, column, is_now, cases))
        return None

    def named(self, name: str, sentence: str) -> str:
        """The sentence behind the name of its element; without it where there is only one."""
        is_one_of_several = name != "return" and " " in self.gives
        return f"{name}: {sentence}" if is_one_of_several else sentence

    def about_element(
        self, name: str, column: Sequence, is_now: str | None, cases: list[Values]
    ) -> str:
        """What is wrong with one element of the results; is_now: which other value it is."""
        pairs = [(mine, vars(case)[name]) for mine, case in zip(column, cases, strict=True)]
        mine, true = next((pair for pair in pairs if not same(*pair)), pairs[0])
        if mine is ...:
            return "it is still `...`; write what belongs there"
        said = self.recognised(name, column, cases)
        if said is None and is_now not in (None, name):
            said = f"in its place you return {is_now}"
        if in_words(mine) != in_words(true):
            kinds = f"it should be {in_words(true)}, and is {in_words(mine)}"
            return kinds if said is None else f"{said} ({kinds})"
        mine, true = np.ravel(mine).astype(float), np.ravel(true).astype(float)
        worst = np.abs(mine - true).argmax()
        return said or f"wrong values, for example {mine[worst]:.4g}; expected: {true[worst]:.4g}"

    def recognised(self, name: str, column: Sequence, cases: list[Values]) -> str | None:
        """The sentence about the mistake that gives these values."""
        for mistake, sentence in self.mistakes.items():
            spoilt, code = split(mistake)
            if spoilt == name and all(map(same, column, outcomes(code, cases))):
                return sentence
        return None

    def name_of(self, column: Sequence, cases: list[Values]) -> str | None:
        """Which of the true values this is: one of the result's, or another array."""
        arrays = [name for name, value in vars(cases[0]).items() if isinstance(value, np.ndarray)]
        for name in [*self.gives.split(), *arrays]:
            if all(map(same, column, [vars(case)[name] for case in cases])):
                return name
        return None


def split(mistake: str) -> tuple[str, str]:
    """The name and the code of "name = code" or "return code"."""
    name, _, code = mistake.replace("return ", "return = ", 1).partition(" = ")
    return name, code


def names_in(code: str, case: Values) -> str:
    """The names in a line that say what it computes, in their order, each between blanks."""
    words = re.findall(r"\w+", code)
    return "".join(f" {word} " for word in words if word in {"math", "max", *vars(case)})


def value_of(code: str, case: Values) -> Any:
    """The value of an expression of ours. Raises what it raises."""
    known = {"np": np, "math": math, "sigmoid": sigmoid, "sigmoid_prime": sigmoid_prime}
    with np.errstate(all="ignore"):
        return eval(code, known, vars(case))


def outcomes(code: str, cases: list[Values]) -> list:
    """What a mistake gives in each case; what raises an exception gives nothing."""
    try:
        return [value_of(code, case) for case in cases]
    except Exception:
        return [math.nan] * len(cases)


def same(mine: Any, other: Any) -> bool:
    """Whether two values agree but for rounding, in their shapes too."""
    if isinstance(mine, tuple | list) and type(mine) is type(other):
        return len(mine) == len(other) and all(map(same, mine, other))
    if isinstance(mine, np.bool_) and not isinstance(other, bool | np.bool_):
        return False  # np.True_ + np.True_ is np.True_, not 2
    try:
        a, b = np.asarray(mine, float), np.asarray(other, float)
    except (TypeError, ValueError):
        return mine is other
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= 1e-4 * np.abs(b).max(initial=0)))


def fault(error: Exception) -> tuple:
    """What an exception says; the same of shapes that do not fit for `@` and for np.dot."""
    text = str(error)
    by_at = re.search(r"size (\d+) is different from (\d+)", text)
    by_dot = re.search(r"(\d+) \(dim \d\) != (\d+) \(dim \d\)", text)
    if by_at:
        return "product", by_at[2], by_at[1]
    if by_dot:
        return "product", by_dot[1], by_dot[2]
    return type(error), text


def in_words(value: Any) -> str:
    """What a value is."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array {value.shape}"
    if isinstance(value, np.ndarray | np.generic | float | int):
        return "a single number"
    if value is None:
        return "nothing (None)"
    return f"a {type(value).__name__}"
