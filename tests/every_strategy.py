"""What the tests of equal bits run, each in a Spark of its own: every strategy, with a state.

python every_strategy.py DATA FOLDER [DATA FOLDER]...
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import train
from runtime import storage
from runtime.spark import spark_context


def main(data: str, folder: str) -> None:
    """Train two epochs with each strategy and Adam, into FOLDER/strategy."""
    words = "--digits all --epochs 2 --partitions 5 --hidden 16 --optimizer adam --data".split()
    for strategy in train.STRATEGIES:
        places = [data, "--model-dir", f"{folder}/{strategy}"]
        assert train.main([*words, *places, "--strategy", strategy]) == 0


def parameters(folder: Path | str) -> dict[str, bytes]:
    """What `main` has saved, by strategy."""
    places = {name: f"{folder}/{name}/parameters.npz" for name in train.STRATEGIES}
    return {name: storage.read(place) for name, place in places.items()}


if __name__ == "__main__":
    train.figures.draw_training = lambda *_: None
    with spark_context("every strategy"):
        for place, results in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            main(place, results)
