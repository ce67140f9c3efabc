"""README.md and docs/: links lead somewhere, and what they name is there under that name."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracked import ROOT, tracked

import data_loader
import nn_math
import predict
import train
from cluster import hadoop_demo
from training import settings
from training.recipes import STRATEGIES
from training.settings import arguments

sys.path.append(str(ROOT / "benchmarks"))

import tables  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = {
    script.arguments().prog.split()[-1]: script.arguments
    for script in (settings, predict, data_loader, hadoop_demo)
}
PATH = r"(?:\.\./|\.|/)?[\w/-][\w/.-]*"
KINDS = "py|md|npz|json|csv|png|html|ipynb|sh|toml|txt|zip"
OPTION = r"(?<![\w-])--[a-z][\w-]*"
OF_OTHER_PROGRAMS = {
    "--deploy-mode",
    "--conf",
    "--py-files",
    "--properties",
    "--driver-memory",
    "--driver-java-options",
    "--allow-root",
    "--archives",
    "--master",
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(scope="module")
def files() -> set[str]:
    return tracked()


@pytest.fixture(scope="module")
def program(files) -> str:
    """The text of the program and of .gitignore, in which the files that it makes are named."""
    names = [name for name in files if name.endswith(".py") and not name.startswith("tests/")]
    return "\n".join((ROOT / name).read_text() for name in [*names, ".gitignore"])


def blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    prose = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", prose)


def commands(text: str) -> Iterator[list[str]]:
    """The words of each line in code blocks and of each span of code."""
    for block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line, comments=True)
    for span in spans(text):
        yield span.split()


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_files(text: str) -> set[str]:
    """What looks like the name of a file, as `model/history.csv`, or of a folder, as `docs/`."""
    found = re.findall(rf"(?<![\w*]){PATH}\.(?:{KINDS})(?![\w.])", text)
    return {*found, *re.findall(rf"(?<![\w/:.*]){PATH}/(?=\s|$)", text, re.MULTILINE)}


def missing(names: set[str], files: set[str], program: str) -> list[str]:
    """The names that neither a file nor a folder of the project has, nor what the program makes."""

    def is_there(name: str) -> bool:
        if name.endswith("/"):
            made = name.rstrip("/")
            if any(file.startswith(name) for file in files):
                return True
        else:
            made = Path(name).name
            if name in files or (name.startswith("/") and made in files):  # on another machine
                return True
        return re.search(rf"(?<![\w.]){re.escape(made)}(?![\w.])", program) is not None

    return sorted(name for name in names if not is_there(name))


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@each_page
def test_every_link_leads_to_a_file_of_the_project_and_to_a_heading_in_it(page, files):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert str(target.relative_to(ROOT.resolve())) in files, link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_every_file_named_is_there_or_made_by_the_program(page, files, program):
    text = page.read_text()
    names = named_files("\n".join([*blocks(text), *spans(text)]))
    assert missing(names, files, program) == []


@pytest.mark.parametrize("module", [train, predict, data_loader, nn_math])
def test_every_file_named_in_a_docstring_at_the_door_is_there(module, files, program):
    names = named_files(module.__doc__) - {"my_digit.png"}  # the user's
    assert missing(names, files, program.replace(module.__doc__, "")) == []


def test_names_that_are_nowhere_are_found_out(files, program):
    names = named_files("`x.py` docs/x.md model/parameter.npz nowhere/ /opt/none.py docs/ train.py")
    nowhere = ["/opt/none.py", "docs/x.md", "model/parameter.npz", "nowhere/", "x.py"]
    assert missing(names, files, program) == nowhere


def test_every_room_is_in_the_readme(files):
    rooms = {f"`{name.split('/')[0]}/`" for name in files if re.fullmatch(r"\w+/__init__.py", name)}
    readme = (ROOT / "README.md").read_text()
    assert rooms and [room for room in rooms if room not in readme] == []


@each_page
def test_every_make_target_named_is_in_the_makefile(page):
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    code = "\n".join([*blocks(page.read_text()), *spans(page.read_text())])
    named = re.findall(r"\bmake ([\w./-]+)", code)
    assert set(named) <= set(targets)


@each_page
def test_every_command_is_one_that_the_scripts_understand(page):
    for words in filter(None, commands(page.read_text())):
        demonstrations = {"run": settings, "cluster-demo": settings, "hadoop-demo": hadoop_demo}
        if words[0] == "make" and words[1:2] and words[1] in demonstrations:
            told = [word.partition("=")[2] for word in words if word.startswith("ARGS=")]
            parser = demonstrations[words[1]].arguments()
            _, rest = parser.parse_known_args(shlex.split(" ".join(told).strip('"')))
            arguments().parse_args(rest)
        for script in SCRIPTS.keys() & set(words):
            told = words[words.index(script) + 1 :]
            if "--" in told:  # before it are those of another program
                told = told[told.index("--") + 1 :]
            if told and "--help" not in told:
                SCRIPTS[script]().parse_args(told)


def with_commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


@each_page
def test_every_option_named_in_the_text_is_one_of_some_script(page):
    parsers = [parser for script in SCRIPTS.values() for parser in with_commands(script())]
    known = {option for parser in parsers for option in parser._option_string_actions}
    named = re.findall(OPTION, "\n".join(spans(page.read_text())))
    assert set(named) <= known | OF_OTHER_PROGRAMS


def measured(name: str) -> list[dict]:
    """The rows that the last benchmark of this name saved."""
    return json.loads((tables.RESULTS / f"{name}.json").read_text())["rows"]


@each_page
def test_the_measured_tables_are_those_of_the_last_benchmarks(page):
    assert tables.filled(page.read_text()) == page.read_text(), "run benchmarks/tables.py"


def test_the_readme_tells_the_speed_that_the_last_benchmark_measured():
    two, ten = (
        {row["an epoch of"]: row["median s"] for row in measured("epochs") if row["digits"] == k}
        for k in (2, 10)
    )
    readme = (ROOT / "README.md").read_text()
    for way in STRATEGIES:
        (row,) = re.findall(rf"^\| `{way}` \|.*$", readme, re.MULTILINE)
        assert f" {two[way]:.3f} / {ten[way]:.3f} s " in row


def test_the_readme_tells_how_much_faster_one_process_of_numpy_is():
    readme = " ".join((ROOT / "README.md").read_text().split())
    told = re.findall(r"([0-9.]+) times as long (?:as NumPy's )?for ([0-9,]+)", readme)
    ratios = {
        f"{row['images in the set']:,}": row["time / NumPy's"]
        for row in measured("scaling")
        if row["an epoch of"] == "partitions"
    }
    assert len(told) == 2
    assert [(f"{ratios[size]:.2f}", size) for _, size in told] == told
    assert min(ratios.values()) > 1


def test_the_readme_tells_the_accuracies_that_the_last_benchmark_measured():
    readme = (ROOT / "README.md").read_text()
    told = dict(re.findall(r"`(\w+)`(?: reaches)? (\d\d\.\d)%", readme))
    told |= dict(re.findall(r"^\| `(\w+)` \|.* (\d\d\.\d)% \|$", readme, re.MULTILINE))
    assert told.keys() == {"partitions", "averaging", "mlp", "lenet", "cnn"}
    for row in measured("recipes"):
        words = row["typed"].strip("`").split()
        if len(words) == 4:
            assert abs(float(told[words[-1]]) - 100 * row["median accuracy"]) < 0.1


@pytest.mark.long
def test_the_readmes_python_runs_where_mnist_was_never_downloaded(tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGES[0].read_text(), re.MULTILINE | re.DOTALL)
    no_network = {"https_proxy": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | no_network,
        capture_output=True,
        text=True,
    )
    assert "NOT MNIST" in done.stdout, done.stderr
    assert float(done.stdout.split()[-1]) > 0.97
