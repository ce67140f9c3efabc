"""Break the program in one place at a time, and see that the tests of `make test` notice.

    python tests/mutations.py              all of the table below
    python tests/mutations.py 3 17 --jobs 1

Each mutation is made in a copy of the project, so that your files stay as they are. The tests that
should notice it run first; only if they pass, all of `make test` run. Ends with status 1 if more
than two are not noticed, and with a line that names it if a text of the table is not found exactly
once.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".hadoop", "__pycache__", ".*_cache", ".hypothesis", "data", "model"
)
# On a loaded machine too: the tests of `make test` take two minutes on a quiet one.
SECONDS = 3000


class Mutation(NamedTuple):
    """In `file`, `old` becomes `new`; the files tests/test_*.py that should notice it."""

    file: str
    old: str
    new: str
    tests: str


# (file, the tests that should notice) -> what becomes what
TABLE = {
    ("nn_math.py", "nn_math"): [
        ("return 0.5 * float(", "return 1.0 * float("),
        ("return a * (1 - a)", "return a * (1 + a)"),
        ("gradient / sums.n for", "gradient / (sums.n + 1) for"),
        ("np.rint(Y) == 1", "Y >= 0.5"),
        ("spawn_key=key", "spawn_key=key[:1]"),
        ("ratio(tp, tp + fp), ratio(tp, tp + fn)", "ratio(tp, tp + fn), ratio(tp, tp + fp)"),
        ("operator.iadd, total, more", "operator.iadd, more, total"),
    ],
    ("train.py", "train"): [
        ("nn_math.weight_gradient(H, dB2)", "nn_math.weight_gradient(H_hat, dB2)"),
        ("sample_seed(settings.seed, epoch)", "sample_seed(settings.seed, 1)"),
    ],
    ("training/chain.py", "fit"): [
        ("sample_seed(settings.seed, epoch)", "sample_seed(settings.seed, 1)"),
        ("return E, *gradients, Acc, 1", "return E, *gradients, 1, Acc"),
    ],
    ("network/layers.py", "network"): [
        ("larger = a[place] > value", "larger = a[place] >= value"),
        ("lambda H: 1 - H * H", "lambda H: 1 - H"),
        ("lambda H: H > 0", "lambda H: H >= 0"),
        ("variance = 2 / inputs if relu", "variance = 1 / inputs if relu"),
    ],
    ("training/sums.py", "train"): [
        ("sorted(pairs, key=lambda pair: pair[0])", "pairs"),
    ],
    ("training/averaging.py", "fit train"): [
        ("[met * (start - end) for", "[(start - end) for"),
        ("(*key, t)", "(*key, 1)"),
    ],
    ("training/partitions.py", "train"): [
        ("key = seed, epoch, partition, number", "key = seed, epoch, partition, 0"),
    ],
    ("training/partitions.py", "fit"): [
        ("return E / n, Acc / n", "return E / n, Acc"),
    ],
    ("training/optimizers.py", "optimizers"): [
        ("range(0, len(decayed), 2)", "range(0, len(decayed))"),
        ("root = (1 - BETA2**t) ** 0.5", "root = (1 - BETA2) ** 0.5"),
    ],
    ("training/data.py", "fit"): [
        ("key=lambda piece: piece[0]", "key=lambda piece: -piece[0]"),
    ],
    ("training/steps.py", "optimizers"): [
        ("learning_rate *= 1.05", "learning_rate *= 1.5"),
    ],
    ("results/checkpoints.py", "checkpoints"): [
        ("% self.every == 0", "% self.every == 1"),
        ('if done > wanted["epochs"]', 'if done > wanted["epochs"] + 1'),
    ],
    ("results/claim.py", "claim"): [
        ("if now == self.content:", "if now:"),
    ],
    ("results/contents.py", "model_files"): [
        ("if not np.isfinite(array).all()", "if not np.isfinite(array).any()"),
    ],
    ("runtime/storage.py", "storage"): [
        ("os.fsync(file.fileno())", "file.fileno()"),
    ],
    ("data_loader.py", "data_loader"): [
        ("images // least), math.ceil(images / most)", "images // least), images // most"),
    ],
    ("images/blocks.py", "fit"): [
        ("pixels[:, None] / scale[part]", "pixels[:, None] * scale[part]"),
        ("value += points[corner + 1] * x", "value += points[corner + 1] * left"),
    ],
    ("images/blocks.py", "data_loader"): [
        ("np.divide(images, 255, ", "np.divide(images, 256, "),
    ],
    ("images/idx_files.py", "idx_files"): [
        ("if unpacked.read(1):", "if False:"),
    ],
    ("images/shards.py", "shards"): [
        ("    _write_shard(folder, names, 0, first)", "    _write_shard(folder, names, 1, first)"),
    ],
    ("predict.py", "predict"): [
        ("confusion[y_true.argmax(), Y.argmax()]", "confusion[Y.argmax(), y_true.argmax()]"),
    ],
    ("results/doubt.py", "doubt"): [
        ("Y[second] > doubt.close * Y[first]", "Y[second] > doubt.close"),
        ("X[~limiting], labels[~limiting]", "X, labels"),
    ],
}
MUTATIONS = [
    Mutation(file, old, new, tests) for (file, tests), pairs in TABLE.items() for old, new in pairs
]


def mutated(mutation: Mutation) -> str:
    """The text of the file with the mutation. Raises SystemExit unless `old` is there once."""
    text = (ROOT / mutation.file).read_text()
    found = text.count(mutation.old)
    if found != 1:
        raise SystemExit(f"error: {mutation.file}: found {found} times: {mutation.old}")
    return text.replace(mutation.old, mutation.new)


def passes(folder: Path, files: list[str]) -> bool:
    """Whether the tests of `make test` in these files pass; in all, if there are none."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"MNIST_DATA": os.environ.get("MNIST_DATA", str(mnist()))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    (folder / "said").write_text(done.stdout + done.stderr)
    return done.returncode == 0


def mnist() -> Path:
    """Where the tests of this folder find MNIST: a copy elsewhere would not find it."""
    here = ROOT / "data" / "mnist"
    return here if here.exists() else ROOT.parent / "shared" / "mnist"


def noticed(mutation: Mutation | None) -> bool:
    """Whether the tests fail on a copy of the project with the mutation, or with none."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        folder = Path(shutil.copytree(ROOT, Path(temporary, "copy"), ignore=LEFT_OUT))
        if mutation is None:
            return not passes(folder, [])
        (folder / mutation.file).write_text(mutated(mutation))
        first = [f"tests/test_{name}.py" for name in mutation.tests.split()]
        return not passes(folder, first) or not passes(folder, [])


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the program; see that the tests notice.")
    parser.add_argument("numbers", type=int, nargs="*", help="of the table; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="mutations at a time (default: 2)")
    options = parser.parse_args()
    chosen = options.numbers or range(1, len(MUTATIONS) + 1)
    for mutation in MUTATIONS:
        mutated(mutation)
    began, killed = time.monotonic(), 0
    pool = ThreadPoolExecutor(options.jobs)
    try:
        unbroken = pool.submit(noticed, None)
        found: dict[int, Future] = {n: pool.submit(noticed, MUTATIONS[n - 1]) for n in chosen}
        if unbroken.result():
            raise SystemExit("error: the tests fail without a mutation")
        for number, result in found.items():
            file, old, new, _ = MUTATIONS[number - 1]
            killed += result.result()
            verdict = "killed" if result.result() else "SURVIVED"
            print(f"{number:2}  {verdict:8}  {file}: {old}  ->  {new}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{killed} of {len(found)} mutations were noticed; {minutes:.0f} minutes")
    return int(killed < len(found) - 2)


if __name__ == "__main__":
    sys.exit(main())
