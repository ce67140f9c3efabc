"""Going on where a run was: the same bits as a run that nothing interrupted, or a refusal."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from network.sequential import initial_parameters, parameter_names, read
from results import checkpoints, claim, doubt, model_files
from results.loading import load_model
from runtime import storage
from runtime.command_line import UserError
from training.optimizers import OPTIMIZERS
from training.settings import from_command_line, saved_settings

ROOT = Path(train.__file__).parent
EPOCHS = 5


@pytest.fixture(scope="module")
def wholes() -> dict[tuple, Path]:
    """The folders of runs in one go, by their words: several tests compare with the same one."""
    return {}


@pytest.fixture
def whole(run, wholes, tmp_path_factory):
    """The folder of a run in one go."""

    def start(*words) -> Path:
        if words not in wholes:
            wholes[words] = tmp_path_factory.mktemp("whole")
            assert run(wholes[words], *words)[0] == 0
        return wholes[words]

    return start


@pytest.fixture
def run(spark, small_mnist, tmp_path, capsys, without_figures):
    """Call train.main in the suite's Spark, into a model folder; gives status and what it said."""

    def start(folder: str, *words) -> tuple[int, str, str]:
        places = ["--data", small_mnist, "--model-dir", folder, "--plots-dir", tmp_path / "plots"]
        shape = ["--hidden", 6, "--epochs", EPOCHS, "--checkpoint-every", 1]
        capsys.readouterr()
        status = train.main([str(word) for word in (*places, *shape, *words)])
        return status, *capsys.readouterr()

    return start


def content(folder: str | Path, name: str = "parameters.npz") -> bytes:
    return (Path(str(folder).removeprefix("file://")) / name).read_bytes()


def history(folder: str | Path) -> list[str]:
    """The lines of history.csv without the seconds."""
    return [line.rpartition(",")[0] for line in content(folder, "history.csv").decode().split()]


def same_end(one: str | Path, other: str | Path) -> bool:
    names = "parameters.npz", "doubt.npz"
    same = [content(one, name) == content(other, name) for name in names]
    return all(same) and history(one) == history(other)


@pytest.mark.parametrize(
    ("strategy", "optimizer"),
    [("maps", "adam"), ("partitions", "momentum"), ("averaging", "adam")]
    + [pytest.param("partitions", other, marks=pytest.mark.long) for other in ("sgd", "adam")],
)
def test_a_resumed_run_ends_with_the_bits_of_one_in_one_go(
    run, whole, tmp_path, strategy, optimizer
):
    words = "--strategy", strategy, "--optimizer", optimizer, "--learning-rate", 0.05
    words += "--schedule", "constant"
    assert run(tmp_path / "parts", *words, "--epochs", 2)[0] == 0
    status, said, _ = run(tmp_path / "parts", *words, "--resume")
    assert status == 0
    assert f"continuing after epoch 2 of {tmp_path}/parts/checkpoint.npz" in said
    assert "epoch 3/5" in said and "epoch 2/5" not in said
    assert same_end(tmp_path / "parts", whole(*words))


@pytest.mark.long
def test_the_learning_rate_of_the_bold_driver_is_resumed_at_a_uri(run, whole, tmp_path):
    words = "--strategy partitions --bold-driver --learning-rate 2".split()
    for epochs in (3, EPOCHS):
        resumed = ["--epochs", epochs, "--resume"]
        assert run(f"file://{tmp_path}/parts", *words, *resumed)[0] == 0
    assert same_end(tmp_path / "parts", whole(*words))


@pytest.fixture
def breaks(monkeypatch):
    """Make the driver's step fail in an epoch, once it was called; returns how to arrange it."""
    original = OPTIMIZERS["sgd"]

    def in_epoch(number: int, break_down) -> None:
        def step(parameters, gradients, state, learning_rate, epoch):
            if epoch == number:
                break_down()
            return original(parameters, gradients, state, learning_rate, epoch)

        monkeypatch.setitem(OPTIMIZERS, "sgd", step)

    yield in_epoch


def power_cut():
    raise SystemExit("as if the power were cut")


@pytest.mark.parametrize(("every", "kept"), [(1, 3), (2, 2), (4, 0)])
def test_a_checkpoint_is_saved_every_so_many_epochs(run, whole, breaks, tmp_path, every, kept):
    breaks(4, power_cut)
    words = "--strategy", "partitions", "--checkpoint-every", every
    with pytest.raises(SystemExit):
        run(tmp_path / "parts", *words)
    breaks(0, power_cut)
    status, said, _ = run(tmp_path / "parts", *words, "--resume")
    assert status == 0 and f"epoch {kept + 1}/5" in said and f"epoch {kept}/5" not in said
    if kept == 0:
        assert f"no checkpoint in {tmp_path}/parts: starting with epoch 1" in said
    assert same_end(tmp_path / "parts", whole("--strategy", "partitions"))


def test_the_last_epoch_is_in_the_checkpoint_whatever_its_number(run, tmp_path):
    run(tmp_path, "--strategy", "partitions", "--checkpoint-every", 3)
    progress, told = checkpoints.load(str(tmp_path))
    assert len(progress.history) == told["settings"]["epochs"] == EPOCHS
    network = read(told["settings"]["network"], 2)
    saved = model_files.load_parameters(str(tmp_path), network)
    assert all((a == b).all() for a, b in zip(progress.parameters, saved, strict=True))
    assert told == json.loads(content(tmp_path, "settings.json"))


def test_a_run_that_is_complete_is_resumed_to_the_same_files(run, tmp_path):
    run(tmp_path, "--strategy", "partitions")
    before = content(tmp_path), history(tmp_path)
    (tmp_path / "parameters.npz").unlink()
    status, said, _ = run(tmp_path, "--strategy", "partitions", "--resume")
    assert status == 0 and "epoch 1/" not in said
    assert before == (content(tmp_path), history(tmp_path))


@pytest.fixture(scope="module")
def two_epochs(spark, small_mnist, tmp_path_factory) -> Path:
    """The folder of a run of two epochs of `partitions`."""
    folder = tmp_path_factory.mktemp("two_epochs")
    words = ["--data", small_mnist, "--model-dir", folder, "--plots-dir", folder]
    shape = "--hidden 6 --strategy partitions --epochs 2".split()
    assert train.main([*map(str, words), *shape]) == 0
    return folder


def told_of(words: str, **data) -> dict:
    """What settings.json says of a run of these arguments."""
    chosen = from_command_line(["--strategy", "partitions", "--hidden", "6", *words.split()])[0]
    about = {"name": "digits", "sha256": {"train-labels-idx1-ubyte": "01ab"}} | data
    return {"settings": saved_settings(chosen), "data": about, "images": 126}


@pytest.mark.parametrize(
    ("words", "differ"),
    [
        ("--learning-rate 0.2", ["--learning-rate was 0.1, is 0.2"]),
        ("--strategy averaging --schedule constant", ["--strategy was partitions, is averaging"]),
        ("--optimizer adam", ["--optimizer was sgd, is adam"]),
        ("--bold-driver", ["--bold-driver was False, is True"]),
        ("--weight-decay 0.5", ["--weight-decay was 0.0, is 0.5"]),
        ("--hidden 7", ["--hidden was 6, is 7"]),
        ("--seed 2", ["--seed was 1, is 2"]),
        ("--fraction 0.5", ["--fraction was 0.7, is 0.5"]),
        ("--batch-size 8", ["--batch-size was 32, is 8"]),
        ("--partitions 4", ["--partitions was None, is 4"]),
        ("--dtype float64", ["--dtype was float32, is float64"]),
        ("--shift 1", ["--shift was 0, is 1"]),
        ("--validation 0.1", ["--validation was 0.0, is 0.1"]),
        ("--digits 3 4", ["--digits was 0 1, is 3 4"]),
        ("--seed 2 --optimizer adam", ["--optimizer was sgd, is adam", "--seed was 1, is 2"]),
        ("--epochs 60 --checkpoint-every 7 --model-dir m --plots-dir p --data other --resume", []),
    ],
)
def test_what_differs_between_two_runs_is_told(words, differ):
    found = checkpoints.differences(told_of(""), told_of(words))
    assert [text for text in found if text in differ] == differ
    assert bool(found) == bool(differ)


def test_other_data_is_another_run_by_its_content_or_without_hashes_by_its_name():
    def differences(one: dict, other: dict) -> list[str]:
        return checkpoints.differences(told_of("", **one), told_of("", **other))

    other = {"train-labels-idx1-ubyte": "01ac"}
    assert differences({}, {"sha256": other}) == ["its data was digits, with other content"]
    assert differences({}, {"name": "the same, moved", "place": "elsewhere"}) == []
    assert differences({"sha256": {}}, {"sha256": {}}) == []
    assert differences({"sha256": {}}, {"sha256": {}, "name": "others"}) != []
    fewer = told_of("") | {"images": 125}
    assert checkpoints.differences(told_of(""), fewer) != []


def test_a_run_of_other_settings_is_refused_and_changes_nothing(run, tmp_path, two_epochs):
    shutil.copytree(two_epochs, tmp_path, dirs_exist_ok=True)
    before = content(tmp_path, "checkpoint.npz"), content(tmp_path)
    other = "--seed 2 --optimizer adam".split()
    status, said, error = run(tmp_path, "--strategy", "partitions", "--resume", *other)
    assert status == 1 and "epoch 3" not in said
    assert error.startswith(
        f"error: --resume: {tmp_path}/checkpoint.npz comes from a different run: "
    )
    assert "--learning-rate was 0.1, is 0.01; --optimizer was sgd, is adam; --seed was 1" in error
    assert error[:-1].isprintable()
    assert before == (content(tmp_path, "checkpoint.npz"), content(tmp_path))


def test_fewer_epochs_than_were_run_are_refused(run, tmp_path):
    run(tmp_path, "--strategy", "partitions", "--epochs", 3)
    _, _, error = run(tmp_path, "--strategy", "partitions", "--epochs", 2, "--resume")
    assert error == f"error: --epochs 2: {tmp_path}/checkpoint.npz has 3 epochs already\n"


def test_where_the_rate_falls_to_the_last_epoch_their_number_has_to_stay(run, tmp_path):
    words = "--strategy", "averaging", "--schedule", "linear"
    assert run(tmp_path, *words, "--epochs", 2)[0] == 0
    _, _, error = run(tmp_path, *words, "--epochs", 3, "--resume")
    assert "comes from a different run: --epochs was 2, is 3; " in error
    assert run(tmp_path, *words, "--epochs", 2, "--resume")[0] == 0


def test_the_same_data_may_have_moved(run, tmp_path, small_mnist):
    (tmp_path / "moved").symlink_to(small_mnist)
    run(tmp_path, "--strategy", "partitions", "--epochs", 2)
    words = ["--strategy", "partitions", "--resume", "--data", tmp_path / "moved"]
    assert run(tmp_path, *words)[0] == 0


def test_other_versions_than_those_of_the_checkpoint_are_told(run, tmp_path, monkeypatch):
    run(tmp_path, "--strategy", "partitions", "--epochs", 2)
    now = model_files.versions() | {"numpy": "99.1"}
    monkeypatch.setattr(model_files, "versions", lambda: now)
    _, said, _ = run(tmp_path, "--strategy", "partitions", "--resume")
    assert f"note: saved with numpy {np.__version__}; this run uses numpy 99.1" in said


def test_who_starts_again_over_an_unfinished_run_is_told(run, breaks, tmp_path):
    breaks(4, power_cut)
    with pytest.raises(SystemExit):
        run(tmp_path, "--strategy", "partitions")
    breaks(0, power_cut)
    _, said, _ = run(tmp_path, "--strategy", "partitions")
    assert f"{tmp_path}/checkpoint.npz, of a run that stopped after epoch 3 of 5" in said
    _, said, _ = run(tmp_path, "--strategy", "partitions")
    assert "of a run that stopped" not in said, "that one was complete"


@pytest.mark.long
def test_who_scores_beside_an_unfinished_run_is_told_which_of_the_two(
    run, breaks, tmp_path, capsys
):
    folder = f"file://{tmp_path}/model"
    run(folder, "--strategy", "partitions")
    load_model(folder)
    assert capsys.readouterr().err == "", "there is only one"
    before = content(folder)
    breaks(3, power_cut)
    with pytest.raises(SystemExit):
        run(folder, "--strategy", "partitions", "--seed", 2)
    load_model(folder)
    (note,) = capsys.readouterr().err.splitlines()
    assert f"{folder}/checkpoint.npz belongs to an unfinished run (epoch 2 of 5)" in note
    assert f"this command uses {folder}/parameters.npz" in note
    assert content(folder) == before


def test_what_patience_kept_is_of_the_same_run_as_the_last_checkpoint(run, tmp_path, capsys):
    run(tmp_path, "--strategy", "partitions", "--learning-rate", 100, "--patience", 1)
    load_model(str(tmp_path))
    assert capsys.readouterr().err == ""
    progress, _ = checkpoints.load(str(tmp_path))
    pairs = zip(progress.parameters, progress.best, strict=True)
    assert not all(np.array_equal(last, best) for last, best in pairs), "that proves nothing"


def test_a_broken_checkpoint_beside_the_model_is_nobodys_concern(run, tmp_path, capsys):
    run(tmp_path, "--strategy", "partitions")
    (tmp_path / "checkpoint.npz").write_bytes(b"broken")
    load_model(str(tmp_path))
    assert capsys.readouterr().err == ""


def fill_disk(folder: Path):
    """From now on, there is no room for the next checkpoint."""
    (folder / "checkpoint.npz.tmp").symlink_to("/dev/full")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_whole(
    run, whole, breaks, tmp_path, monkeypatch
):
    monkeypatch.setattr(storage, "_temporary", lambda name: f"{name}.tmp")
    folder = str(tmp_path / "parts")
    breaks(3, lambda: fill_disk(tmp_path / "parts"))
    status, _, error = run(folder, "--strategy", "partitions")
    assert status == 1
    assert error.startswith(f"error: cannot write {folder}/checkpoint.npz: ")
    assert "No space left on device" in error and error[:-1].isprintable()
    assert len(checkpoints.load(folder)[0].history) == 2
    breaks(0, power_cut)
    assert run(folder, "--strategy", "partitions", "--resume")[0] == 0
    assert same_end(folder, whole("--strategy", "partitions"))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_may_not_be_written_ends_the_run_and_the_checkpoint_is_whole(
    run, breaks, tmp_path, unprivileged
):
    folder = tmp_path / "parts"
    with contextlib.ExitStack() as later:
        breaks(3, lambda: (folder.chmod(0o555), later.enter_context(unprivileged(folder))))
        status, _, error = run(folder, "--strategy", "partitions")
    folder.chmod(0o755)
    assert status == 1
    assert error.startswith(f"error: cannot write {folder}/")
    assert error.endswith(": Permission denied\n") and error[:-1].isprintable()
    assert len(checkpoints.load(str(folder))[0].history) == 2


@pytest.mark.long
def test_a_driver_that_is_killed_is_resumed_to_the_same_bits(run, small_mnist, tmp_path):
    words = ["--data", small_mnist, "--hidden", "6", "--strategy", "maps", "--optimizer", "adam"]
    command = [sys.executable, str(ROOT / "train.py"), *words, "--model-dir", "parts"]
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "--checkpoint-every", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    done = len(checkpoints.load(str(tmp_path / "parts"))[0].history)
    assert done >= 3
    choice = "--strategy", "maps", "--optimizer", "adam", "--epochs", done + 3
    assert run(tmp_path / "parts", *choice, "--resume")[0] == 0
    assert run(tmp_path / "whole", *choice)[0] == 0
    assert same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.long
@pytest.mark.parametrize("start", ["", "file://"], ids=["path", "URI"])
def test_a_run_that_was_cut_off_stops_when_it_finds_another_in_its_place(
    run, small_mnist, tmp_path, start
):
    folder = f"{start}{tmp_path}/parts"
    words = ["--data", small_mnist, "--hidden", "6", "--epochs", str(EPOCHS)]
    older = subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "train.py"), *words, "--model-dir", folder]
        + ["--checkpoint-every", "1", "--plots-dir", str(tmp_path / "older")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in older.stdout:
        if line.startswith("epoch 2/"):
            older.send_signal(signal.SIGSTOP)
            break
    status, _, error = run(folder)
    assert status == 1 and f"process {older.pid}, since" in error and "--resume" in error
    status, said, _ = run(folder, "--resume")
    assert status == 0 and f"taking over {folder} from the run on " in said
    names = {name for name in os.listdir(tmp_path / "parts") if not name.endswith(".tmp")}
    newest = content(folder, "history.csv"), content(folder, "checkpoint.npz"), content(folder)
    older.send_signal(signal.SIGCONT)
    _, error = older.communicate(timeout=120)
    assert older.returncode == 1
    assert error.startswith(f"error: {folder}: running.json of this run is missing")
    assert len(error.splitlines()) == 1
    assert set(os.listdir(tmp_path / "parts")) == names and not (tmp_path / "older").exists()
    assert newest == (
        content(folder, "history.csv"),
        content(folder, "checkpoint.npz"),
        content(folder),
    )
    assert run(tmp_path / "whole")[0] == 0
    assert same_end(folder, tmp_path / "whole")


def test_a_run_that_another_has_taken_over_writes_nothing_more(tmp_path):
    """The same in one process."""
    folder, told = str(tmp_path / "model"), {"settings": TOLD, "data": {}, "versions": {}}
    network = read(TOLD["network"], 2)
    progress = checkpoints.Progress(initial_parameters(network, 1), {}, [])
    trained = model_files.Trained(network, progress.parameters, [0, 1], [])
    with claim.held(folder, False) as older:
        saver = checkpoints.Saver(older, told, 1)
        with claim.held(folder, True) as newer:
            checkpoints.Saver(newer, told, 1).epoch_ended(progress)
            before = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
            for write in (
                lambda: saver.epoch_ended(progress),
                lambda: saver.run_ended(trained, doubt.fixed(2)),
                lambda: checkpoints.Saver(older, told, 1),
            ):
                with pytest.raises(UserError, match="this run stops and writes nothing more"):
                    write()
                after = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
                assert after == before


def test_new_parameters_do_not_lie_beside_the_scores_of_the_network_before(tmp_path):
    folder, told = str(tmp_path), {"settings": TOLD, "data": {}, "versions": {}}
    progress = checkpoints.Progress(initial_parameters(read(TOLD["network"], 2), 1), {}, [])
    trained = model_files.Trained(read(TOLD["network"], 2), progress.parameters, [0, 1], [])
    (tmp_path / "metrics.json").write_text("{}")
    with claim.held(folder, False) as own:
        saver = checkpoints.Saver(own, told, 1)
        saver.run_ended(trained, doubt.fixed(2))
        assert (tmp_path / "metrics.json").exists(), "the network is the same without an epoch"
        saver.epoch_ended(progress)
        saver.run_ended(trained, doubt.fixed(2))
        assert not (tmp_path / "metrics.json").exists()


TOLD = {"epochs": 2, "digits": [0, 1], "network": "dense 2, sigmoid, dense 2, sigmoid"}


def a_checkpoint(**changed) -> dict[str, np.ndarray]:
    """The arrays of a small checkpoint, some of them changed; None takes one away."""
    told = {"settings": TOLD, "data": {"sha256": {}, "name": "x"}, "versions": {}}
    initial = initial_parameters(read(TOLD["network"], 2), 1)
    arrays = {
        f"{kind}.{name}": array
        for kind in ("parameters", "velocity")
        for name, array in zip(parameter_names(4), initial, strict=True)
    }
    arrays["history"] = np.array([[1, 0.5, 0.5, 10, 0.1]])
    arrays["run"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    return {name: array for name, array in (arrays | changed).items() if array is not None}


def test_the_small_checkpoint_of_these_tests_is_one(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(model_files.npz(a_checkpoint()))
    progress, told = checkpoints.load(str(tmp_path))
    assert [array.shape for array in progress.parameters] == [(784, 2), (1, 2), (2, 2), (1, 2)]
    assert list(progress.state) == ["velocity"]
    assert progress.history == [model_files.Epoch(1, 0.5, 0.5, 10, 0.1)]
    assert told["settings"] == TOLD


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"<html>Please log in</html>",
        model_files.npz(a_checkpoint())[:-100],
        *(model_files.npz(a_checkpoint(**{name: None})) for name in a_checkpoint()),
        *(
            model_files.npz(a_checkpoint(**{name: np.zeros((3, 3), np.float32)}))
            for name in a_checkpoint()
        ),
        model_files.npz(a_checkpoint(run=np.frombuffer(b"[1, 2]", np.uint8))),
        model_files.npz(a_checkpoint(run=np.frombuffer(b'{"settings": []}', np.uint8))),
        model_files.npz(a_checkpoint(history=np.array([[1, 0.5]]))),
        model_files.npz(a_checkpoint(history=np.array(3.0))),
        model_files.npz(a_checkpoint(history=np.full((1, 5), np.nan))),
        model_files.npz(a_checkpoint(**{"parameters.B2": np.full((1, 2), np.nan, np.float32)})),
        model_files.npz(a_checkpoint(**{"other.W1": np.zeros(3)})),
    ],
    ids=itertools.count(),
)
def test_a_broken_checkpoint_is_refused_in_one_line(run, tmp_path, broken):
    place = tmp_path / "checkpoint.npz"
    place.write_bytes(broken)
    with pytest.raises(UserError) as caught:
        checkpoints.load(str(tmp_path))
    assert str(caught.value).startswith(f"{place}: ") and str(caught.value).isprintable()
    assert place.read_bytes() == broken


def test_a_run_that_does_not_resume_is_not_kept_by_a_broken_checkpoint(run, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"broken")
    assert run(tmp_path, "--resume", "--strategy", "partitions")[0] == 1
    assert run(tmp_path, "--strategy", "partitions")[0] == 0


def test_a_setting_that_a_version_lacks_is_off():
    run = {"settings": TOLD, "data": {"sha256": {"x": "1"}}, "images": 9}
    other = {**run, "settings": {**TOLD, "slow_momentum": 0.0, "transpose": False}}
    assert checkpoints.differences(other, run) == checkpoints.differences(run, other) == []
    other["settings"]["slow_momentum"] = 0.5
    assert checkpoints.differences(other, run) == ["--slow-momentum was 0.5, is None"]
