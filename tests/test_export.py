"""The ONNX file of a network: ONNX Runtime gives the same outputs, and needs nothing of Spark."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from from_outside import as_a_person
from PIL import Image
from test_foreign_files import a_run

import predict
from network import layers
from network.sequential import initial_parameters, outputs_of, read, text_of
from results import export, model_files
from results.loading import load_model
from results.model_files import Trained
from runtime.command_line import UserError
from training.recipes import NETWORKS

ROOT = Path(predict.__file__).parent
TEN = range(10)
EVERY_LAYER = (
    "dropout 0.1, conv 3 5, tanh, maxpool 5, conv 4 2, sigmoid, dropout 0.2, flatten, dense 9, "
    "relu, dense, softmax"
)
TEXTS = {
    **NETWORKS,
    "every layer": EVERY_LAYER,
    "one layer": "dense",
    "conv last": "conv 10 28, flatten, relu",
}


def network_of(text: str, dtype: str = "float32") -> Trained:
    """A network for ten digits with random parameters, the biases too."""
    network, rng = read(text, 10), np.random.default_rng(3)
    parameters = (
        array + rng.normal(0, 0.02, array.shape).astype(dtype)
        for array in initial_parameters(network, 1, dtype)
    )
    return Trained(network, tuple(parameters), list(TEN), [])


def kinds_of(parent: type[layers.Layer]) -> set[type[layers.Layer]]:
    """All kinds of layers below a class, in whichever way they are derived."""
    found = {kind for kind in parent.__subclasses__() if not inspect.isabstract(kind)}
    return found.union(*map(kinds_of, parent.__subclasses__()))


def answers(content: bytes, X: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content)
    return session.run(["outputs"], {"image": X.astype(np.float32)})[0]


@pytest.fixture(scope="module")
def thousand(ten_thousand) -> np.ndarray:
    """1,000 test images (1000, 784), pixels in [0, 1]."""
    return np.divide(ten_thousand[0][:1000], 255, dtype=np.float32)


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    """The folder of a small network for two digits, below the current folder."""
    monkeypatch.chdir(tmp_path)
    run = a_run()
    parameters = initial_parameters(read(run["settings"]["network"], 2), 1)
    model_files.save_parameters("model", parameters)
    model_files.save_json("model", "settings.json", run)
    return tmp_path / "model"


def test_every_layer_has_an_operator_and_is_in_these_tests():
    known = {kind for kind in kinds_of(layers.Layer) if kind.__module__ == layers.__name__}
    known -= {layers.Activation}  # what the activations share
    assert {kind.word for kind in known} == set(export.OPERATORS) >= set(layers.LAYERS)
    assert known == {type(layer) for layer in read(EVERY_LAYER, 10)}


def assert_same_outputs(trained: Trained, content: bytes, X: np.ndarray) -> None:
    theirs = answers(content, X)
    ours = outputs_of(trained.network, trained.parameters, X.astype(trained.parameters[0].dtype))
    assert theirs.dtype == np.float32 and ours.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(theirs.argmax(axis=1), ours.argmax(axis=1))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_onnx_runtime_gives_the_outputs_of_this_program(text, thousand):
    trained = network_of(text)
    content = export.as_onnx(trained)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    assert_same_outputs(trained, content, thousand)
    assert answers(content, thousand[:1]).shape == (1, 10)


def test_a_network_of_float64_becomes_one_of_float32(thousand):
    trained = network_of(EVERY_LAYER, "float64")
    assert_same_outputs(trained, export.as_onnx(trained), thousand)
    trained.parameters[0][0, 0] = 1e39
    with pytest.raises(UserError, match="too large for float32"):
        export.as_onnx(trained)


def test_a_layer_without_an_operator_is_named(monkeypatch):
    monkeypatch.delitem(export.OPERATORS, "tanh")
    with pytest.raises(UserError, match="no operator for `tanh`"):
        export.as_onnx(network_of(EVERY_LAYER))


def test_the_file_tells_its_classes_and_how_to_prepare_pixels():
    trained = network_of(NETWORKS["mlp"])._replace(classes=[f"class, {digit}" for digit in TEN])
    file = onnx.load_from_string(export.as_onnx(trained))
    assert (file.ir_version, file.opset_import[0].version) == (4, 9)
    (image,), (outputs,) = file.graph.input, file.graph.output
    for value, name, size in ((image, "image", 784), (outputs, "outputs", 10)):
        n, k = value.type.tensor_type.shape.dim
        assert (value.name, n.dim_param, k.dim_value) == (name, "n", size)
    assert [node.op_type for node in file.graph.node] == ["Gemm", "Relu", "Gemm", "Softmax"]
    about = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(about["classes"]) == trained.names()
    for words in ("28x28", "white ink on black", "divided by 255", "row by row"):
        assert words in about["pixels"]
    assert "swap" not in about["pixels"] and about["network"] == text_of(trained.network)


def test_the_command_writes_the_file_without_spark_or_java(model):
    (model / "pyspark.py").write_text("raise ImportError('an export must not ask for Spark')")
    done = subprocess.run(
        [sys.executable, str(ROOT / "predict.py"), "--export", "new/model.onnx"],
        env=as_a_person(PYTHONPATH=str(model), JAVA_HOME="/nowhere", PATH=""),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "saved new/model.onnx\n")
    assert os.listdir("new") == ["model.onnx"]


def test_a_network_of_turned_images_says_so(model, capsys):
    model_files.save_json("model", "settings.json", a_run(**{"settings.transpose": True}))
    assert predict.main(["--export", "model.onnx"]) == 0
    about = {entry.key: entry.value for entry in onnx.load("model.onnx").metadata_props}
    assert "rows and columns swapped" in about["pixels"]


def test_without_onnx_one_line_says_what_to_install(model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert predict.main(["--export", "model.onnx"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: --export needs the package onnx") and said.count("\n") == 1
    assert said.endswith(f"install it with {sys.executable} -m pip install onnx\n")
    assert not Path("model.onnx").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_model_is_read(tmp_path, capsys):
    (tmp_path / "file").touch()
    places = ["--model-dir", str(tmp_path / "none"), "--export", str(tmp_path / "file/model.onnx")]
    assert predict.main(places) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot write {tmp_path}/file: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digit.png", "--export", "model.onnx"], "--export takes no IMAGE"),
        (["--export", "model.onnx", "--json"], "--export takes no IMAGE, --data, --json"),
        (["--export", "model.onnx", "--show"], "--export takes no IMAGE"),
        (["--export", "model.onnx", "--no-page"], "--export takes no IMAGE"),
        (["--export", "model.onnx", "--data", "mnist"], "--export takes no IMAGE"),
        (["--export", "my_digit.png"], "'my_digit.png' does not end in .onnx"),
        (["--export"], "expected one argument"),
    ],
)
def test_odd_arguments_are_refused(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        predict.main(words)
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_the_python_of_the_documentation_runs_as_written(model, ten_thousand, capsys):
    """Both programs, ONNX Runtime's and NumPy's, give this program's answer."""
    assert predict.main(["--export", "model.onnx"]) == 0
    Image.fromarray(ten_thousand[0][7].reshape(28, 28)).save("my_digit.png")
    trained, _ = load_model("model")
    expected = predict.predict(trained, ten_thousand[0][7:8] / np.float32(255))
    text = (ROOT / "docs" / "export.md").read_text()
    programs = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(programs) == 2
    capsys.readouterr()
    for program in programs:
        names: dict = {}
        exec(program, names)
        np.testing.assert_allclose(names["outputs"], expected, rtol=0, atol=1e-5)
        assert capsys.readouterr().out.split()[0] == trained.names()[expected.argmax()]
