"""Train the article's network on Spark RDDs: eight maps and one reduce an epoch.

On this machine, with all its cores:    python train.py
On a cluster:                           spark-submit --master spark://HOST:7077 train.py

Reads MNIST (see data_loader), writes model/ (parameters.npz, history.csv, settings.json, and
checkpoint.npz, from which --resume goes on) and plots/ (cost.png, accuracy.png, hidden_units.png).
`predict.py` then scores the test set.
"""

if __name__ == "__main__":  # Ctrl-C during the imports below, which take a second
    from runtime.command_line import end_at_ctrl_c

    end_at_ctrl_c()

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable, Sequence

from pyspark import RDD
from tqdm import tqdm

import data_loader
from epochs.averaging import averaging_epoch
from epochs.partitions import partitions_epoch
from network.optimizers import OPTIMIZERS, bold_driver, with_weight_decay
from nn_math import (
    Parameters,
    Sums,
    add,
    affine,
    hidden_delta,
    initial_parameters,
    mean_gradients,
    output_error,
    random_stream,
    sigmoid,
    weight_gradient,
)
from results import checkpoints, figures, model_files
from results.checkpoints import Progress
from results.model_files import Epoch
from runtime.command_line import (
    DATA_HELP,
    Digits,
    Parser,
    UserError,
    exit_status,
    number_within,
    whole_number,
)
from runtime.spark import broadcast, spark_context


def maps_epoch(
    train_rdd: RDD, parameters: Parameters, settings: argparse.Namespace, epoch: int
) -> Sums:
    """One epoch as the article has it: draw a mini-batch, eight maps, one reduce.

    train_rdd holds pairs (x, y*): image (1, 784), label one-hot (1, k). Returns the tuples after
    map 8, summed over the mini-batch. Raises ValueError if the mini-batch is empty.
    """
    seed = int(random_stream(settings.seed, epoch).integers(2**31))
    mini_batch = train_rdd.sample(False, settings.fraction, seed)
    p = broadcast(train_rdd.context, parameters)
    # fmt: off
    gradients = (
        mini_batch
        .map(each(lambda x, y:                        # 1: H^ = x W1 + B1
            (x, affine(x, p.value.W1, p.value.B1), y)))
        .map(each(lambda x, H_hat, y:                 # 2: H = sigmoid(H^)
            (x, H_hat, sigmoid(H_hat), y)))
        .map(each(lambda x, H_hat, H, y:              # 3: Y^ = H W2 + B2
            (x, H_hat, H, affine(H, p.value.W2, p.value.B2), y)))
        .map(each(lambda x, H_hat, H, Y_hat, y:       # 4: Y = sigmoid(Y^)
            (x, H_hat, H, Y_hat, sigmoid(Y_hat), y)))
        .map(each(lambda x, H_hat, H, Y_hat, Y, y:    # 5: E, dB2 = (Y - y*) * sigmoid'(Y^), Acc
            (x, H_hat, H, *output_error(Y_hat, Y, y))))
        .map(each(lambda x, H_hat, H, E, dB2, Acc:    # 6: dW2 = H^T dB2, H transposed
            (x, H_hat, E, dB2, weight_gradient(H, dB2), Acc)))
        .map(each(lambda x, H_hat, E, dB2, dW2, Acc:  # 7: dB1 = (dB2 W2^T) * sigmoid'(H^)
            (x, E, dB2, dW2, hidden_delta(dB2, p.value.W2, H_hat), Acc)))
        .map(each(lambda x, E, dB2, dW2, dB1, Acc:    # 8: dW1 = x^T dB1, x transposed
            (E, dB2, dW2, dB1, weight_gradient(x, dB1), Acc, 1)))
    )  # (E, dB2, dW2, dB1, dW1, Acc, 1) of each image
    # fmt: on
    try:
        return Sums(*gradients.reduce(add))
    finally:
        p.destroy()


def each(function: Callable) -> Callable:
    """The function of a tuple that calls `function` with the tuple's elements."""
    return lambda elements: function(*elements)


# What an epoch can be: a function of (train_rdd, parameters, settings, epoch) -> Sums.
STRATEGIES = {
    "maps": maps_epoch,
    "partitions": partitions_epoch,
    "averaging": averaging_epoch,
}
# A task starts in about 10 ms; an image takes some 150 us in the chain, 4 us in a block.
IMAGES_IN_PARTITION = {"maps": 3000, "partitions": 12000, "averaging": 12000}


def run_epochs(
    train_rdd: RDD, start: Progress, settings: argparse.Namespace, saver: checkpoints.Saver
) -> Progress:
    """The epoch loop, from where `start` is. Returns how far it came: Ctrl-C, or a reader of its
    lines who goes away, ends it early.

    Raises UserError if a mini-batch is empty.
    """
    progress = start
    with progress_bar(len(progress.history), settings.epochs) as bar:
        try:
            for epoch in range(len(progress.history) + 1, settings.epochs + 1):
                progress = one_epoch(train_rdd, progress, settings, epoch)
                saver.epoch_ended(progress)
                show_epoch(bar, progress.history[-1])
        except (KeyboardInterrupt, BrokenPipeError):
            pass  # what the last whole epoch came to is the result
    return progress


def one_epoch(
    train_rdd: RDD, progress: Progress, settings: argparse.Namespace, epoch: int
) -> Progress:
    """An epoch and the driver's step after it. Raises UserError if the mini-batch is empty."""
    start = time.perf_counter()
    parameters, state, history = progress
    now = settings_of_epoch(settings, history)
    try:
        sums = STRATEGIES[now.strategy](train_rdd, parameters, now, epoch)
    except ValueError:  # what a reduce says of an RDD without elements
        raise UserError(
            f"the mini-batch of epoch {epoch} is empty: --fraction {now.fraction:g} of the "
            "training images is less than one; give a larger fraction or more images"
        ) from None
    gradients = with_weight_decay(mean_gradients(sums), parameters, now.weight_decay)
    step = OPTIMIZERS[now.optimizer]
    parameters, state = step(parameters, gradients, state, now.learning_rate, epoch)
    seconds = time.perf_counter() - start
    line = Epoch(epoch, sums.E / sums.n, sums.Acc / sums.n, sums.n, seconds)
    return Progress(parameters, state, [*history, line])


def settings_of_epoch(settings: argparse.Namespace, history: list[Epoch]) -> argparse.Namespace:
    """The settings with the learning rate that the bold driver has come to, if it drives."""
    now = copy.copy(settings)
    if now.bold_driver:
        now.learning_rate = bold_driver(now.learning_rate, [epoch.cost for epoch in history])
    return now


def progress_bar(done: int, epochs: int) -> tqdm:
    """A bar on a terminal; elsewhere it is disabled and `show_epoch` prints lines."""
    form = "epoch {n_fmt}/{total_fmt} |{bar:30}| {remaining} left{postfix}"
    return tqdm(initial=done, total=epochs, bar_format=form, disable=None)


def show_epoch(bar: tqdm, epoch: Epoch) -> None:
    """Tell how far along the run is: cost and accuracy of the epoch's mini-batch."""
    if bar.disable:
        print(
            f"epoch {epoch.epoch}/{bar.total}  cost {epoch.cost:.4f}  "
            f"accuracy {epoch.accuracy:.4f}  {epoch.seconds:.2f} s",
            flush=True,
        )
    else:
        bar.set_postfix_str(f"cost {epoch.cost:.4f}, accuracy {epoch.accuracy:.4f}", refresh=False)
        bar.update()


def describe_run(settings: argparse.Namespace, split: data_loader.Split) -> dict:
    """What settings.json says: everything that the result depends on."""
    told = {name: value for name, value in vars(settings).items() if name != "resume"}
    return {
        "data": {"name": split.name, "place": split.place, "sha256": split.sha256},
        "images": split.size,
        "settings": told,
        "versions": model_files.versions(),
    }


def arguments() -> argparse.ArgumentParser:
    """The command line; every default is the article's."""
    about = "Train the article's network on Spark RDDs; every default is the article's."
    parser = Parser(prog="train.py", description=about)

    option = parser.add_argument_group("the data").add_argument
    search = " (default: data/mnist if it is there, else a download, else drawn digits)"
    option("--data", metavar="PLACE", help=DATA_HELP + search)
    option(
        "--digits",
        nargs="+",
        action=Digits,
        default=[0, 1],
        metavar="DIGIT",
        help="the digits to tell apart: two or more, or `all`",
    )
    option(
        "--partitions",
        type=whole_number(1),
        help="how many parts Spark cuts the training set into; another number gives other bits "
        "(default: follows from the number of images)",
    )

    option = parser.add_argument_group("the network").add_argument
    option("--hidden", type=whole_number(1, 65536), default=64, help="how many hidden units")
    precision = "how precise all numbers are"
    option("--dtype", choices=("float32", "float64"), default="float32", help=precision)
    same = "start of all random draws: same seed, same parameters, bit for bit"
    option("--seed", type=whole_number(0), default=1, help=same)

    option = parser.add_argument_group("the training").add_argument
    option("--epochs", type=whole_number(1), default=50, help="how many epochs to train")
    share = "the share of the images that an epoch draws as its mini-batch"
    option("--fraction", type=number_within(0, 1), default=0.7, help=share)
    option(
        "--strategy",
        choices=STRATEGIES,
        default="maps",
        help="how to compute an epoch. maps: the article's chain, image by image; partitions: the "
        "same step, from whole blocks of images; averaging: each partition takes many small steps "
        "on its own images, and the driver averages where they arrive",
    )
    small = "how many images each small step of averaging sees"
    option("--batch-size", type=whole_number(1), default=32, help=small)
    alpha = "alpha: how far a step goes against the gradient"
    option("--learning-rate", type=number_within(0, math.inf), default=0.1, help=alpha)
    option(
        "--optimizer",
        choices=OPTIMIZERS,
        default="sgd",
        help="how the driver steps. sgd: by alpha times the gradient, as in the article; momentum: "
        "steps gather speed; adam: each parameter has a step size of its own",
    )
    decay = "how strongly to pull the weights W1 and W2 towards 0 (L2)"
    option("--weight-decay", type=number_within(0, math.inf, True), default=0.0, help=decay)
    bold = "raise alpha by 5% after an epoch whose cost fell, halve it where the cost rose"
    option("--bold-driver", action="store_true", help=bold)

    option = parser.add_argument_group("the run and what it leaves").add_argument
    option(
        "--checkpoint-every",
        type=whole_number(1),
        help="save a checkpoint after so many epochs, and after the last (default: after each, or "
        "less often where saving would take more than 1% of the time)",
    )
    go_on = "go on after the last checkpoint in --model-dir; start where there is none"
    option("--resume", action="store_true", help=go_on)
    model = "folder or URI for the parameters, the history and the checkpoint"
    option("--model-dir", default="model", metavar="PLACE", help=model)
    option("--plots-dir", default="plots", metavar="PLACE", help="folder or URI for the figures")
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say; returns 0, or 130 when Ctrl-C ended it early, results saved."""
    settings = arguments().parse_args(argv)
    place = data_loader.find_data(settings.data)
    with spark_context("train") as spark:
        most = IMAGES_IN_PARTITION[settings.strategy]
        split = data_loader.load(spark, place, "train", settings.digits, settings.partitions, most)
        settings.partitions = split.blocks.getNumPartitions()
        outputs = len(split.digits)
        network = f"784-{settings.hidden}-{outputs}"
        print(
            f"{split.name}: {split.size:,} images of {outputs} digits in {settings.partitions} "
            f"partitions; network {network}",
            flush=True,
        )
        initial = initial_parameters(settings.seed, settings.hidden, outputs, settings.dtype)
        run = describe_run(settings, split)
        start = checkpoints.start(settings.model_dir, run, initial, settings.resume)
        saver = checkpoints.Saver(settings.model_dir, run, settings.checkpoint_every)
        progress = run_epochs(rdd_of_strategy(split, settings), start, settings, saver)
        done = len(progress.history)
        if done == 0:  # Ctrl-C came before the end of the first epoch
            print("stopped in the first epoch: nothing to save", file=sys.stderr)
            return 130
        saver.run_ended(progress)
        title = figures.title_of(split.name, settings.digits, settings.strategy, network)
        change = progress.parameters.W1 - initial.W1
        figures.draw_training(settings.plots_dir, progress.history, change, outputs, title)
    finished = done == settings.epochs
    if not finished:
        print(f"stopped after epoch {done} of {settings.epochs}; --resume goes on there")
    print(f"saved {settings.model_dir} and {settings.plots_dir}")
    return 0 if finished else 130


def rdd_of_strategy(split: data_loader.Split, settings: argparse.Namespace) -> RDD:
    """What the strategy's epochs run on: pairs (image, label), or blocks of them."""
    if settings.strategy == "maps":
        return data_loader.image_label_pairs(split, settings.dtype)
    return split.blocks


if __name__ == "__main__":
    sys.exit(main())
