"""The page network.html: the trained network in one file, to draw on and to look inside.

Its parts, JavaScript, CSS and HTML, lie in page/ beside this module and are put together here. The
page fetches nothing, and its Content-Security-Policy allows nothing but what is in it.
"""

import base64
import dataclasses
import hashlib
import json
import re
import string
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from images import offline_digits
from network.explain import maps, value_names
from network.sequential import Network, input_shapes, parameter_names, text_of
from results.doubt import Doubt
from results.model_files import Trained
from runtime import storage

PAGE = "network.html"
FIRST, WORST = 100, 50  # test images on the page: so many of the first, and of the largest error
MOST_PARAMETERS = 4_000_000  # 21 MB of text
MOST_RATE = 1000  # that the page's field for it takes
# A module comes after those that it imports.
MODULES = ("mathematics", "doubt", "digit", "pictures", "chain", "reduce", "main")


def why_not(trained: Trained) -> str | None:
    """What keeps a network off the page, in words; None if nothing does."""
    for layer in trained.network:
        if layer.word not in kinds():
            return f"it cannot show layers of the kind {layer.word}"
    numbers = sum(array.size for array in trained.parameters)
    if numbers > MOST_PARAMETERS:
        return f"it can hold {MOST_PARAMETERS:,} parameters, and this network has {numbers:,}"
    return None


def rate_of(settings: dict[str, Any]) -> float:
    """The first rate of the page's own steps: that of the run, if its optimizer was sgd."""
    rate = settings.get("learning_rate")
    if settings.get("optimizer", "sgd") != "sgd" or not isinstance(rate, int | float):
        return 0.1
    return float(rate) if 0 < rate <= MOST_RATE else 0.1


def save(
    folder: str,
    trained: Trained,
    first: Sequence,
    worst: Sequence,
    data: str,
    alpha: float,
    limits: Doubt,
) -> None:
    """Write network.html.

    first, worst: answers with x (784,) in [0, 1], Y and truth. data: the test set's name. alpha:
    the rate of the page's own steps. limits: what makes an answer unsure. Raises UserError if it
    cannot be written.
    """
    names = parameter_names(len(trained.parameters))
    parameters = zip(names, trained.parameters, strict=True)
    content = {
        "name": data,
        "offline": data == offline_digits.NAME,
        "digits": trained.names(),
        "network": text_of(trained.network),
        "layers": layers_of(trained.network),
        "values": value_names(trained.network),
        "maps": maps_of(trained.network),
        "parameters": {name: _text(array.astype("<f4")) for name, array in parameters},
        "bytes": trained.parameters[0].itemsize,
        "alpha": alpha,
        "limits": {
            name: _text(value.astype("<f4")) if isinstance(value, np.ndarray) else value
            for name, value in limits._asdict().items()
        },
        "images": [
            {
                "pixels": _text(np.rint(answer.x * 255).astype(np.uint8)),
                "truth": answer.truth,
                "answer": int(answer.Y.argmax()),
            }
            for answer in (*first, *worst)
        ],
        "first": len(first),
        "history": [list(epoch[:3]) for epoch in trained.history if np.isfinite(epoch[:3]).all()],
    }
    storage.write(storage.join(folder, PAGE), page(content).encode())


def layers_of(network: Network) -> list[dict[str, Any]]:
    """Each layer's kind, its own numbers, one image's shapes before and after, its parameters."""
    names, shapes = iter(parameter_names(2 * len(network))), input_shapes(network)
    return [
        {
            "kind": layer.word,
            **dataclasses.asdict(layer),
            "input": before,
            "output": after,
            "parameters": [next(names), next(names)] if layer.learns else [],
        }
        for layer, before, after in zip(network, shapes, shapes[1:], strict=False)
    ]


def maps_of(network: Network) -> list[dict[str, Any]]:
    """Each map's layer, its formula as the README writes it, its tuple, and what of that is new."""
    chain, known = [], {"x", "y*", "E", "Acc", "1"}
    for place, back, computed, after in maps(network):
        formula = re.sub(r" \* (?=\w+'\()", " · ", computed.replace("^T", "ᵀ"))
        names = [name for name, _ in after]
        new = [name for name in names if name not in known]
        if back and network[place].learns:  # here mathematics.js has dW and dB, not delta
            new = [name for name in new if re.fullmatch(r"d[WB]\d+", name)]
        chain.append({"l": place, "back": back, "formula": formula, "tuple": names, "draws": new})
        known |= set(new)
    return chain


def page(content: dict[str, Any]) -> str:
    """The page as text. What `content` says cannot become markup: no `<` is left in it."""
    style = _part("page.css")
    # In one file the modules share one scope, and need not import from each other.
    script = "\n".join(
        re.sub(r"^import [^;]*;\n|^export ", "", _part(f"{name}.js"), flags=re.MULTILINE)
        for name in MODULES
    )
    return string.Template(_part("page.html")).substitute(
        policy="default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(script)}; style-src {_hash(style)}",
        style=style,
        script=script,
        content=json.dumps(content, allow_nan=False).replace("<", "\\u003c"),
    )


def kinds() -> set[str]:
    """The layers that mathematics.js can compute: the names in its table KINDS."""
    _, _, table = _part("mathematics.js").partition("export const KINDS = {\n")
    return set(re.findall(r"^  (\w+):", table.partition("\n};")[0], re.MULTILINE))


def _part(name: str) -> str:
    return resources.files("pictures").joinpath("page", name).read_text("utf-8")


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
