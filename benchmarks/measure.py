"""Alternating measurements in one run, their medians and ratios as a table."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def arguments(doc: str) -> argparse.ArgumentParser:
    """The command line that all benchmarks share; `doc` is the script's docstring."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", help="folder of MNIST; default: as train.py")
    return parser


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(calls: dict[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict:
    """Seconds of each call, alternately: A B C, A B C, ... The warm-up rounds do not count."""
    for _ in range(warm_up):
        for call in calls.values():
            call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def summary(times: list[float], images: int) -> dict:
    median = statistics.median(times)
    return {
        "median_s": median,
        "least_s": min(times),
        "most_s": max(times),
        "images": images,
        "images_per_s": images / median,
        "us_per_image": median / images * 1e6,
    }


def table(rows: list[dict], columns: dict[str, tuple[str, str]]) -> str:
    """Rows as a Markdown table; columns: key -> (heading, format)."""
    lines = [
        " | ".join(heading for heading, _ in columns.values()),
        " | ".join(["---"] * len(columns)),
    ]
    for row in rows:
        values = ((row[key], form) for key, (_, form) in columns.items())
        lines.append(" | ".join("-" if v is None else format(v, form) for v, form in values))
    return "\n".join(f"| {line} |" for line in lines)


def save(name: str, content: dict, text: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(text + "\n")
    print(text, flush=True)
