"""setup.sh: an environment that is broken is found and made anew; what is missing is named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def setup(folder: Path, *words: str) -> list[str]:
    """What ./setup.sh prints in a folder; it has to succeed."""
    done = subprocess.run(
        ["./setup.sh", *words], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.long
def test_a_broken_environment_is_made_anew_and_a_whole_one_is_left_alone(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "setup.sh", project)
    (project / "requirements.txt").write_text("pip\n")  # which is there
    installing = "setup: installing what requirements.txt names"
    first = setup(project)
    assert first[0].startswith("setup: making .venv with Python 3.")
    assert first[1].startswith(installing) and "fetches about" in first[1]
    assert setup(project) == []

    (project / ".venv/requirements.done").unlink()
    (again,) = setup(project)
    assert again.startswith(installing), "after an interrupted setup"

    def assert_made_anew():
        assert setup(project)[0].startswith("setup: .venv is broken")
        assert setup(project) == []

    next((project / ".venv").glob("lib/python*/site-packages/pip/__main__.py")).unlink()
    assert_made_anew()
    project = project.rename(tmp_path / "another name")
    assert_made_anew()
    (project / ".venv/bin/python").unlink()
    (project / ".venv/bin/python").symlink_to("/nowhere/python3")
    assert_made_anew()


@pytest.mark.long
def test_what_is_installed_already_is_not_counted_in_what_is_fetched(tmp_path):
    shutil.copy(ROOT / "setup.sh", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("pip\n")  # which is there
    _, whole = setup(tmp_path, "requirements-dev.txt")
    assert whole.endswith("requirements-dev.txt names into .venv; this fetches about 700 MB")
    (tmp_path / ".venv/requirements-dev.done").unlink()
    (rest,) = setup(tmp_path, "requirements-dev.txt")
    assert rest.endswith("requirements-dev.txt names into .venv; this fetches about 200 MB")


def run_without(package: str, script: str) -> subprocess.CompletedProcess:
    """A script in a Python whose import of a package fails as if it were not installed."""
    code = (
        "import runpy, sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"sys.argv = [{script!r}, 'shard', 'a', 'b']\n"
        f"sys.path[0] = {str(ROOT)!r}\n"
        f"runpy.run_path({str(ROOT / script)!r}, run_name='__main__')\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_program_that_imports_the_scripts_keeps_its_own_hook():
    code = "import sys; own = sys.excepthook; import runtime.packages; assert sys.excepthook is own"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("package", "script"),
    [("numpy", "train.py"), ("numpy", "predict.py"), ("numpy", "data_loader.py")]
    + [("scipy", "train.py")],
)
def test_a_package_that_is_missing_is_named_in_one_line(package, script):
    done = run_without(package, script)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: this Python ({sys.executable}) has no {package}: ")
    assert done.stderr.count("\n") == 1 and done.stdout == ""
