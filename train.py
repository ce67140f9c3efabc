"""Train a network on Spark RDDs: the article's, by eight maps and one reduce an epoch.

On this machine, with all its cores:    python train.py
On a cluster:                           spark-submit --master spark://HOST:7077 train.py

Reads MNIST (see data_loader), writes model/ (parameters.npz, history.csv, settings.json, and
checkpoint.npz, from which --resume goes on) and plots/ (cost.png, accuracy.png, hidden_units.png).
`predict.py` then scores the test set.
"""

import argparse
import copy
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pyspark import RDD
from tqdm import tqdm

import data_loader
import predict
from data_loader import Split
from network import explain
from network.layers import Arrays
from network.sequential import FORMS, Network, initial_parameters, is_article, network_of
from nn_math import (
    Parameters,
    Sums,
    add,
    affine,
    as_sums,
    hidden_delta,
    mean_gradients,
    output_error,
    sample_seed,
    sigmoid,
    weight_gradient,
)
from pictures import figures
from results import checkpoints, claim, model_files
from results.checkpoints import Progress
from results.model_files import Epoch, Trained, best_epoch
from runtime import storage
from runtime.command_line import (
    DATA_HELP,
    Digits,
    Parser,
    UserError,
    counted,
    exit_status,
    number_within,
    whole_number,
)
from runtime.spark import broadcast, spark_context
from training import recipes, verdict
from training.averaging import averaging_epoch
from training.chain import chain_epoch
from training.optimizers import OPTIMIZERS, driver_step, rates_of_epoch
from training.partitions import error_of_blocks, partitions_epoch


def maps_epoch(
    train_rdd: RDD, parameters: Arrays, settings: argparse.Namespace, epoch: int
) -> Sums:
    """One epoch as the article has it: draw a mini-batch, eight maps, one reduce.

    train_rdd holds pairs (x, y*): image (1, 784), label one-hot (1, k). Returns the tuples after
    map 8, summed over the mini-batch. Raises ValueError if the mini-batch is empty.
    """
    mini_batch = train_rdd.sample(False, settings.fraction, sample_seed(settings.seed, epoch))
    with broadcast(train_rdd.context, Parameters(*parameters)) as p:
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
            .map(each(lambda x, H_hat, H, Y_hat, Y, y:    # 5: E, dB2 = (Y - y*) sigmoid'(Y^), Acc
                (x, H_hat, H, *output_error(Y_hat, Y, y))))
            .map(each(lambda x, H_hat, H, E, dB2, Acc:    # 6: dW2 = H^T dB2, H transposed
                (x, H_hat, E, dB2, weight_gradient(H, dB2), Acc)))
            .map(each(lambda x, H_hat, E, dB2, dW2, Acc:  # 7: dB1 = (dB2 W2^T) * sigmoid'(H^)
                (x, E, dB2, dW2, hidden_delta(dB2, p.value.W2, H_hat), Acc)))
            .map(each(lambda x, E, dB2, dW2, dB1, Acc:    # 8: dW1 = x^T dB1, x transposed
                (E, dB2, dW2, dB1, weight_gradient(x, dB1), Acc, 1)))
        )  # (E, dB2, dW2, dB1, dW1, Acc, 1) of each image
        # fmt: on
        return as_sums(gradients.reduce(add))


def each(function: Callable) -> Callable:
    """The function of a tuple that calls `function` with the tuple's elements."""
    return lambda elements: function(*elements)


class Strategy(NamedTuple):
    """A way to compute an epoch: a function of (train_rdd, parameters, settings, epoch) -> Sums.

    `in_partition`: the least and the most images of a partition. A task starts in about 10 ms; an
    image takes some 150 us in the chain, 4 us in a block.
    """

    epoch: Callable[[RDD, Arrays, argparse.Namespace, int], Sums]
    in_partition: tuple[int, int]


STRATEGIES = {
    "maps": Strategy(maps_epoch, (1500, 3000)),
    "partitions": Strategy(partitions_epoch, (6000, 12000)),
    "averaging": Strategy(averaging_epoch, (30000, 30000)),
}


def fit(
    network: str | Network,
    split: Split,
    start: Progress | None = None,
    saver: checkpoints.Saver | None = None,
    **options,
) -> Trained:
    """Train a network on the training set: a name, a text, or Sequential(Dense(256), Relu(), ...).

    options: those of the command line, `epochs=5, optimizer="adam"`; what is left out follows from
    the network. Ctrl-C ends it after the last whole epoch; the history then says how far it came.
    Raises UserError if a mini-batch is empty, or if the network does not fit the digits.
    """
    partitions = split.blocks.getNumPartitions()
    settings = complete({**options, "network": network, "partitions": partitions}, split.digits)
    for doubt in recipes.doubts(settings):
        print(f"note: {doubt}", flush=True)
    held_out = None
    if settings.validation:
        split, held_out = data_loader.hold_out(split, settings.validation, settings.seed)
    if start is None:
        start = Progress(initial_of(settings), {}, [])
    progress = run_epochs(split, held_out, start, settings, saver)
    parameters = progress.parameters
    if settings.patience is not None and progress.history:
        parameters = progress.state["best"]
    network, digits = network_of(settings), list(split.digits)
    return Trained(network, parameters, digits, progress.history, split.classes)


def complete(options: dict, digits: Sequence[int]) -> argparse.Namespace:
    """The settings of a run: what was given, the defaults, and the network's recipe."""
    defaults = vars(arguments().parse_args([]))
    unknown = sorted(options.keys() - defaults.keys())
    if unknown:
        raise UserError(f"fit has no option {unknown[0]!r}; train.py --help says them all")
    return recipes.fill(argparse.Namespace(**{**defaults, **options, "digits": list(digits)}))


def initial_of(settings: argparse.Namespace) -> Arrays:
    """W1, B1, W2, B2, ... before the first epoch."""
    return initial_parameters(network_of(settings), settings.seed, settings.dtype)


def run_epochs(
    split: Split,
    held_out: Split | None,
    start: Progress,
    settings: argparse.Namespace,
    saver: checkpoints.Saver | None,
) -> Progress:
    """The epoch loop, from where `start` is. Returns how far it came: Ctrl-C, or a reader of its
    lines who goes away, ends it early.

    Raises UserError if a mini-batch is empty, or if the run diverges.
    """
    progress = start
    with progress_bar(len(progress.history), settings.epochs, held_out is not None) as bar:
        try:
            while not is_finished(progress.history, settings):
                with np.errstate(all="ignore"):  # the line after it tells a person
                    progress = one_epoch(split, held_out, progress, settings)
                verdict.check_finite(progress, settings.learning_rate)
                if saver is not None:
                    saver.epoch_ended(progress)
                show_epoch(bar, progress.history[-1])
        except (KeyboardInterrupt, BrokenPipeError):
            pass  # what the last whole epoch came to is the result
    return progress


def is_finished(history: Sequence[Epoch], settings: argparse.Namespace) -> bool:
    """Whether all epochs are over, or --patience is."""
    if settings.patience is not None and history:
        if len(history) - best_epoch(history) >= settings.patience:
            return True
    return len(history) >= settings.epochs


def one_epoch(
    split: Split, held_out: Split | None, progress: Progress, settings: argparse.Namespace
) -> Progress:
    """An epoch and the driver's step after it. Raises UserError if the mini-batch is empty."""
    start = time.perf_counter()
    parameters, state, history = progress
    epoch = len(history) + 1
    now = settings_of_epoch(settings, history)
    try:
        sums = epoch_function(now)(training_rdd(split, now, epoch), parameters, now, epoch)
    except ValueError:  # what a reduce says of an RDD without elements
        raise UserError(
            f"the mini-batch of epoch {epoch} is empty: --fraction {now.fraction:g} of the "
            "training images is less than one; give a larger fraction or more images"
        ) from None
    best = state.get("best")
    parameters, state = driver_step(parameters, mean_gradients(sums), state, now, epoch)
    seconds = time.perf_counter() - start
    line = Epoch(epoch, sums.E / sums.n, sums.Acc / sums.n, sums.n, seconds)
    if held_out is not None:
        cost, accuracy = error_of_blocks(held_out.blocks, parameters, now)
        line = line._replace(validation_cost=cost, validation_accuracy=accuracy)
    history = [*history, line]
    if settings.patience is not None:
        if best is None or best_epoch(history) == epoch:
            best = parameters
        state = state | {"best": best}
    return Progress(parameters, state, history)


def settings_of_epoch(settings: argparse.Namespace, history: list[Epoch]) -> argparse.Namespace:
    """The settings with the learning rates at the beginning and at the end of the next epoch."""
    now = copy.copy(settings)
    costs = [epoch.cost for epoch in history]
    now.learning_rate, now.last_rate = rates_of_epoch(settings, costs, len(history) + 1)
    return now


def epoch_function(settings: argparse.Namespace) -> Callable:
    """The strategy's epoch; in `maps`, other networks than the article's have their own chain."""
    if settings.strategy == "maps" and not is_article(network_of(settings)):
        return chain_epoch
    return STRATEGIES[settings.strategy].epoch


def training_rdd(split: Split, settings: argparse.Namespace, epoch: int) -> RDD:
    """What an epoch runs on: pairs (image, label) in `maps`, else blocks of them."""
    split = data_loader.moved(split, settings.shift, settings.seed, epoch)
    if settings.strategy == "maps":
        return data_loader.image_label_pairs(split, settings.dtype)
    return split.blocks


def progress_bar(done: int, epochs: int, validated: bool) -> tqdm:
    """A bar on a terminal; elsewhere it is disabled and `show_epoch` prints lines."""
    columns = shutil.get_terminal_size().columns - 1
    form = "epoch {n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}"
    if columns < (96 if validated else 68):  # then there is no room for a bar
        form = "{n_fmt}/{total_fmt}{postfix}"
    return tqdm(initial=done, total=epochs, bar_format=form, ncols=min(columns, 120), disable=None)


def show_epoch(bar: tqdm, epoch: Epoch) -> None:
    """Tell how far along the run is: cost and accuracy of the epoch's mini-batch."""
    said = f"cost {epoch.cost:.4f}  accuracy {epoch.accuracy:.4f}"
    if not math.isnan(epoch.validation_cost):
        said += f"  validation {epoch.validation_cost:.4f}  {epoch.validation_accuracy:.4f}"
    if bar.disable:
        print(f"epoch {epoch.epoch}/{bar.total}  {said}  {epoch.seconds:.2f} s", flush=True)
    else:
        bar.set_postfix_str(said, refresh=False)
        bar.update()


# Arguments on which nothing that is saved depends.
ONLY_OF_THIS_RUN = {"resume", "explain", "score"}


def describe_run(settings: argparse.Namespace, split: data_loader.Split) -> dict:
    """What settings.json says: everything that the result depends on."""
    told = {name: value for name, value in vars(settings).items() if name not in ONLY_OF_THIS_RUN}
    data = {"name": split.name, "place": split.place, "sha256": split.sha256}
    if split.classes:
        data["classes"] = split.classes
    return {
        "data": data,
        "images": split.size,
        "settings": told,
        "versions": model_files.versions(),
    }


def arguments() -> argparse.ArgumentParser:
    """The command line; the defaults train the article's network as the article does."""
    about = "Train a network on Spark RDDs; without arguments the article's, as in the article."
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
    option(
        "--network",
        default="article",
        help=f"a name ({', '.join(recipes.NETWORKS)}), which brings the settings under which it "
        f"learns, or its layers with commas between them: {FORMS}; the last dense needs no number",
    )
    width = "how many hidden units the article's network has (default: 64)"
    option("--hidden", type=whole_number(1, 65536), help=width)
    table = "print the network's maps, its parameters and what they weigh, and train nothing"
    option("--explain", action="store_true", help=table)
    precision = "how precise all numbers are"
    option("--dtype", choices=("float32", "float64"), default="float32", help=precision)
    same = "start of all random draws: same seed, same parameters, bit for bit"
    option("--seed", type=whole_number(0), default=1, help=same)

    about = "What is not given follows from the network and the digits: see docs/speed.md."
    option = parser.add_argument_group("the training", about).add_argument
    option("--epochs", type=whole_number(1), help="how many epochs to train (the article: 50)")
    share = "the share of the images that an epoch draws as its mini-batch (the article: 0.7)"
    option("--fraction", type=number_within(0, 1), help=share)
    option(
        "--strategy",
        choices=STRATEGIES,
        help="how to compute an epoch. maps: the article's chain, image by image; partitions: the "
        "same step, from whole blocks of images; averaging: each partition takes many small steps "
        "on its own images, and the driver averages where they arrive",
    )
    small = "how many images each small step of averaging sees"
    option("--batch-size", type=whole_number(1), help=small)
    alpha = "alpha: how far a step goes against the gradient (the article: 0.1)"
    option("--learning-rate", type=number_within(0, math.inf), help=alpha)
    fall = "whether alpha stays (constant) or falls to 0 over all epochs (linear)"
    option("--schedule", choices=("constant", "linear"), help=fall)
    option(
        "--optimizer",
        choices=OPTIMIZERS,
        help="how a step is taken. sgd: by alpha times the gradient, as in the article; momentum: "
        "steps gather speed; adam: each parameter has a step size of its own",
    )
    slow = "in averaging, how much of its last move the driver adds to each: from 0 to below 1"
    option("--slow-momentum", type=number_within(0, 0.999, True), default=0.0, help=slow)
    decay = "how strongly to pull the weights W1, W2, ... towards 0 (L2)"
    option("--weight-decay", type=number_within(0, math.inf, True), default=0.0, help=decay)
    moved = "by how many pixels each image may be moved each way, anew in each epoch"
    option("--shift", type=whole_number(0, 14), help=moved)
    bold = "raise alpha by 5% after an epoch whose cost fell, halve it where the cost rose"
    option("--bold-driver", action="store_true", help=bold)
    aside = "the share of the training images to judge each epoch by instead of training on them"
    option("--validation", type=number_within(0, 0.9, True), help=f"{aside} (default: 0)")
    wait = "stop so many epochs after the least validation cost, and keep the parameters of then"
    option("--patience", type=whole_number(1), help=f"{wait} (sets --validation 0.1)")

    option = parser.add_argument_group("the run and what it leaves").add_argument
    option(
        "--checkpoint-every",
        type=whole_number(1),
        help="save a checkpoint after so many epochs, and after the last (default: after each, or "
        "less often where saving would take more than 1% of the time)",
    )
    also = "when it has trained, score the test set, as predict.py does"
    option("--score", action="store_true", help=also)
    go_on = "go on after the last checkpoint in --model-dir; start where there is none"
    option("--resume", action="store_true", help=go_on)
    model = "folder or URI for the parameters, the history and the checkpoint"
    option("--model-dir", default="model", metavar="PLACE", help=model)
    option("--plots-dir", default="plots", metavar="PLACE", help="folder or URI for the figures")
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say; returns 0, or 130 when Ctrl-C ended it early, results saved."""
    parser = arguments()
    try:
        settings = recipes.fill(parser.parse_args(argv))
    except UserError as error:
        parser.error(str(error))
    if settings.explain:
        print(explain.table(network_of(settings), settings.dtype))
        return 0
    storage.check_writable(settings.model_dir, settings.plots_dir)
    place = data_loader.find_data(settings.data)
    with (
        spark_context("train") as spark,
        claim.held(settings.model_dir, settings.resume) as claimed,
    ):
        storage.check_writable(settings.plots_dir)  # a URI can be tried only now
        in_partition = STRATEGIES[settings.strategy].in_partition
        split = data_loader.load(
            spark, place, "train", settings.digits, settings.partitions, in_partition
        )
        settings.partitions = split.blocks.getNumPartitions()
        print(
            f"{split.name}: {split.size:,} images of {len(split.digits)} digits in "
            f"{counted(settings.partitions, 'partition')}; network {settings.network}",
            flush=True,
        )
        run, initial = describe_run(settings, split), initial_of(settings)
        start = checkpoints.start(settings.model_dir, run, initial, settings.resume)
        saver = checkpoints.Saver(claimed, run, settings.checkpoint_every)
        ((one_image, _),) = data_loader.first_pairs(split, 1, settings.dtype)
        trained = fit(**vars(settings), split=split, start=start, saver=saver)
        done = len(trained.history)
        if done == 0:  # Ctrl-C came before the end of the first epoch
            print("stopped in the first epoch: nothing to save", file=sys.stderr)
            return 130
        saver.run_ended(trained)
        names = trained.names()
        title = figures.title_of(split.name, names, settings.strategy, settings.network)
        figures.draw_training(settings.plots_dir, trained, initial, one_image, title)
        print(f"saved {settings.model_dir} and {settings.plots_dir}")
        verdict.tell_if_stuck(trained.history, settings)
        if not is_finished(trained.history, settings):
            print(f"stopped after epoch {done} of {settings.epochs}; --resume goes on there")
            return 130
        if settings.score:  # here, where Spark runs already
            places = ["--model-dir", settings.model_dir, "--plots-dir", settings.plots_dir]
            return predict.main(places)
    return 0


if __name__ == "__main__":
    sys.exit(main())
