"""The program's own modules in one zip: what executors get, and drivers in cluster mode.

python -m runtime.modules modules.zip       writes it, for `spark-submit --py-files modules.zip`
"""

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from runtime.command_line import Parser, exit_status

ROOT = Path(__file__).parent.parent


def installed_as_zip() -> bool:
    """Whether the program itself runs from such a zip: then all executors have it already."""
    return not ROOT.is_dir()


def pack(archive: Path) -> None:
    """Write the zip: the files at the top level and the packages beside them."""
    files = [*ROOT.glob("*.py")]
    for package in ROOT.glob("*/__init__.py"):
        files += package.parent.rglob("*")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as modules:
        for file in sorted(files):
            if file.is_file() and "__pycache__" not in file.parts:
                modules.write(file, file.relative_to(ROOT))


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Write the zip that the arguments name; returns 0."""
    parser = Parser(prog="python -m runtime.modules", description="Pack the program's modules.")
    parser.add_argument("archive", type=Path, metavar="ZIP", help="the file to write")
    options = parser.parse_args(argv)
    try:
        pack(options.archive)
    except OSError as error:
        parser.error(f"cannot write {options.archive}: {error.strerror}")
    print(f"wrote {options.archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
