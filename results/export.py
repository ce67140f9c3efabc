"""A trained network as ONNX, a file format that ONNX Runtime and many other programs read.

The names of operators and attributes are those of https://onnx.ai/onnx/operators/. Pictures are
(n, channels, height, width) there.
"""

import json
import os
import sys
from typing import Any

import numpy as np

from network.layers import SIDE, Arrays, Layer, MaxPool, Softmax
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


# The operator of each layer, by its word; None: in prediction the layer changes nothing. Opset 9
# has W and B in the order and shapes of this program, except that B is (units,).
OPERATORS = {
    "dense": "Gemm",
    "conv": "Conv",
    "maxpool": "MaxPool",
    "picture": "Reshape",
    "flatten": "Flatten",
    "dropout": None,
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "softmax": "Softmax",
}
PICTURES = np.array([0, 1, SIDE, SIDE], np.int64)  # a size of 0 keeps the n of the input


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
        if layer.word not in OPERATORS:
            raise UserError(f"--export: results/export.py has no operator for `{layer.word}`")
        operator = OPERATORS[layer.word]
        if operator is None:
            continue
        arrays = {}  # the operator's inputs after the first
        if layer.learns:
            W, B = by_place[place]
            arrays = {next(names): W, next(names): B[0]}
        if operator == "Reshape":
            arrays = {f"shape_{place}": PICTURES}
        constants |= arrays
        inputs, value = [value, *arrays], f"{layer.word}_{place}"
        attributes = _attributes_of(layer)
        nodes.append(helper.make_node(operator, inputs, [value], value, **attributes))
    nodes[-1].output[0] = OUTPUT_NAME
    return nodes, constants


def _attributes_of(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, MaxPool):
        sides = [layer.side, layer.side]
        return {"kernel_shape": sides, "strides": sides}
    return {"axis": 1} if isinstance(layer, Softmax) else {}


def save(model_dir: str, file: str) -> None:
    """Write the network in a model folder to an ONNX file.

    Raises UserError if the model cannot be read, the file cannot be written, or onnx is missing.
    """
    storage.check_writable(os.path.dirname(file) or ".")
    trained, run = load_model(model_dir)
    transposed = bool(run["settings"].get("transpose"))
    storage.write(file, as_onnx(trained, transposed))
    say(f"saved {file}")
