"""The program's own modules in one zip: what executors get, and drivers in cluster mode."""

import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def installed_as_zip() -> bool:
    """Whether the program itself runs from such a zip: then all executors have it already."""
    return not ROOT.is_dir()


def pack(archive: Path | str) -> None:
    """Write the zip: the files at the top level and the packages beside them."""
    files = [*ROOT.glob("*.py")]
    for package in ROOT.glob("*/__init__.py"):
        files += package.parent.rglob("*")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as modules:
        for file in sorted(files):
            if file.is_file() and "__pycache__" not in file.parts:
                modules.write(file, file.relative_to(ROOT))
