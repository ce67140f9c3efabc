"""Score a trained network on the test set.

    python predict.py

Reads model/ (parameters.npz, settings.json), writes model/metrics.json.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from pyspark import RDD

import data_loader
import model_files
from command_line import DATA_HELP, UserError, exit_status
from nn_math import Parameters, correct, count_outcomes, forward, precision_recall_f1
from spark_session import spark_context


def score(test_rdd: RDD, parameters: Parameters) -> tuple[np.ndarray, int, int]:
    """TP, FP, FN, TN of each class (k, 4), the right answers by argmax, and the number of images.

    One map and one reduce over pairs (x, y*). A class is predicted where its output rounds to 1.
    """
    shared = test_rdd.context.broadcast(parameters)

    def outcomes(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, int, int]:
        x, y_true = pair
        Y = forward(x, shared.value)[-1]
        return count_outcomes(Y, y_true), correct(Y, y_true), len(x)

    try:
        return test_rdd.map(outcomes).reduce(lambda a, b: (a[0] + b[0], a[1] + b[1], a[2] + b[2]))
    finally:
        shared.destroy()


def metrics(counts: np.ndarray, right: int, images: int, digits: Sequence[int]) -> dict:
    """What metrics.json says: accuracy by argmax, and for each digit its counts and scores."""
    classes = {}
    for digit, (tp, fp, fn, tn) in zip(digits, counts.tolist(), strict=True):
        precision, recall, f1 = precision_recall_f1(tp, fp, fn)
        classes[str(digit)] = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        classes[str(digit)] |= {"precision": precision, "recall": recall, "f1": f1}
    return {"accuracy": right / images, "classes": classes}


def table(scores: dict) -> str:
    """The metrics as a table for a person."""
    lines = ["digit    TP     FP     FN     TN  precision  recall     F1"]
    for digit, s in scores["classes"].items():
        lines.append(
            f"{digit:>5} {s['tp']:>5} {s['fp']:>6} {s['fn']:>6} {s['tn']:>6}  "
            f"{s['precision']:>9.3f} {s['recall']:>7.3f} {s['f1']:>6.3f}"
        )
    return "\n".join([*lines, f"accuracy (largest output): {scores['accuracy']:.4f}"])


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="predict.py", description="Score the trained network on the test set."
    )
    parser.add_argument(
        "--data", help=DATA_HELP.replace("default:", "default: what the model was trained on, not")
    )
    parser.add_argument("--model-dir", default="model", help="where train.py left the model")
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Score as the arguments say; returns 0."""
    options = arguments().parse_args(argv)
    with spark_context("predict") as spark:
        trained = model_files.load_settings(options.model_dir)
        parameters = model_files.load_parameters(options.model_dir)
        digits = trained["settings"]["digits"]
        if parameters.B2.shape[1] != len(digits):
            raise UserError(
                f"{options.model_dir}: the network has {parameters.B2.shape[1]} outputs but its "
                f"settings name {len(digits)} digits; train the model again"
            )
        place = data_loader.find_data(options.data or trained["data"]["place"])
        split = data_loader.load(spark, place, "test", digits)
        test_rdd = data_loader.image_label_pairs(split, str(parameters.W1.dtype))
        scores = metrics(*score(test_rdd, parameters), digits)
        scores = {"data": split.name, "images": split.count, **scores}
        model_files.save_json(options.model_dir, model_files.METRICS, scores)
    print(f"{split.name}: {split.count:,} test images")
    print(table(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
