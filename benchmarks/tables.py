"""The benchmarks' tables as Markdown, from the results that they saved.

    python benchmarks/tables.py

Each NAME.json holds rows under "rows", and perhaps more tables under names of their own. The keys
of a row are the headings. The docs include these tables as they are, so that a test can compare.
"""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def markdown(rows: list[dict]) -> str:
    """Rows as a table. Lists, such as what each round measured, are left out."""
    headings = dict.fromkeys(key for row in rows for key in row)
    kept = [key for key in headings if not isinstance(rows[0].get(key), list)]
    lines = [kept, ["---"] * len(kept)]
    lines += [[shown(key, row.get(key)) for key in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def all_tables(folder: Path = RESULTS) -> dict[str, str]:
    """The tables of all results, by name."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.json")):
        found |= of_file(file.stem, folder)
    return found


if __name__ == "__main__":
    for name, table in all_tables().items():
        print(f"{name}\n\n{table}\n")
