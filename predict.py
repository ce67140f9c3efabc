"""Use a trained network: score the test set, or label a person's own images.

    python predict.py                       scores the test set, draws what it did (needs Spark)
    python predict.py my_digit.png 7.jpg    labels image files (needs neither Spark nor Java)

Reads model/ (parameters.npz, settings.json). Scoring writes model/metrics.json and, in plots/,
confusion_matrix.png, predictions.png, mistakes.png and network.html, a page to draw on and to look
inside the network; `--show` writes plots/inputs.png.
"""

if __name__ == "__main__":  # until main begins: the imports below take a second
    from runtime import ctrl_c

    ctrl_c.ends_the_program()

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from images import own
from network.layers import Arrays
from network.sequential import Network, forward, output_error, outputs_of, read, text_of
from nn_math import count_outcomes, precision_recall_f1
from results import checkpoints, model_files
from results.model_files import Trained
from runtime import storage
from runtime.command_line import DATA_HELP, Parser, UserError, exit_status

if TYPE_CHECKING:  # own images are labelled without Spark
    from pyspark import RDD

    from data_loader import Split

IMAGES_ON_A_PAGE = 15
# An answer is unsure if no output rounds to 1, or a second one is more than half as large as it. Of
# MNIST's training images a network of ten digits (98.5% right) is unsure of 2.4%, of which it has
# 58% right, and has 99.5% of the others right.
LEAST_OUTPUT, CLOSE = 0.5, 0.5


class Answer(NamedTuple):
    """What the network said to an image: x (784,), outputs Y (k,), error E, and the true class."""

    x: np.ndarray
    Y: np.ndarray
    E: float
    truth: int


def score(test_rdd: "RDD", trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """TP, FP, FN, TN of each class (k, 4), and how often each class was taken for which (k, k).

    One map and one reduce over pairs (x, y*). In the first, a class is predicted where its output
    rounds to 1, as the article counts; in the second, row truth, column the largest output.
    """
    from runtime.spark import broadcast

    network, shared = trained.network, broadcast(test_rdd.context, trained.parameters)

    def outcomes(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        x, y_true = pair
        Y = outputs_of(network, shared.value, x)
        confusion = np.zeros((Y.shape[1], Y.shape[1]), int)
        confusion[y_true.argmax(), Y.argmax()] = 1
        return count_outcomes(Y, y_true), confusion

    try:
        return test_rdd.map(outcomes).reduce(lambda a, b: (a[0] + b[0], a[1] + b[1]))
    finally:
        shared.destroy()


def answer_to(network: Network, parameters: Arrays, pair: tuple[np.ndarray, np.ndarray]) -> Answer:
    """What a network says to a pair (x, y*)."""
    x, y_true = pair
    kept, Y = forward(network, parameters, x)
    E, _, _ = output_error(network, kept[-1], Y, y_true)
    return Answer(x[0], Y[0], E, int(y_true.argmax()))


def first_answers(split: "Split", trained: Trained, count: int) -> list[Answer]:
    """The answers to the first images of a test set."""
    import data_loader

    pairs = data_loader.first_pairs(split, count, str(trained.parameters[0].dtype))
    return [answer_to(trained.network, trained.parameters, pair) for pair in pairs]


def largest_errors(
    test_rdd: "RDD", trained: Trained, count: int, only_mistakes: bool = False
) -> list[Answer]:
    """The answers, or the wrong ones, of the largest error E, the largest first."""
    from runtime.spark import broadcast

    network, shared = trained.network, broadcast(test_rdd.context, trained.parameters)
    try:
        answers = test_rdd.map(lambda pair: answer_to(network, shared.value, pair))
        if only_mistakes:
            answers = answers.filter(lambda answer: answer.Y.argmax() != answer.truth)
        return answers.takeOrdered(count, key=lambda answer: -answer.E)
    finally:
        shared.destroy()


def save_page(
    test_rdd: "RDD", first: list[Answer], trained: Trained, options: argparse.Namespace, data: str
) -> str:
    """Write network.html, the page to look inside the network; returns what came of it."""
    from pictures import page

    reason = page.why_not(trained)
    if reason is not None:
        return f"no page to look inside the network: {reason}"
    settings = model_files.load_settings(options.model_dir)["settings"]
    trained = trained._replace(history=model_files.load_history(options.model_dir))
    largest = largest_errors(test_rdd, trained, page.WORST)
    unsure = {"least_output": LEAST_OUTPUT, "close": CLOSE}
    page.save(options.plots_dir, trained, first, largest, data, page.rate_of(settings), unsure)
    return f"look inside the network: {storage.join(options.plots_dir, page.PAGE)}, in any browser"


def predict(trained: Trained, X: np.ndarray) -> np.ndarray:
    """The outputs Y (n, k) for n images X (n, 784), pixels in [0, 1]."""
    return outputs_of(trained.network, trained.parameters, np.atleast_2d(X))


def evaluate(trained: Trained, split: "Split") -> dict:
    """What metrics.json says of a network on a test set.

    Raises UserError if that has other digits than the network.
    """
    import data_loader

    if list(split.digits) != trained.digits:
        theirs, own = (" ".join(map(str, digits)) for digits in (split.digits, trained.digits))
        raise UserError(f"these images are of the digits {theirs}, the network knows {own}")
    test_rdd = data_loader.image_label_pairs(split, str(trained.parameters[0].dtype))
    return metrics(*score(test_rdd, trained), trained.names())


def metrics(counts: np.ndarray, confusion: np.ndarray, names: Sequence[str]) -> dict:
    """What metrics.json says: accuracy by argmax, and for each class its counts and scores."""
    classes = {}
    for name, (tp, fp, fn, tn) in zip(names, counts.tolist(), strict=True):
        precision, recall, f1 = precision_recall_f1(tp, fp, fn)
        classes[name] = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        classes[name] |= {"precision": precision, "recall": recall, "f1": f1}
    return {"accuracy": float(confusion.trace() / confusion.sum()), "classes": classes}


def metrics_table(scores: dict, columns: int = 80) -> str:
    """The metrics as a table for a person; without the counts where columns are few."""
    heading, _ = model_files.words_for(scores["classes"])
    width = max(map(len, [heading, *scores["classes"]]))
    counts = "" if columns < 53 + width else "    TP     FP     FN     TN"
    lines = [f"{heading:>{width}}{counts}  precision  recall     F1"]
    for name, s in scores["classes"].items():
        if counts:
            counts = f" {s['tp']:>5} {s['fp']:>6} {s['fn']:>6} {s['tn']:>6}"
        rates = f"{s['precision']:>9.3f} {s['recall']:>7.3f} {s['f1']:>6.3f}"
        lines.append(f"{name:>{width}}{counts}  {rates}")
    return "\n".join([*lines, f"accuracy (largest output): {scores['accuracy']:.4f}"])


def score_test_set(options: argparse.Namespace) -> int:
    """Score the test set, write metrics.json and the pictures; returns 0."""
    import data_loader
    from pictures import figures, page
    from runtime.spark import spark_context

    with spark_context("predict") as spark:
        trained, place = load_model(options.model_dir)
        digits = trained.digits
        storage.check_writable(options.model_dir, options.plots_dir)
        place = data_loader.find_data(options.data or place)
        split = data_loader.load(spark, place, "test", digits)
        test_rdd = data_loader.image_label_pairs(split, str(trained.parameters[0].dtype))
        counts, confusion = score(test_rdd, trained)
        names = trained.names()
        scores = metrics(counts, confusion, names)
        report = {"data": split.name, "images": split.size, **scores}
        saved = model_files.save_metrics(options.model_dir, report, split.place)
        first = first_answers(split, trained, page.FIRST)
        mistakes = largest_errors(test_rdd, trained, IMAGES_ON_A_PAGE, only_mistakes=True)
        title = figures.title_of(split.name, names, text_of(trained.network))
        figures.draw_scores(
            options.plots_dir, confusion, first[:IMAGES_ON_A_PAGE], mistakes, names, title
        )
        about_page = ""
        if not options.no_page:
            about_page = save_page(test_rdd, first, trained, options, split.name)
    print(f"{split.name}: {split.size:,} test images")
    print(metrics_table(scores, shutil.get_terminal_size().columns))
    print(f"saved {saved} and {options.plots_dir}")
    if about_page:
        print(about_page)
    return 0


class Label(NamedTuple):
    """The answer for an image file: digit and runner-up, the outputs Y, and why it is unsure.

    The pixels (1, 784) are what the network saw; the reason is "" where nothing speaks against it.
    `names` says what the digits stand for.
    """

    file: str
    pixels: np.ndarray
    digit: int
    runner_up: int
    outputs: dict[int, float]
    reason: str
    names: dict[int, str]


def label(trained: Trained, file: str) -> Label:
    """The network's answer for an image file. Raises UserError where no digit can be read."""
    pixels, doubt = own.read_digit(file)
    Y = predict(trained, np.divide(pixels, 255, dtype=trained.parameters[0].dtype))[0]
    first, second = np.argsort(-Y, kind="stable")[:2]
    if not doubt and Y[first] < LEAST_OUTPUT:
        doubt = f"no output reaches {LEAST_OUTPUT}"
    if not doubt and Y[second] > CLOSE * Y[first]:
        doubt = "the runner-up is close"
    outputs = dict(zip(trained.digits, Y.tolist(), strict=True))
    names = dict(zip(trained.digits, trained.names(), strict=True))
    return Label(file, pixels, trained.digits[first], trained.digits[second], outputs, doubt, names)


def as_json(answer: Label) -> str:
    """The answer as a JSON object in one line."""
    said = {
        "file": answer.file,
        "digit": answer.digit,
        "class": answer.names[answer.digit],
        "runner_up": answer.runner_up,
        "unsure": bool(answer.reason),
        "reason": answer.reason or None,
        "outputs": answer.outputs,
    }
    return json.dumps(said)


def as_table(answer: Label, width: int, wide: int) -> str:
    """The answer as a row of a table whose first two columns have these widths.

    A longer file name stands above its row, what makes the answer unsure below.
    """
    name = os.fsencode(answer.file).decode(errors="replace")
    above, name = ("", name) if len(name) <= width else (f"{name}\n", "")
    said, second = answer.names[answer.digit], answer.names[answer.runner_up]
    runner_up = f"{second} ({answer.outputs[answer.runner_up]:.3f})"
    row = f"{name:<{width}}  {said:>{wide}}  {answer.outputs[answer.digit]:>6.3f}  {runner_up}"
    below = f"\n  unsure: {answer.reason}" if answer.reason else ""
    return above + row + below


def label_images(options: argparse.Namespace) -> int:
    """Answer for each image file in turn; returns 0, or 1 if one of them could not be read."""
    trained, _ = load_model(options.model_dir)
    one, _ = model_files.words_for(trained.names())
    wide = max(map(len, [one, *trained.names()]))
    heading = f"  {one:>{wide}}  output  runner-up"
    room = shutil.get_terminal_size().columns - len(heading)
    width = max(4, min(room, max(map(len, options.images))))
    labels, status = [], 0
    for file in options.images:
        try:
            labels.append(label(trained, file))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
            continue
        if len(labels) == 1 and not options.json:
            print(f"{'file':<{width}}{heading}")
        print(as_json(labels[-1]) if options.json else as_table(labels[-1], width, wide))
    if options.show and labels:
        from pictures import figures

        seen = []
        for answer in labels:
            mark = "?" if answer.reason else ""
            caption = f"{answer.names[answer.digit]}{mark} ({answer.outputs[answer.digit]:.2f})"
            seen.append((answer.file, answer.pixels, caption))
        figures.draw_inputs(options.plots_dir, seen)
        print(f"saved {options.plots_dir}/inputs.png", file=sys.stderr)
    return status


def load_model(folder: str) -> tuple[Trained, str]:
    """The network that a run has trained, and where its training data was.

    Raises UserError unless its files are whole and belong together.
    """
    if not storage.exists(storage.join(folder, model_files.SETTINGS)):
        raise UserError(f"{folder}: there is no trained network; run train.py first")
    run = model_files.load_settings(folder)
    digits = run["settings"]["digits"]
    network = read(run["settings"]["network"], len(digits))
    parameters = model_files.load_parameters(folder, network)
    checkpoints.tell_of_another(folder, parameters)
    trained = Trained(network, parameters, digits, [], run["data"].get("classes", ()))
    return trained, run["data"]["place"]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="predict.py",
        description="Score the trained network on the test set, or label your own image files.",
    )
    option = parser.add_argument
    label = "image files to label, with one digit in each; without any, score the test set"
    option("images", nargs="*", metavar="IMAGE", help=label)
    trained = " (default: what the model was trained on)"
    option("--data", metavar="PLACE", help=DATA_HELP + trained)
    model = "folder or URI where train.py left the model"
    option("--model-dir", default="model", metavar="PLACE", help=model)
    option("--plots-dir", default="plots", metavar="PLACE", help="folder or URI for the figures")
    option("--no-page", action="store_true", help="write no network.html, which shows the network")
    option("--json", action="store_true", help="answer with one JSON object a line for each IMAGE")
    show = "draw what the network saw of each IMAGE into inputs.png in --plots-dir"
    option("--show", action="store_true", help=show)
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Label the images that are named, or else score the test set."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.images:
        return label_images(options)
    if options.json or options.show:
        parser.error("--json and --show go with the names of image files")
    return score_test_set(options)


if __name__ == "__main__":
    sys.exit(main())
