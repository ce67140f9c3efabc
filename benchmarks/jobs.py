"""How long whole programs take, from start to end: ours, and other people's to the same end.

    python benchmarks/jobs.py --data FOLDER_OF_MNIST            75 minutes; --only WORD for less

Whole processes run alternately; a round is a seed. Ours reads MNIST's published files, trains by a
recipe, writes the model, the figures and the page, and scores the test set. The others find their
data ready: the article's program its text files, PyTorch and scikit-learn an .npz that loads in no
time (peers.py has their settings, and why they are fair). These two stop after the first epoch that
reaches the accuracy. Ours needs the number of epochs in advance: its learning rate falls to 0 over
them.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import article
import measure
import numpy as np

import data_loader
from cluster.processes import submit_command
from images import sources
from images.blocks import as_rows, select_digits


class Job(NamedTuple):
    """Our arguments, the other program, and the test accuracy that both should reach."""

    ours: str
    peer: str
    target: float | None = None  # None: both by spark-submit, to their ends


HERE = Path(__file__).parent
# Fewer and larger steps than the recipe's, chosen on a validation share of 10,000 images.
MLP = "--digits all --network mlp --epochs 3 --batch-size 128 --learning-rate 0.006"
JOBS = [
    Job("", "the article's program"),
    Job(MLP, "scikit_learn", 0.98),
    Job("--digits all --network lenet", "pytorch", 0.99),
    Job("--digits all --network cnn", "pytorch", 0.994),
]


def write_data(place: str, folder: Path) -> None:
    """The data as the others read it: text of the digits 0 and 1, and all digits as an .npz."""
    arrays = {}
    for part in ("train", "test"):
        images, labels, _ = sources.find(place, part).read(range(10))
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
        two = select_digits(images, labels, (0, 1))
        article.write_text(str(folder), part, *as_rows(*two, 2, "float32"))
    np.savez(folder / "mnist.npz", **arrays)


def run_ours(job: Job, place: str, folder: Path, words: list[str]) -> tuple[float, float]:
    """Seconds of our process, and its test accuracy."""
    words = [*job.ours.split(), "--score", "--data", place, *words]
    words += ["--model-dir", f"{folder}/model", "--plots-dir", f"{folder}/plots"]
    command = [sys.executable, str(HERE.parent / "train.py"), *words]
    if job.target is None:
        command = submit_command("local[*]", "train.py", words)
    seconds, _ = measure.process(command)
    return seconds, json.loads((folder / "model" / "metrics.json").read_text())["accuracy"]


def run_peer(job: Job, folder: Path, words: list[str]) -> tuple[float, float | None]:
    """Seconds of the other's process, and its test accuracy, if it says it."""
    if job.target is None:
        shutil.rmtree(folder / "output", ignore_errors=True)
        words = [str(folder), f"{folder}/output", *words]
        seconds, _ = measure.process(submit_command("local[*]", article.__file__, words))
        return seconds, None
    words = [job.peer, f"{folder}/mnist.npz", "--target", str(job.target), *words]
    seconds, said = measure.process([sys.executable, str(HERE / "peers.py"), *words])
    return seconds, json.loads(said)["accuracy"]


def row_of(job: Job, ours: list[tuple], theirs: list[tuple]) -> dict:
    """A row of the table, from (seconds, accuracy) of each round."""
    times, others = ([seconds for seconds, _ in runs] for runs in (ours, theirs))
    words = " ".join(["train.py", *job.ours.split(), "--score"])
    row = {"ours": f"`{words}`", "the other": job.peer, "accuracy to reach": job.target}
    row["ours, s"], row["the other's, s"] = statistics.median(times), statistics.median(others)
    row["ours / other"], row["rounds"] = measure.ratio(times, others), len(ours)
    if job.target is not None:
        right = sum(accuracy >= job.target for _, accuracy in (*ours, *theirs))
        row["reached it"] = f"{right} of {2 * len(ours)}"
    return {**row, "runs": [ours, theirs]}


def main() -> None:
    parser = measure.arguments(__doc__, rounds=3)
    parser.add_argument("--only", default="", help="only jobs that contain this word")
    parser.add_argument("--epochs", help="for all, to see that they run to the end")
    options = parser.parse_args()
    place = os.path.abspath(data_loader.find_data(options.data))
    more = ["--epochs", options.epochs] if options.epochs else []
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(place, folder)
        for job in (job for job in JOBS if options.only in f"{job.ours} {job.peer}"):
            ours, theirs = [], []
            for seed in range(1, options.rounds + 1):
                words = ["--seed", str(seed), *more]
                ours.append(run_ours(job, place, folder, words))
                theirs.append(run_peer(job, folder, words))
                print(job.peer, ours[-1], theirs[-1], flush=True)
            rows.append(row_of(job, ours, theirs))
    measure.save(options, "jobs", rows)


if __name__ == "__main__":
    main()
