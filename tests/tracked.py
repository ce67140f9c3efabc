"""The project's own files, as apart from what a user has put beside them."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked(folder: Path = ROOT) -> set[str]:
    """The paths of the files that git tracks; outside a clone, of all files that are there."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    names = set(filter(None, listed.stdout.split("\0")))
    if "train.py" in names:  # else this is a folder within some other project's clone
        return {name for name in names if (folder / name).is_file()}
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
