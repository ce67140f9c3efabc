"""The benchmarks' tables as Markdown, from the results that they saved.

    python benchmarks/tables.py         writes them into README.md and docs/

Each NAME.json has rows under "rows", and perhaps more tables under names of their own. The keys of
a row are the headings. A page includes a table after a line with the comment `table: NAME`.
"""

import json
import re
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
IN_PAGE = re.compile(r"(<!-- table: (\w+) -->\n\n)(?:\|.*\n)*")


def markdown(rows: list[dict]) -> str:
    """Rows as a table. Columns of lists, such as what each round measured, are left out."""
    headings = dict.fromkeys(key for row in rows for key in row if not isinstance(row[key], list))
    lines = [list(headings), ["---"] * len(headings)]
    lines += [[shown(key, row.get(key)) for key in headings] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(heading: str, value: str | float | None) -> str:
    """A cell: numbers with three digits, accuracies with four, "-" for none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if "accuracy" in heading:
        return f"{value:.4f}"
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def of_file(name: str, folder: Path = RESULTS) -> dict[str, str]:
    """The tables of one benchmark's results, by name; that of the rows has the file's name."""
    results = json.loads((folder / f"{name}.json").read_text())
    tables = {key: rows for key, rows in results.items() if rows and isinstance(rows, list)}
    return {name if key == "rows" else key: markdown(rows) for key, rows in tables.items()}


def filled(page: str, folder: Path = RESULTS) -> str:
    """The text of a page with its tables as they were last measured."""
    tables: dict[str, str] = {}
    for file in folder.glob("*.json"):
        tables |= of_file(file.stem, folder)
    return IN_PAGE.sub(lambda found: found[1] + tables[found[2]], page)


def main() -> None:
    root = Path(__file__).parent.parent
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
