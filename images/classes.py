"""What the labels of a data set stand for, and which labels words mean."""

from collections.abc import Iterable, Mapping, Sequence

from runtime import storage
from runtime.command_line import UserError

CLASSES = "classes.txt"  # one name per line, for the labels 0, 1, 2, ...
MAPPING = "mapping.txt"  # end of the name of EMNIST's mapping: lines of a label and a code
LONGEST_NAME = 24
MOST_BYTES = 2**16


def read_names(folder: str, names: Sequence[str], wanted: str = "") -> dict[int, str]:
    """The names of the labels, from classes.txt or EMNIST's mapping in a folder; {} if none.

    Raises UserError unless each label has a different name that fits into tables.
    """
    if CLASSES in names:
        place = storage.join(folder, CLASSES)
        lines = _lines(place)
        found = dict(enumerate(lines))
    else:
        mappings = [name for name in names if name.lower().endswith(MAPPING)]
        mappings = [name for name in mappings if name.lower().startswith(wanted)]
        if len(mappings) != 1:
            return {}
        place = storage.join(folder, mappings[0])
        lines = _lines(place)
        try:
            rows = [[int(number) for number in line.split()] for line in lines]
            found = {label: chr(code) for label, code, *_ in rows}
        except (ValueError, OverflowError):
            raise UserError(
                f"{place}: each line should be a label and a character's code"
            ) from None
    check_names(place, found.values(), len(lines))
    return found


def is_class_name(name: str) -> bool:
    """Whether a name of a class fits tables and figures."""
    return name.isprintable() and bool(name.strip()) and len(name) <= LONGEST_NAME


def check_names(place: str, names: Iterable[str], lines: int) -> None:
    """Raise UserError unless so many names are there, all different, short and printable."""
    fitting = set(filter(is_class_name, names))
    if not 2 <= lines <= 256 or len(fitting) != lines:
        raise UserError(
            f"{place}: expected 2 to 256 different names of at most {LONGEST_NAME} printable "
            f"letters; found {len(fitting)} such names among {lines}"
        )


def names_for(digits: Sequence[int], names: Mapping[int, str], place: str) -> tuple[str, ...]:
    """The names of these labels; () if the data set has none. Raises UserError if one has none."""
    for digit in digits:
        if names and digit not in names:
            raise UserError(f"{place}: {CLASSES} or the mapping has no name for label {digit}")
    return tuple(names[digit] for digit in digits) if names else ()


def choose_labels(
    words: Sequence[str], present: Sequence[int], names: Mapping[int, str], place: str
) -> list[int]:
    """The labels that words mean, sorted: labels or names, apart or joined by commas, or `all`.

    present: the labels that occur. A name wins over a label. Raises UserError for a word that is
    none of them, and if there are fewer than two.
    """
    if [word.lower() for word in words] == ["all"]:
        return sorted(present)
    by_name = {name: label for label, name in names.items() if label in present}
    by_word = {str(label): label for label in present}
    by_word |= {name.lower(): label for name, label in by_name.items()} | by_name
    chosen = set()
    for word in words:
        for text in [word] if word in by_word else word.split(","):
            label = by_word.get(text, by_word.get(text.lower()))
            if label is None:
                raise UserError(
                    f"{text!r} is no class of {place}, which has {_some(present, names)}"
                )
            chosen.add(label)
    if len(chosen) < 2:
        raise UserError("name at least two different classes to tell apart")
    return sorted(chosen)


def _some(present: Sequence[int], names: Mapping[int, str]) -> str:
    """The classes for a message: the first ones, if there are many."""
    texts = [names.get(label, str(label)) for label in present]
    if len(texts) <= 12:
        return ", ".join(texts)
    return f"{', '.join(texts[:10])}, ... {texts[-1]}"


def _lines(place: str) -> list[str]:
    text = storage.read(place, MOST_BYTES).decode("utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines()]
