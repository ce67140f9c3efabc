"""(f) Time per image of a training step: this project's NumPy against PyTorch on the CPU, eager.

    .venv-bench/bin/python benchmarks/pytorch.py

Both use the same network, the same mini-batch of 32 images, the same optimizer (momentum), float32.
Two processes of one thread each run at the same time, like two executors on two cores. In each
process, ours and PyTorch alternate. The images are random; their content does not change the time.
"""

import multiprocessing
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import measure
import numpy as np
import torch
from torch import nn

from network import layers
from network.sequential import batch_tuple, initial_parameters, input_shapes, read
from nn_math import as_sums, mean_gradients
from runtime.spark import FOR_WORKERS
from training import optimizers, recipes

NETWORKS = ("mlp", "lenet", "cnn")
BATCH, STEPS, ROUNDS, RATE, PROCESSES = 32, 40, 25, 0.01, 2
COLUMNS = {
    "network": ("network", "s"),
    "ours": ("ours, us per image", ".0f"),
    "pytorch": ("PyTorch", ".0f"),
    "ratio": ("ours / PyTorch", ".2f"),
    "least": ("least", ".2f"),
    "most": ("most", ".2f"),
}


def ours(name: str, X: np.ndarray, y_true: np.ndarray):
    """A function that takes STEPS steps with this project's layers."""
    network = read(recipes.NETWORKS[name], 10)
    theta, state = initial_parameters(network, 1), {}

    def steps() -> None:
        nonlocal theta, state
        for t in range(1, STEPS + 1):
            sums = as_sums(batch_tuple(network, theta, X, y_true, (1, t)))
            theta, state = optimizers.momentum(theta, mean_gradients(sums), state, RATE, t)

    return steps


def pytorchs(name: str, X: np.ndarray, labels: np.ndarray):
    """The same function with PyTorch."""
    network = read(recipes.NETWORKS[name], 10)
    model = nn.Sequential(*modules(network))
    images = torch.from_numpy(X)
    if isinstance(network[0], layers.Picture):
        images = images.reshape(-1, 1, 28, 28)
    truth, loss = torch.from_numpy(labels), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(model(images), truth).backward()
            optimizer.step()

    return steps


def modules(network):
    """A network's layers as PyTorch modules; PyTorch has the softmax in its loss."""
    for layer, shape in zip(network, input_shapes(network), strict=False):
        match layer:
            case layers.Dense(units):
                yield nn.Linear(shape[0], units)
            case layers.Conv(filters, side):
                yield nn.Conv2d(shape[0], filters, side)
            case layers.MaxPool(side):
                yield nn.MaxPool2d(side)
            case layers.Dropout(rate):
                yield nn.Dropout(rate)
            case layers.Relu():
                yield nn.ReLU()
            case layers.Flatten():
                yield nn.Flatten()


def one_process(barrier, results) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(os.getpid())
    X, labels = rng.random((BATCH, 784), np.float32), rng.integers(0, 10, BATCH)
    y_true = np.eye(10, dtype=np.float32)[labels]
    found = {}
    for name in NETWORKS:
        barrier.wait()
        calls = {"ours": ours(name, X, y_true), "pytorch": pytorchs(name, X, labels)}
        found[name] = measure.alternate(calls, ROUNDS)
    results.put(found)


def main() -> None:
    os.environ.update(FOR_WORKERS)  # the processes read them at their start
    start = multiprocessing.get_context("spawn")
    barrier, results = start.Barrier(PROCESSES), start.Queue()
    running = [start.Process(target=one_process, args=(barrier, results)) for _ in range(PROCESSES)]
    for process in running:
        process.start()
    found = [results.get() for _ in running]
    for process in running:
        process.join()
    rows = []
    for name in NETWORKS:
        times = {who: [t for one in found for t in one[name][who]] for who in found[0][name]}
        ratios = [a / b for a, b in zip(times["ours"], times["pytorch"], strict=True)]
        us = {who: statistics.median(t) / STEPS / BATCH * 1e6 for who, t in times.items()}
        ratio = {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        rows.append({"network": name, **us, **ratio})
    versions = {"numpy": np.__version__, "torch": torch.__version__}
    measure.save("pytorch", {"versions": versions, "rows": rows}, measure.table(rows, COLUMNS))


if __name__ == "__main__":
    main()
