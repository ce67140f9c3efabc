"""Use a trained network: score the test set, label your own images, or export it.

    python predict.py                       scores the test set (needs Spark)
    python predict.py my_digit.png 7.jpg    labels image files (needs neither Spark nor Java)
    python predict.py --export model.onnx   writes the network as ONNX, for other programs

Reads model/. Scoring writes model/metrics.json and, to plots/, confusion_matrix.png,
predictions.png, mistakes.png and network.html, a page to draw on and to look inside the network;
`--show` writes plots/inputs.png.
"""

import runtime.packages  # noqa: F401, I001  names a package that is missing
import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from network.sequential import outputs_of
from nn_math import count_outcomes
from results import doubt, labels, model_files
from results.loading import load_model, place_of_data
from results.model_files import Trained
from results.scores import metrics, metrics_table, never_answered
from runtime import storage
from runtime.command_line import (
    DATA_HELP,
    Parser,
    UserError,
    exit_status,
    nonempty,
    printable,
    say,
    say_what_begins,
)

if TYPE_CHECKING:  # image files are labelled without Spark
    from pyspark import RDD, SparkContext

    from data_loader import Split


def predict(trained: Trained, X: np.ndarray) -> np.ndarray:
    """The outputs Y (n, k) for n images X (n, 784), pixels in [0, 1]."""
    return outputs_of(trained.network, trained.parameters, np.atleast_2d(X))


def score(test_rdd: "RDD", trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """TP, FP, FN, TN of each class (k, 4), and the confusion matrix (k, k), by one map, one reduce.

    test_rdd holds pairs (x, y*). In the counts a class is predicted if its output rounds to 1, as
    in the article; in the matrix (row truth, column prediction) the largest output decides.
    """
    network, parameters = trained.network, trained.parameters

    def outcomes(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        x, y_true = pair
        Y = outputs_of(network, parameters, x)
        confusion = np.zeros((Y.shape[1], Y.shape[1]), int)
        confusion[y_true.argmax(), Y.argmax()] = 1
        return count_outcomes(Y, y_true), confusion

    return test_rdd.map(outcomes).reduce(lambda a, b: (a[0] + b[0], a[1] + b[1]))


def evaluate(trained: Trained, split: "Split") -> dict[str, Any]:
    """The scores of a network on a test set, in the form of metrics.json.

    Raises UserError if the test set has other digits than the network.
    """
    import data_loader

    if list(split.digits) != trained.digits:
        theirs, ours = (" ".join(map(str, digits)) for digits in (split.digits, trained.digits))
        raise UserError(
            f"the images show the digits {theirs}, but the network was trained on {ours}: "
            f"load the test set with the digits {ours}"
        )
    test_rdd = data_loader.image_label_pairs(split, str(trained.parameters[0].dtype))
    counts, confusion = score(test_rdd, trained)
    return metrics(counts, confusion, trained.names())


def score_test_set(
    spark: "SparkContext",
    model_dir: str,
    plots_dir: str,
    data: str | None = None,
    with_page: bool = True,
) -> None:
    """Score the test set; write metrics.json, the figures and the page; print the table.

    data: the place of the test set; None: where the training set was. Raises UserError if the model
    or the data cannot be read, or if a place cannot be written.
    """
    import data_loader
    from pictures import report

    trained, run = load_model(model_dir)
    storage.check_writable(model_dir, plots_dir)
    argument = "--data"
    if data is None:
        data, argument = place_of_data(run, model_dir), "--data (by default, that of the training)"
    settings = run["settings"]
    transpose = settings.get("transpose") or None
    place = data_loader.find_data(data, argument)
    split = data_loader.load(spark, place, "test", trained.digits, transpose=transpose)
    say_what_begins(f"scoring {split.size:,} test images")
    test_rdd = data_loader.image_label_pairs(split, str(trained.parameters[0].dtype))
    counts, confusion = score(test_rdd, trained)
    scores = metrics(counts, confusion, trained.names())
    about = {"data": split.name, "images": split.size, **scores}
    saved = model_files.save_metrics(model_dir, about, split.place)
    say(f"{split.name}: {split.size:,} test images")
    say(metrics_table(scores, shutil.get_terminal_size().columns))
    note = never_answered(confusion, trained.names(), run["data"].get("counts") or ())
    if note is not None:
        say(note)
    trained = trained._replace(history=model_files.load_history(model_dir))
    say("drawing figures")
    about_page = settings if with_page else None
    limits = doubt.load(model_dir, trained.parameters)
    why_no_page = report.draw(
        plots_dir, test_rdd, trained, limits, confusion, split.name, about_page
    )
    say(f"saved {saved} and {plots_dir}")
    if why_no_page is not None:
        say(f"no page of the network: {why_no_page}")
    elif with_page:
        say(f"open {storage.join(plots_dir, report.PAGE)} in a browser to look inside the network")


def label_images(options: argparse.Namespace) -> int:
    """Print the answer for each image file; returns 0, or 1 if a file could not be read."""
    trained, _ = load_model(options.model_dir)
    limits = doubt.load(options.model_dir, trained.parameters)
    answers = labels.print_answers(trained, limits, options.images, options.json)
    if options.show and answers:
        from pictures import figures

        seen = [(answer.file, answer.pixels, labels.caption(answer)) for answer in answers]
        figures.draw_inputs(options.plots_dir, seen)
        print(f"saved {printable(options.plots_dir)}/inputs.png", file=sys.stderr)
    return int(len(answers) < len(options.images))


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="predict.py",
        description="Score the trained network on the test set, label image files, or export it.",
    )
    option = parser.add_argument
    images = "image files to label, one digit in each; without them, score the test set"
    option("images", nargs="*", metavar="IMAGE", help=images)
    trained = " (default: the data of the training)"
    option("--data", type=nonempty, metavar="PLACE", help=DATA_HELP + trained)
    model = "folder or URI with the trained model"
    option("--model-dir", type=nonempty, default="model", metavar="PLACE", help=model)
    plots = "folder or URI for the figures"
    option("--plots-dir", type=nonempty, default="plots", metavar="PLACE", help=plots)
    option("--no-page", action="store_true", help="do not write the page network.html")
    option("--json", action="store_true", help="print one JSON object per line, for each IMAGE")
    show = "draw the network's input for each IMAGE into inputs.png in --plots-dir"
    option("--show", action="store_true", help=show)
    export = "write the network to this ONNX file, and do nothing else (docs/export.md)"
    option("--export", type=onnx_file, metavar="FILE", help=export)
    return parser


def onnx_file(text: str) -> str:
    """The argparse type of the ONNX file. It ends in .onnx, so that no image is written over."""
    if not text.endswith(".onnx"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .onnx")
    return text


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Label the given image files; without any, export the network or score the test set."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.export is not None:
        if options.images or options.data or options.json or options.show or options.no_page:
            parser.error("--export takes no IMAGE, --data, --json, --show or --no-page")
        from results import export  # most people do not need onnx

        export.save(options.model_dir, options.export)
        return 0
    if options.images:
        return label_images(options)
    if options.json or options.show:
        parser.error("--json and --show need the names of image files")
    from runtime.spark import spark_context

    with spark_context("predict") as spark:
        score_test_set(
            spark, options.model_dir, options.plots_dir, options.data, not options.no_page
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
