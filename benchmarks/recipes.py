"""What test accuracy the recipes reach, and how much the seed matters.

    python benchmarks/recipes.py --data FOLDER_OF_MNIST         2 hours; --only WORD for less

Each row has only these arguments, and defaults for all else. A round is a seed, from 1. The
defaults were chosen on a validation share of the training set. On ten digits, `partitions` also
stands for `maps`: it takes the same step with other mini-batches.
"""

import statistics
from dataclasses import replace

import measure

import data_loader
import predict
import train
from training.recipes import IN_PARTITION
from training.settings import from_command_line

TYPED = [
    "",
    "--digits all --strategy partitions",
    "--digits all --strategy averaging",
    "--digits all --network mlp",
    "--digits all --network lenet",
    "--digits all --network cnn",
]


def spread(values: list[float], word: str = "") -> dict[str, float]:
    ends = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {f"{end}{word}": value for end, value in ends.items()}


def reached(spark, place: str, typed: str, seeds: int) -> tuple[int, list[dict[str, float]]]:
    """The number of epochs of a recipe, and what each seed reaches."""
    settings, _ = from_command_line(typed.split())
    sizes, digits = IN_PARTITION[settings.strategy], settings.digits
    split = data_loader.load(spark, place, "train", digits, settings.partitions, sizes)
    test = data_loader.load(spark, place, "test", digits)
    runs = []
    for seed in range(1, seeds + 1):
        trained = train.train_network(split, replace(settings, seed=seed))
        scores, last = predict.evaluate(trained, test), trained.history[-1]
        names = ("precision", "recall", "f1")
        worst = min(one[name] for one in scores["classes"].values() for name in names)
        run = {"cost at the end": last.cost, "training accuracy": last.accuracy}
        runs.append({**run, "test accuracy": scores["accuracy"], "least of P, R, F1": worst})
    split.blocks.unpersist()
    return settings.epochs, runs


def main() -> None:
    parser = measure.arguments(__doc__, rounds=10)
    parser.add_argument("--only", default="", help="only rows that contain this word")
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    rows, seeds = [], []
    with measure.spark("recipes") as spark:
        for typed in (typed for typed in TYPED if options.only in typed):
            epochs, runs = reached(spark, place, typed, options.rounds)
            row = {"typed": f"`{typed}`" if typed else "nothing", "epochs": epochs}
            row |= {"seeds": len(runs)}
            row |= spread([run["test accuracy"] for run in runs], " accuracy")
            rows.append({**row, "runs": runs})
            print(row, flush=True)
            if typed == "":
                for name in runs[0]:
                    seeds.append({"the default run": name, **spread([run[name] for run in runs])})
    measure.save(options, "recipes", rows, seeds=seeds)


if __name__ == "__main__":
    main()
