"""Train a network on Spark RDDs: the article's, by eight maps and one reduce per epoch.

On this machine, on all cores:    python train.py
On a cluster:                     spark-submit --master spark://HOST:7077 train.py

Reads MNIST (see data_loader.py). Writes the trained network to model/ and figures to plots/. An
interrupted run continues with --resume. predict.py then scores the test set.
"""

import runtime.packages  # noqa: F401, I001  names a package that is missing
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from pyspark import RDD

import nn_math
import predict
from data_loader import Split
from network.explain import table
from network.sequential import Network
from results.checkpoints import Progress, Saver
from results.model_files import Epoch, Trained
from runtime.command_line import exit_status, say
from runtime.spark import broadcast, ended_by_ctrl_c
from training import progress, run, steps, strategies, verdict
from training.data import hold_out, joined_for_averaging, training_rdd, with_validation
from training.settings import Settings, complete, from_command_line, network_of
from training.sums import empty_mini_batch_is_named


def maps_epoch(train_rdd: RDD, parameters: tuple, settings: Settings, epoch: int) -> nn_math.Sums:
    """The article's epoch: draw a mini-batch, eight maps, one reduce.

    train_rdd holds pairs (x, y*): image (1, 784), label one-hot (1, k). Returns the tuples after
    map 8, summed over the mini-batch. Raises EmptyMiniBatch if no image was drawn.
    """
    seed = nn_math.sample_seed(settings.seed, epoch)
    mini_batch = train_rdd.sample(False, settings.fraction, seed)
    with broadcast(train_rdd.context, nn_math.Parameters(*parameters)) as p:
        # fmt: off
        tuples = (
            mini_batch
            .map(each(lambda x, y:                        # 1: H^ = x W1 + B1
                (x, nn_math.affine(x, p.value.W1, p.value.B1), y)))
            .map(each(lambda x, H_hat, y:                 # 2: H = sigmoid(H^)
                (x, H_hat, nn_math.sigmoid(H_hat), y)))
            .map(each(lambda x, H_hat, H, y:              # 3: Y^ = H W2 + B2
                (x, H_hat, H, nn_math.affine(H, p.value.W2, p.value.B2), y)))
            .map(each(lambda x, H_hat, H, Y_hat, y:       # 4: Y = sigmoid(Y^)
                (x, H_hat, H, Y_hat, nn_math.sigmoid(Y_hat), y)))
            .map(each(lambda x, H_hat, H, Y_hat, Y, y:    # 5: E, Acc; dB2 = (Y - y*) * sigmoid'(Y^)
                (x, H_hat, H, *nn_math.output_error(Y, y))))
            .map(each(lambda x, H_hat, H, E, dB2, Acc:    # 6: dW2 = H^T dB2, H transposed
                (x, H_hat, E, dB2, nn_math.weight_gradient(H, dB2), Acc)))
            .map(each(lambda x, H_hat, E, dB2, dW2, Acc:  # 7: dB1 = (dB2 W2^T) * sigmoid'(H^)
                (x, E, dB2, dW2, nn_math.hidden_delta(dB2, p.value.W2, H_hat), Acc)))
            .map(each(lambda x, E, dB2, dW2, dB1, Acc:    # 8: dW1 = x^T dB1, x transposed
                (E, dB2, dW2, dB1, nn_math.weight_gradient(x, dB1), Acc, 1)))
        )  # (E, dB2, dW2, dB1, dW1, Acc, 1) of each image
        # fmt: on
        with empty_mini_batch_is_named():
            return nn_math.as_sums(tuples.reduce(nn_math.add))


def each(function: Callable) -> Callable:
    """A function of one tuple that calls `function` with the elements of this tuple."""
    return lambda elements: function(*elements)


def run_epochs(split: Split, start: Progress, settings: Settings, saver: Saver | None) -> Progress:
    """The loop over the epochs, from `start` on. Ctrl-C ends it; the last whole epoch stays.

    Each epoch computes the sums over its mini-batch; then the driver takes one step. Raises
    UserError if a mini-batch is empty, if --validation leaves nothing on one side, if the run
    diverges, or if it cannot be saved.
    """
    compute = strategies.epoch_function(settings, maps_epoch)
    step = steps.driver_step(settings)
    done = start
    with progress.bar(start, settings) as show, np.errstate(all="ignore"), ended_by_ctrl_c():
        try:
            split, held_out = hold_out(split, settings.validation, settings.seed)
            while not progress.is_finished(done.history, settings):
                began = time.perf_counter()
                epoch = len(done.history) + 1
                parameters, state = done.parameters, done.state
                now = steps.with_bold_driver(settings, done.history)
                rate, _ = steps.rates_of_epoch(now, epoch)
                train_rdd = training_rdd(split, now, epoch)

                sums = compute(train_rdd, parameters, now, epoch)  # the eight maps and the reduce
                gradients = nn_math.mean_gradients(sums)  # (sum of gradients) / n
                # sgd: theta <- theta - alpha * gradient
                parameters, state = step(parameters, gradients, state, rate, epoch)

                seconds = time.perf_counter() - began
                line = Epoch(epoch, sums.E / sums.n, sums.Acc / sums.n, sums.n, seconds)
                line = with_validation(line, held_out, parameters, settings)
                verdict.check_finite(line, parameters, settings)
                done = progress.after_epoch(done, parameters, state, line, settings)
                if saver is not None:
                    saver.epoch_ended(done)
                show(line)
        except BrokenPipeError:
            pass  # the last whole epoch is the result
    return done


def train_network(
    split: Split, settings: Settings, start: Progress | None = None, saver: Saver | None = None
) -> Trained:
    """Train on the training set, from the initial parameters or from `start`.

    Raises UserError as `run_epochs` does.
    """
    for doubt in verdict.doubts(settings):
        say(f"note: {doubt}")
    if start is None:
        start = Progress(run.initial_of(settings), {}, [])
    done = run_epochs(split, start, settings, saver)
    network, digits = network_of(settings), list(split.digits)
    return Trained(network, done.result(), digits, done.history, split.classes)


def fit(network: str | Network, split: Split, **options) -> Trained:
    """Train a network on a training set.

    network: a name, its layers as text, or Sequential(Dense(256), Relu(), ...). options: settings
    of the network and of the training, such as `epochs=5, optimizer="adam"`, by their names on the
    command line; their defaults depend on the network. Options of files, of the data and of the
    run, such as `resume`, have no effect; digits and partitions are those of `split`. After Ctrl-C,
    returns the result of the last whole epoch. Raises UserError if an option is invalid, if the
    network does not fit the digits, and as `train_network` does.
    """
    partitions = split.blocks.getNumPartitions()
    given = {**options, "network": network, "digits": split.digits, "partitions": partitions}
    settings = complete(given)
    with joined_for_averaging(split, settings) as joined:
        return train_network(joined, settings)


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say. Returns 0, or 130 if Ctrl-C ended the run early."""
    settings, given = from_command_line(argv)
    if settings.explain:
        say(table(network_of(settings), settings.dtype))
        return 0
    with run.prepared(settings, given) as prepared:
        settings = prepared.settings
        trained = train_network(prepared.split, settings, prepared.start, prepared.saver)
        finished = run.save(prepared, trained)
        if not finished:
            return 130
        if settings.score:  # Spark is running already
            place = prepared.split.place
            predict.score_test_set(prepared.spark, settings.model_dir, settings.plots_dir, place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
