"""The scores of a test set: counts, precision, recall and F1 of each class, and the accuracy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nn_math import precision_recall_f1
from results.model_files import words_for
from runtime.command_line import counted

MOST_NAMED = 5  # classes in a message
# A class with fewer training images than this share of the largest class counts as rare.
RARE = 0.5


def metrics(counts: np.ndarray, confusion: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The content of metrics.json.

    counts (k, 4): TP, FP, FN, TN of each class; confusion (k, k): row truth, column prediction.
    """
    classes = {}
    for name, (tp, fp, fn, tn) in zip(names, counts.tolist(), strict=True):
        precision, recall, f1 = precision_recall_f1(tp, fp, fn)
        classes[name] = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        classes[name] |= {"precision": precision, "recall": recall, "f1": f1}
    return {"accuracy": float(confusion.trace() / confusion.sum()), "classes": classes}


def metrics_table(scores: dict[str, Any], columns: int = 80) -> str:
    """The metrics as a table for the terminal; a narrow terminal gets no counts."""
    heading, _ = words_for(scores["classes"])
    width = max(map(len, [heading, *scores["classes"]]))
    wide = columns >= 53 + width
    titles = "    TP     FP     FN     TN" if wide else ""
    lines = [f"{heading:>{width}}{titles}  precision  recall     F1"]
    for name, s in scores["classes"].items():
        counts = ""
        if wide:
            counts = f" {s['tp']:>5} {s['fp']:>6} {s['fn']:>6} {s['tn']:>6}"
        rates = f"{s['precision']:>9.3f} {s['recall']:>7.3f} {s['f1']:>6.3f}"
        lines.append(f"{name:>{width}}{counts}  {rates}")
    return "\n".join([*lines, f"accuracy (largest output): {scores['accuracy']:.4f}"])


def never_answered(
    confusion: np.ndarray, names: Sequence[str], counts: Sequence[int] = ()
) -> str | None:
    """A note on the classes that have test images and are never the answer; None without any.

    confusion (k, k): row truth, column prediction. counts: the training images of each class, if
    they are known.
    """
    answers, images = confusion.sum(axis=0), confusion.sum(axis=1)
    missed = np.flatnonzero((answers == 0) & (images > 0)).tolist()
    if not missed:
        return None
    named = [names[place] for place in missed[:MOST_NAMED]]
    if len(missed) > MOST_NAMED:
        named.append(counted(len(missed) - MOST_NAMED, "other"))
    note = f"note: no test image was called {_listed(named, 'or')}"
    if np.count_nonzero(answers) == 1:
        note += f": the network answers {names[answers.argmax()]} for all of them"
    if not counts:
        return note
    largest = int(np.argmax(counts))
    told = [*(place for place in missed[:MOST_NAMED] if place != largest), largest]
    images_of = [f"{counts[place]:,} of {names[place]}" for place in told]
    note += f"; the training set has {_listed(images_of, 'and')}"
    if any(counts[place] < RARE * counts[largest] for place in missed):
        note += "; add images of the rare classes"
    return note


def _listed(words: Sequence[str], last: str) -> str:
    """Words as a text: "3, 5 or 8"."""
    *before, end = words
    return f"{', '.join(before)} {last} {end}" if before else end
