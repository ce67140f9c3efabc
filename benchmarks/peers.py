"""Other libraries' programs, as their users have them: train until a test accuracy is reached.

    python benchmarks/peers.py pytorch MNIST.npz --target 0.99
    python benchmarks/peers.py scikit_learn MNIST.npz --target 0.98

Both have all data in memory as float32 and use all cores. They test after each epoch and stop when
they reach the target, so they never train longer than they need. The last line printed is JSON.
"""

import argparse
import json
import os
from collections.abc import Iterator

import numpy as np


def pytorch(data: dict[str, np.ndarray], options: argparse.Namespace) -> Iterator[float]:
    """The test accuracy after each epoch of PyTorch's MNIST example, at most its 14 epochs.

    Its published settings (pytorch/examples, mnist): convolutions of 32 and 64 filters of 3x3,
    max-pooling of 2, dropout 0.25, 128 units, dropout 0.5, log-softmax; Adadelta with a rate of 1
    that is multiplied by 0.7 after each epoch; batches of 64; inputs normalised with 0.1307 and
    0.3081. It runs eagerly, as published; --compile tries torch.compile. This is faster than the
    example in one point: the images are normalised once and kept in one tensor. The example reads
    them one by one, in each epoch.
    """
    import torch
    from torch import nn

    torch.manual_seed(options.seed)
    torch.set_num_threads(os.cpu_count() or 1)

    def tensors(part: str):
        X = (torch.from_numpy(data[f"x_{part}"]).float() / 255 - 0.1307) / 0.3081
        return X.reshape(-1, 1, 28, 28), torch.from_numpy(data[f"y_{part}"]).long()

    (X, y), (X_test, y_test) = tensors("train"), tensors("test")
    convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()]
    pooled = [nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()]
    dense = [nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    model = nn.Sequential(*convolutions, *pooled, *dense, nn.LogSoftmax(dim=1))
    if options.compile:
        model = torch.compile(model)
    optimizer, loss = torch.optim.Adadelta(model.parameters(), lr=1.0), nn.NLLLoss()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for _ in range(options.epochs or 14):
        model.train()
        for batch in torch.randperm(len(X)).split(64):
            optimizer.zero_grad()
            loss(model(X[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            parts = zip(X_test.split(1000), y_test.split(1000), strict=True)
            right = sum(
                (model(X_part).argmax(1) == y_part).sum().item() for X_part, y_part in parts
            )
        yield right / len(y_test)


def scikit_learn(data: dict[str, np.ndarray], options: argparse.Namespace) -> Iterator[float]:
    """The test accuracy after each epoch of scikit-learn's MLPClassifier, at most 30 epochs.

    One hidden layer of 512, else its defaults: relu, Adam with a rate of 0.001, L2 of 0.0001,
    batches of 200, BLAS on all cores. A call of `partial_fit` is one epoch of `fit`. The images are
    float32, which is faster than the float64 that a division by 255 gives.
    """
    from sklearn.neural_network import MLPClassifier

    X, X_test = (np.divide(data[f"x_{part}"], 255, dtype="float32") for part in ("train", "test"))
    model = MLPClassifier(hidden_layer_sizes=(512,), random_state=options.seed)
    for _ in range(options.epochs or 30):
        model.partial_fit(X, data["y_train"], classes=range(10))
        yield model.score(X_test, data["y_test"])


PEERS = {peer.__name__: peer for peer in (pytorch, scikit_learn)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("data", help="x_train (n, 784), y_train (n,), x_test, y_test, as bytes")
    parser.add_argument("--target", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="at most; default: 14 and 30")
    parser.add_argument("--compile", action="store_true", help="PyTorch: torch.compile the model")
    options = parser.parse_args()
    with np.load(options.data) as file:
        data = dict(file)
    for epoch, accuracy in enumerate(PEERS[options.peer](data, options), start=1):  # noqa: B007
        if accuracy >= options.target:
            break
    print(json.dumps({"accuracy": accuracy, "epochs": epoch}))


if __name__ == "__main__":
    main()
