"""A trained network as ONNX, a file format that ONNX Runtime and many other programs read.

The names of operators and attributes are those of https://onnx.ai/onnx/operators/. Pictures are
(n, channels, height, width) there.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from network.layers import (
    SIDE,
    Arrays,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool,
    Picture,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
)
from network.sequential import INPUT, Network, by_layer, parameter_names, text_of
from results.loading import load_model
from results.model_files import Trained
from runtime import storage
from runtime.command_line import UserError, say

# Older versions lack nothing that the layers need, and more programs read them.
OPSET, IR_VERSION = 9, 4
INPUT_NAME, OUTPUT_NAME = "image", "outputs"
PIXELS = (
    f"{SIDE}x{SIDE} pixels, upright, white ink on black, divided by 255, row by row from the top, "
    "each row from the left"
)
TRANSPOSED = (
    "; the data set held images with rows and columns swapped, and training swapped them back: "
    "swap those of such images too"
)


class Operator(NamedTuple):
    """An ONNX operator. constants: its inputs after the first, if they are no W and B."""

    kind: str
    attributes: Mapping[str, Any] = {}
    constants: Mapping[str, np.ndarray] = {}


def _of_max_pool(layer: MaxPool) -> Operator:
    sides = [layer.side, layer.side]
    return Operator("MaxPool", {"kernel_shape": sides, "strides": sides})


# The operator of each layer; None: in prediction the layer changes nothing. Opset 9 has W and B in
# the order and shapes of this program, except that B is (units,).
OPERATORS: dict[type[Layer], Callable[[Any], Operator | None]] = {
    Dense: lambda layer: Operator("Gemm"),
    Conv: lambda layer: Operator("Conv"),
    MaxPool: _of_max_pool,
    # A size of 0 keeps the n of the input.
    Picture: lambda layer: Operator(
        "Reshape", {}, {"shape": np.array([0, 1, SIDE, SIDE], np.int64)}
    ),
    Flatten: lambda layer: Operator("Flatten"),
    Dropout: lambda layer: None,
    Sigmoid: lambda layer: Operator("Sigmoid"),
    Tanh: lambda layer: Operator("Tanh"),
    Relu: lambda layer: Operator("Relu"),
    Softmax: lambda layer: Operator("Softmax", {"axis": 1}),
}


def as_onnx(trained: Trained, transposed: bool = False) -> bytes:
    """The content of an ONNX file: input `image` (n, 784), output `outputs` (n, k), float32.

    float64 parameters are rounded. transposed: whether training swapped rows and columns of the
    images. Raises UserError if onnx is missing, if a layer has no operator, or if a
    parameter is too large for float32.
    """
    try:
        from onnx import TensorProto, ValueInfoProto, helper, numpy_helper
    except ImportError as error:
        raise UserError(
            f"--export needs the package onnx ({error}): install it with {sys.executable} -m pip "
            "install onnx"
        ) from None
    with np.errstate(over="ignore"):
        parameters = tuple(array.astype(np.float32) for array in trained.parameters)
    if not all(np.isfinite(array).all() for array in parameters):
        raise UserError("--export: the network has parameters that are too large for float32")
    nodes, constants = _nodes_of(trained.network, parameters)

    def rows(name: str, size: int) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])

    graph = helper.make_graph(
        nodes,
        "network",
        [rows(INPUT_NAME, *INPUT)],
        [rows(OUTPUT_NAME, len(trained.digits))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    about = {
        "classes": json.dumps(trained.names()),
        "pixels": PIXELS + TRANSPOSED * transposed,
        "network": text_of(trained.network),
    }
    helper.set_model_props(model, about)
    return model.SerializeToString()


def _nodes_of(network: Network, parameters: Arrays) -> tuple[list, dict[str, np.ndarray]]:
    """The nodes of a network, one for each layer that needs one, and their constants by name.

    Raises UserError if a layer has no operator.
    """
    from onnx import helper

    names, by_place = iter(parameter_names(len(parameters))), by_layer(network, parameters)
    nodes, value = [], INPUT_NAME
    constants: dict[str, np.ndarray] = {}
    for place, layer in enumerate(network):
        if type(layer) not in OPERATORS:
            raise UserError(f"--export: results/export.py has no operator for `{layer.word}`")
        operator = OPERATORS[type(layer)](layer)
        if operator is None:
            continue
        arrays = {f"{name}_{place}": array for name, array in operator.constants.items()}
        if layer.learns:
            W, B = by_place[place]
            arrays = {next(names): W, next(names): B[0]}
        constants |= arrays
        inputs, value = [value, *arrays], f"{layer.word}_{place}"
        nodes.append(helper.make_node(operator.kind, inputs, [value], value, **operator.attributes))
    nodes[-1].output[0] = OUTPUT_NAME
    return nodes, constants


def save(model_dir: str, file: str) -> None:
    """Write the network in a model folder to an ONNX file.

    Raises UserError if the model cannot be read, the file not be written, or onnx is missing.
    """
    storage.check_writable(os.path.dirname(file) or ".")
    trained, run = load_model(model_dir)
    transposed = bool(run["settings"].get("transpose"))
    storage.write(file, as_onnx(trained, transposed))
    say(f"saved {file}")
