"""The page to look inside a network: put together, and then played with in real browsers."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import nn_math
import predict
import train
from images import offline_digits, own
from network.layers import LAYERS
from network.sequential import batch_tuple, initial_parameters, read
from pictures import page
from results import doubt, model_files
from results.answers import Answer
from results.model_files import Epoch, Trained
from runtime.command_line import UserError
from runtime.modules import pack

ROOT = Path(__file__).parent.parent
PARTS = ROOT / "pictures" / "page"
NASTY = "<img src=x onerror=alert(1)>"
CONVOLUTIONS = "conv 3 5, relu, maxpool 2, conv 4 3, tanh, maxpool 2, dense 9, relu, dense, softmax"
HISTORY = [Epoch(1, 0.3, 0.5, 100, 1.0), Epoch(2, 0.2, 0.9, 100, 1.0)]

in_browsers = pytest.mark.browser
# Where Playwright has no command for the other: fingers, colour schemes.
in_chromium = pytest.mark.parametrize("browser", ["chromium"], indirect=True)


def learned(few_images, text="dense 64, sigmoid, dense, sigmoid", steps=600) -> Trained:
    """A network for ten digits after some steps on the few images."""
    network = read(text, 10)
    X, y_true = few_images[0] / 255, np.eye(10)[few_images[1]]
    parameters = initial_parameters(network, 1, "float64")
    for step in range(steps):
        rows = np.arange(10 * step, 10 * step + 10) % len(X)
        _, *gradients, _, n = batch_tuple(network, parameters, X[rows], y_true[rows], (1,))
        parameters = moved(parameters, gradients, n, 2.0)
    return Trained(
        network, tuple(p.astype("float32") for p in parameters), list(range(10)), HISTORY
    )


def moved(parameters, gradients, n, alpha) -> tuple:
    """The parameters after a step; the gradients come from the last layer to the first, B and W."""
    by_layer = zip(gradients[1::2][::-1], gradients[::2][::-1], strict=True)
    flat = [gradient for pair in by_layer for gradient in pair]
    return tuple(p - alpha * g / n for p, g in zip(parameters, flat, strict=True))


def write(folder, trained, few_images, name="MNIST", alpha=0.1, limits=None) -> str:
    """network.html with 100 of the few images, and 50 more; returns where it is, as a URL."""
    X = few_images[0][:150].astype("float32") / 255
    images = zip(X, predict.predict(trained, X), few_images[1].tolist(), strict=False)
    answers = [Answer(x, Y, 0.0, truth) for x, Y, truth in images]
    limits = limits or doubt.fixed(len(trained.digits))
    page.save(str(folder), trained, answers[:100], answers[100:150], name, alpha, limits)
    return (folder / page.PAGE).as_uri()


@pytest.fixture(scope="module")
def trained(few_images) -> Trained:
    return learned(few_images)


@pytest.fixture(scope="module")
def limits(trained, few_images) -> doubt.Doubt:
    return doubt.fit(trained.network, trained.parameters, *few_images)


@pytest.fixture(scope="module")
def url(trained, limits, few_images, tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("page"), trained, few_images, limits=limits)


# --- without a browser -----------------------------------------------------------------------


def test_scoring_writes_the_page_unless_told_not_to(
    spark, small_mnist, without_figures, tmp_path, capsys
):
    places = ["--model-dir", str(tmp_path / "model"), "--plots-dir", str(tmp_path / "plots")]
    assert train.main(["--data", small_mnist, "--epochs", "2", *places]) == 0
    assert predict.main([*places, "--no-page"]) == 0
    assert not (tmp_path / "plots" / "network.html").exists()
    assert predict.main(places) == 0
    written = tmp_path / "plots" / "network.html"
    assert str(written) in capsys.readouterr().out
    assert 100_000 < written.stat().st_size <= 1_500_000
    assert len(re.findall(r'"pixels"', written.read_text())) > 60


def test_a_network_that_the_page_cannot_show_is_scored_as_before(
    spark, small_mnist, without_figures, tmp_path, capsys, monkeypatch
):
    places = ["--model-dir", str(tmp_path / "model"), "--plots-dir", str(tmp_path / "plots")]
    assert train.main(["--data", small_mnist, "--epochs", "1", *places]) == 0
    monkeypatch.setattr(page, "kinds", lambda: {"dense"})
    assert predict.main(places) == 0
    said = capsys.readouterr().out
    assert "no page of the network: it cannot show layers of the kind sigmoid" in said
    assert "accuracy" in said
    assert not (tmp_path / "plots" / "network.html").exists()


def test_a_network_too_large_for_a_page_gets_none():
    network = read("dense 6000, sigmoid, dense, sigmoid", 10)
    parameters = initial_parameters(network, 1)
    assert "4,770,010" in page.why_not(Trained(network, parameters, list(range(10)), []))


def test_the_page_knows_every_kind_of_layer_that_there_is():
    text = f"{CONVOLUTIONS.replace('dense 9', 'dropout 0.5, flatten, dense 9, sigmoid')}"
    network = read(text, 10)
    assert page.why_not(Trained(network, initial_parameters(network, 1), [], [])) is None
    assert page.kinds() == {*LAYERS, "picture"}


def test_the_history_is_read_as_it_was_written(tmp_path):
    assert model_files.load_history(str(tmp_path)) == []
    validated = [epoch._replace(validation_cost=0.5, validation_accuracy=0.25) for epoch in HISTORY]
    model_files.save_history(str(tmp_path), validated)
    assert model_files.load_history(str(tmp_path)) == validated
    model_files.save_history(str(tmp_path), HISTORY)
    read_back = model_files.load_history(str(tmp_path))
    assert [epoch[:5] for epoch in read_back] == [epoch[:5] for epoch in HISTORY]


@pytest.mark.parametrize(
    "text",
    [
        "epoch,cost\n1,2\n",
        "\xff",
        "epoch,cost,accuracy,batch_size,seconds\n1,nan,0,1,1\n",
        "a\n1,2",
    ],
)
def test_what_is_no_history_is_told_in_one_line(tmp_path, text):
    (tmp_path / "history.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="history.csv: not the history of a run"):
        model_files.load_history(str(tmp_path))


def test_the_parts_are_small():
    lines = {part.name: len(part.read_text().splitlines()) for part in PARTS.iterdir()}
    assert sum(lines.values()) <= 1210
    assert lines["mathematics.js"] <= 150


@pytest.mark.long
def test_the_page_is_made_from_a_zip_too(tmp_path):
    pack(tmp_path / "modules.zip")
    program = "from pictures import page; print(len(page.page({})), page.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "modules.zip")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    length, file = done.stdout.split()
    assert int(length) > 30_000
    assert "modules.zip" in file


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({"learning_rate": 0.5}, 0.5),
        ({"learning_rate": 0.5, "optimizer": "adam"}, 0.1),
        ({}, 0.1),
        ({"learning_rate": "0.5"}, 0.1),
        ({"learning_rate": float("nan")}, 0.1),
        ({"learning_rate": float("inf")}, 0.1),
        ({"learning_rate": -(10**400)}, 0.1),
    ],
)
def test_the_pages_own_steps_begin_with_the_rate_of_the_run_if_it_is_one(settings, rate):
    assert page.rate_of(settings) == rate


def test_what_is_no_number_does_not_reach_the_page(few_images, tmp_path):
    """NaN and Infinity are no JSON, and a page with them would be dead."""
    odd = [Epoch(3, np.nan, 0.9, 100, 1.0), Epoch(4, 0.1, np.inf, 100, 1.0)]
    network = read("dense 4, sigmoid, dense, sigmoid", 10)
    parameters = initial_parameters(network, 1)
    write(tmp_path, Trained(network, parameters, list(range(10)), HISTORY + odd), few_images)
    text = (tmp_path / page.PAGE).read_text()
    content = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    history = json.loads(content, parse_constant=lambda name: pytest.fail(name))["history"]
    assert history == [[1, 0.3, 0.5], [2, 0.2, 0.9]]
    with pytest.raises(ValueError, match="JSON"):
        page.page({"alpha": np.nan})


def test_the_ready_page_is_of_the_default_run_on_mnist_and_up_to_date():
    text = (ROOT / "plots" / "reference" / page.PAGE).read_text()
    assert len(text) <= 600_000
    content = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert text == page.page(content), "run `make plots/reference/network.html`"
    network = read("dense 64, sigmoid, dense, sigmoid", 2)
    assert content["layers"] == json.loads(json.dumps(page.layers_of(network)))
    assert content["maps"] == page.maps_of(network)
    assert (content["name"], content["digits"], content["alpha"]) == ("MNIST", ["0", "1"], 0.1)
    assert len(content["history"]) == 50
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)  # a place on some machine


def test_what_is_in_the_data_cannot_become_markup():
    text = page.page({"name": "</script><img src=x onerror=alert(1)>"})
    assert "<img" not in text
    assert text.count("</script>") == 2


# --- in browsers -----------------------------------------------------------------------------

COMMANDS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
CHROMIUM_OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
# Playwright would set these, and Firefox's ESR does not know how.
AS_IT_IS = dict.fromkeys(("color_scheme", "reduced_motion", "forced_colors", "contrast"), "null")


@pytest.fixture(scope="module", params=COMMANDS)
def browser(request):
    """Each browser in turn, with an empty profile of its own."""
    found = [path for path in map(shutil.which, COMMANDS[request.param]) if path]
    if not found:
        reason = f"no {request.param} here; `make browsers` installs it on Debian and Ubuntu"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if request.param == "chromium":
            options = {"args": CHROMIUM_OPTIONS.split()}
        else:
            options = {"channel": "moz-firefox"}  # any Firefox, not only Playwright's own
        kind = getattr(playwright, request.param)
        browser = kind.launch(executable_path=found[0], timeout=120_000, **options)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens the page; in the end nothing else was asked for, and nothing went wrong."""
    contexts, asked, wrong = [], [], []

    def visit(url: str, width: int = 1440, **options):
        if browser.browser_type.name == "firefox":
            options = AS_IT_IS | options
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        tab.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
        tab.goto(url)
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert wrong == []


def sees(tab) -> np.ndarray:
    """The 784 pixels in the chain, 0 to 255."""
    pixels = tab.evaluate("() => Array.from(network.now().image.x)")
    return np.array(pixels) * 255


def relative_error(found, expected) -> float:
    """The largest difference, as a share of the largest number."""
    found = np.asarray(found).reshape(np.shape(expected))
    return np.abs(found - expected).max() / np.abs(expected).max()


@in_browsers
def test_outputs_are_those_of_predict(visit, url, trained, few_images):
    tab = visit(url)
    Y = tab.evaluate(
        "() => network.images.slice(0, 100).map(({ x }) =>"
        " Array.from(network.forward(network.layers, network.trained, x).at(-1)))"
    )
    X = (few_images[0][:100] / 255).astype("float32")
    expected = predict.predict(trained, X)
    np.testing.assert_allclose(Y, expected, atol=1e-5)
    for k in (3, 60):
        tab.click(f"#gallery button >> nth={k}")
        best, runner_up = np.argsort(-expected[k])[:2]
        said = tab.text_content("#answer")
        assert re.fullmatch(rf"The answer is {best} \(.*\), then {runner_up} \(.*\)\.", said)
        assert sees(tab) == pytest.approx(few_images[0][k], abs=1e-9)


@in_browsers
@pytest.mark.parametrize("text", ["dense 64, sigmoid, dense, sigmoid", CONVOLUTIONS])
def test_gradients_are_those_of_the_program(visit, few_images, tmp_path, text):
    started = learned(few_images, text, steps=1)
    tab = visit(write(tmp_path, started, few_images))
    sums = tab.evaluate(
        """() => {
            const { layers, trained, images, addImage, emptySums } = network;
            const text = (A) => {
                const bytes = Array.from(new Uint8Array(Float32Array.from(A).buffer));
                return btoa(bytes.map((byte) => String.fromCharCode(byte)).join(""));
            };
            return images.slice(0, 10).map((image) => {
                const { E, Acc, d } = addImage(emptySums(trained), layers, trained, image);
                const texts = Object.entries(d).map(([name, A]) => [name, text(A)]);
                return { E, Acc, d: Object.fromEntries(texts) };
            });
        }"""
    )
    exact = tuple(p.astype("float64") for p in started.parameters)
    for k, found in enumerate(sums):
        X, y_true = few_images[0][k : k + 1] / 255, np.eye(10)[few_images[1][k : k + 1]]
        E, *gradients, Acc, _ = batch_tuple(started.network, exact, X, y_true, (1,))
        assert found["E"] == pytest.approx(E, rel=1e-5)
        assert found["Acc"] == Acc
        learners = len(gradients) // 2
        names = [f"{kind}{number}" for number in range(learners, 0, -1) for kind in "BW"]
        for name, gradient in zip(names, gradients, strict=True):
            in_page = np.frombuffer(base64.b64decode(found["d"][name]), "<f4")
            assert relative_error(in_page, gradient) < 1e-5, (k, name)


@in_browsers
def test_steps_by_hand_are_those_of_numpy_and_reset_undoes_them(visit, url, trained, few_images):
    tab = visit(url)
    theta = nn_math.Parameters(*(p.astype("float64") for p in trained.parameters))
    X, y_true = few_images[0][:10] / 255, np.eye(10)[few_images[1][:10]]
    costs = []
    for _ in range(5):
        H_hat = X @ theta.W1 + theta.B1
        H = 1 / (1 + np.exp(-H_hat))
        Y = 1 / (1 + np.exp(-(H @ theta.W2 + theta.B2)))
        costs.append(((Y - y_true) ** 2).sum() / 20)
        dB2 = (Y - y_true) * Y * (1 - Y)
        dB1 = dB2 @ theta.W2.T * H * (1 - H)
        gradients = X.T @ dB1, dB1.sum(axis=0), H.T @ dB2, dB2.sum(axis=0)
        theta = nn_math.Parameters(
            *(a - 0.1 * d / 10 for a, d in zip(theta, gradients, strict=True))
        )
        tab.click("#step")
    found = tab.evaluate(
        "() => Object.entries(network.now().theta).map(([name, A]) => [name, Array.from(A)])"
    )
    for name, values in found:
        np.testing.assert_allclose(values, getattr(theta, name).ravel(), atol=1e-5)
    before, now = re.findall(r"cost (\S+),", tab.text_content("#outcome"))
    assert float(before) == pytest.approx(costs[-1], rel=0.01)
    assert float(now) < float(before)
    assert tab.locator("#moved").is_visible()
    tab.click("#reset")
    assert tab.evaluate("() => network.now().theta === network.trained")
    assert not tab.locator("#moved").is_visible()


@in_browsers
def test_fifty_steps_can_be_stopped(visit, url):
    tab = visit(url)
    tab.click("#many")
    tab.click("#stop")
    tab.locator("#stop[disabled]").wait_for()
    last = tab.text_content("#costs output")
    assert 1 <= int(re.search(r"step (\d+): ", last)[1]) < 50
    tab.wait_for_timeout(300)
    assert tab.text_content("#costs output") == last


@in_browsers
def test_a_curve_says_its_last_value_and_that_under_the_pointer(visit, url):
    tab = visit(url)
    for name, first, last in (("cost", "0.300", "0.200"), ("accuracy", "0.500", "0.900")):
        figure = tab.locator(f"#run figure:has-text('{name}')")
        assert figure.locator("output").text_content() == f"epoch 2: {last}"
        figure.locator("canvas").hover(position={"x": 5, "y": 20})
        assert figure.locator("output").text_content() == f"epoch 1: {first}"


@in_browsers
def test_the_sum_does_not_depend_on_the_partitions(visit, url):
    tab = visit(url)
    totals = []
    for partitions in ("1", "2", "8"):
        tab.select_option("#partitions", partitions)
        assert tab.locator("#parts > li").count() == int(partitions)
        assert tab.locator("#parts .thumb").count() == 10
        done, _, total = tab.text_content("#pile").partition(": ")
        assert done == f"Σ of {partitions} of {partitions} partitions"
        totals.append(total)
    assert len(set(totals)) == 1
    # 50,890 parameters and E, Acc, n, four bytes each
    assert "50,893 numbers, 203,572 bytes" in tab.text_content("#size")


def reduced(tab) -> tuple[int, list[int], int]:
    """How far the reduce has come: its step, the images in each partition, sums in the driver."""
    lines = tab.locator("#parts p").all_text_contents()
    in_partitions = [int(re.match(r"Σ of (\d+): ", line)[1]) for line in lines]
    in_driver = int(re.match(r"Σ of (\d+) of", tab.text_content("#pile"))[1])
    return int(tab.input_value("#at")), in_partitions, in_driver


@in_browsers
def test_the_reduce_can_be_played_stopped_and_stepped(visit, url):
    tab = visit(url)
    tab.select_option("#partitions", "3")
    whole = tab.text_content("#pile")
    assert reduced(tab) == (7, [3, 3, 4], 3)
    tab.locator("#at").fill("0")
    assert reduced(tab) == (0, [0, 0, 0], 0)
    for step in ((1, [1, 1, 1], 0), (2, [2, 2, 2], 0)):
        tab.click("#forth")
        assert tab.evaluate("() => document.getAnimations().length") == 3  # a tuple a partition
        tab.locator("#halt[disabled]").wait_for()
        assert reduced(tab) == step
    tab.click("#play")
    tab.wait_for_timeout(900)
    tab.click("#halt")
    stopped = reduced(tab)
    assert 2 < stopped[0] < 7
    tab.wait_for_timeout(900)
    assert reduced(tab) == stopped
    tab.click("#play")
    tab.locator("#halt[disabled]").wait_for()
    assert reduced(tab) == (7, [3, 3, 4], 3)
    assert tab.text_content("#pile") == whole
    tab.click("#play")  # from the beginning
    tab.click("#step")  # other parameters: the reduce is done
    assert reduced(tab) == (7, [3, 3, 4], 3)


@in_browsers
@in_chromium
def test_nothing_flies_for_those_who_want_no_motion(visit, url):
    tab = visit(url, reduced_motion="reduce")
    tab.click("#play")
    tab.wait_for_timeout(1000)
    assert tab.evaluate("() => document.getAnimations().length") == 0
    assert 0 < reduced(tab)[0] < 7


@in_browsers
def test_the_arrows_of_the_articles_network_are_the_readmes_maps(visit, few_images, tmp_path):
    network = read("dense 64, sigmoid, dense, sigmoid", 2)
    article = Trained(network, initial_parameters(network, 1), [0, 1], HISTORY)
    keep = few_images[1] < 2
    tab = visit(write(tmp_path, article, (few_images[0][keep], few_images[1][keep])))
    rows = re.findall(r"^\| (\d) \| (.*) \| (\(.*\)) \|$", (ROOT / "README.md").read_text(), re.M)
    assert [row[0] for row in rows] == list("12345678")
    arrows, tuples = tab.locator("#chain .arrow"), tab.locator("#chain .node p")
    assert (arrows.count(), tuples.count()) == (8, 9)
    assert tuples.first.text_content() == "(x, y*)"
    for arrow, after, row in zip(arrows.all(), tuples.all()[1:], rows, strict=True):
        number, computes, tuple_after = (text.replace("\\", "") for text in row)
        formula = computes.replace("E = 1/2 Σ (Y - y*)²", "E")
        assert arrow.text_content() == f"map {number}{formula}"
        assert after.text_content() == tuple_after
        arrow.click()
        panel = tab.locator("#chain .panel")
        assert panel.locator("h3").text_content() == f"map {number}: {formula}"
        assert panel.locator(".after").text_content() == f"gives {tuple_after}"
        assert " = " in panel.locator("output").first.text_content()  # the numbers of one unit
    arrows.last.click()
    assert not panel.is_visible()


@in_browsers
def test_the_chain_goes_right_and_back_left_and_down_on_a_phone(visit, url):
    places = "() => [...document.querySelectorAll('#chain .node')].map((e) => {"
    places += " const { left, top } = e.getBoundingClientRect(); return [left, top]; })"
    left, top = np.transpose(visit(url, width=1024).evaluate(places))
    assert (np.diff(left[:5]) > 0).all() and (np.diff(left[5:]) < 0).all()
    np.testing.assert_allclose(left[5:], left[3::-1], atol=2)  # a derivative stands under its value
    assert top[:5].max() < top[5:].min()
    left, top = np.transpose(visit(url, width=375).evaluate(places))
    assert np.ptp(left) == 0 and (np.diff(top) > 0).all()


@in_browsers
def test_an_arrow_shows_the_numbers_of_one_unit(visit, url, trained, few_images):
    tab = visit(url)
    tab.click("#gallery button >> nth=5")
    W1, B1, W2, B2 = trained.parameters
    x, y = few_images[0][5] / 255, np.eye(10)[few_images[1][5]]
    H_hat = x @ W1 + B1[0]
    Y = predict.predict(trained, x.astype("float32"))[0]
    tab.locator(".arrow").first.click()
    tab.locator(".panel .pick canvas").press("ArrowRight")
    unit = int(np.abs(H_hat).argmax()) + 1
    if unit % 8 == 0:  # the last of its row
        unit -= 1
    tab.locator(".panel .pick canvas").press("Enter")
    assert tab.text_content(".inside b").startswith(f"What goes into H^[{unit}] ")
    said = tab.text_content(".inside p").replace("\u2212", "-")
    numbers = [float(number) for number in re.findall(r"(?:sum of the products|B1|=) (\S+)", said)]
    np.testing.assert_allclose(numbers, [x @ W1[:, unit], B1[0, unit], H_hat[unit]], rtol=0.01)
    tab.locator(".arrow >> nth=4").click()
    said = tab.locator(".panel output").first.text_content().replace("\u2212", "-")
    k, dB2 = re.fullmatch(
        r"dB2\[(\d)\] = \(Y - y\*\) · sigmoid'\(Y\^\) = .* = (\S+)", said
    ).groups()
    expected = (Y - y) * Y * (1 - Y)
    assert int(k) == np.abs(expected).argmax()
    assert float(dB2) == pytest.approx(expected[int(k)], rel=0.01)


@in_browsers
def test_a_long_chain_has_an_arrow_for_the_maps_of_a_layer(visit, few_images, tmp_path):
    tab = visit(write(tmp_path, learned(few_images, CONVOLUTIONS, 1), few_images))
    arrows = tab.locator("#chain .arrow").all_text_contents()
    assert arrows == [
        *("maps 1\u20134picture, conv, relu, maxpool", "maps 5\u20138conv, tanh, maxpool, flatten"),
        *("maps 9\u201310dense, relu", "maps 11\u201312dense, softmax"),
        *("maps 13\u201314softmax, dense", "maps 15\u201316relu, dense"),
        *("maps 17\u201320flatten, maxpool, tanh, conv", "maps 21\u201323maxpool, relu, conv"),
    ]
    assert tab.locator("#chain").bounding_box()["height"] < 500
    tab.locator(".arrow").first.click()
    assert tab.locator(".panel h3").count() == 4
    tab.locator(".panel .pick canvas").click(position={"x": 20, "y": 20})
    assert re.match(r"What goes into H1\^\[0, \d+, \d+\]", tab.text_content(".inside b"))
    assert tab.locator(".inside canvas").count() == 3
    for arrow in tab.locator(".arrow").all()[1:]:
        arrow.click()
        units = tab.locator(".panel > div > .shown > figure output").all_text_contents()
        assert units and all(" = " in said for said in units)


@in_browsers
def test_outputs_are_strips_of_colour_with_the_number_on_demand(visit, url, trained, few_images):
    tab = visit(url, width=375)
    tab.click("#gallery button >> nth=7")
    X = (few_images[0][:10] / 255).astype("float32")
    Y = predict.predict(trained, X)
    strip = tab.locator("#outputs canvas").first
    levels = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 10, 1).data]"
    darkness = 1 - (np.array(strip.evaluate(levels))[::4] - 17) / (255 - 17)
    np.testing.assert_allclose(darkness, Y[7], atol=0.01)
    width = strip.bounding_box()["width"]
    strip.hover(position={"x": 4.5 * width / 10, "y": 5})
    assert tab.text_content("#outputs output") == f"output for 4 ({Y[7][4]:.3f})"
    tab.locator("#step").click()
    before, now = tab.locator("#compared figure").all()
    before.locator(".frame canvas").press("ArrowRight")
    row, digit = re.fullmatch(
        r"image (\d+), a \d: output for (\d) .*", before.locator("output").text_content()
    ).groups()
    number = float(before.locator("output").text_content().split()[-1])
    assert number == pytest.approx(Y[int(row) - 1][int(digit)], abs=0.001)
    assert now.locator(".beside canvas").count() == 10


@in_browsers
def test_an_example_is_drawn_already_and_the_first_stroke_replaces_it(visit, url, trained):
    tab = visit(url)
    answer = predict.predict(trained, sees(tab).reshape(1, 784) / 255).argmax()
    assert tab.text_content("h1") == "Draw a digit from 0 to 9"
    assert tab.text_content("#answer").startswith(f"The answer is {answer} (")
    assert tab.locator("#truths [aria-pressed=true]").text_content() == str(answer)
    assert not tab.locator("#no-truth").is_visible()
    draw(tab, strokes_of(1)[:1], size=0.3)
    drawn = sees(tab).reshape(28, 28) > 64
    assert drawn.any(axis=0).sum() < 15  # only the stroke
    assert tab.locator("#no-truth").is_visible()
    tab.click("#undo")
    assert tab.locator("#undo").is_disabled()


@in_browsers
def test_the_page_is_unsure_for_the_reasons_of_predict(
    visit, trained, limits, few_images, tmp_path
):
    strange = np.random.default_rng(1).integers(0, 256, (50, 784), np.uint8)
    images = np.concatenate([few_images[0][:100], strange]), few_images[1][:150]
    tab = visit(write(tmp_path, trained, images, limits=limits))
    X = (images[0] / 255).astype("float32")
    Y = predict.predict(trained, X)
    script = """() => network.images.map(({ x }) => {
        const Y = network.forward(network.layers, network.trained, x).at(-1);
        return network.distance(network.limits, x, Y.indexOf(Math.max(...Y)));
    })"""
    D = doubt.distances(limits, X, Y.argmax(axis=1))
    np.testing.assert_allclose(tab.evaluate(script), D, rtol=1e-5)
    said = set()
    for k in range(len(X)):
        reason = doubt.reason(limits, X[k : k + 1], Y[k], trained.names())
        kind = reason.rstrip("0123456789")
        if kind in said:
            continue
        said.add(kind)
        tab.click(f"#gallery button >> nth={k}")
        assert tab.locator("#unsure").is_visible() == bool(reason)
        assert not reason or tab.text_content("#unsure") == f"Unsure: {reason}."
    assert len(said) == 4


DOUBTFUL = {
    "ink at the edge of the picture": [[(0.4, 0.2), (0.4, 1.0)]],
    "several pieces of ink": [[(0.3, 0.2), (0.3, 0.8)], [(0.6, 0.2), (0.6, 0.8)]],
    "wider than a digit": [[(0.2, 0.4), (0.8, 0.5)]],
    "": [[(0.5, 0.2), (0.45, 0.8)]],
}


@in_browsers
@pytest.mark.parametrize("doubt", DOUBTFUL)
def test_a_drawing_is_doubted_as_own_images_doubts_a_picture_of_it(visit, url, tmp_path, doubt):
    tab = visit(url)
    draw(tab, DOUBTFUL[doubt], size=1, left=0, top=0)
    picture = tab.locator("#pad").evaluate("pad => pad.toDataURL()")
    (tmp_path / "drawn.png").write_bytes(base64.b64decode(picture.partition(",")[2]))
    assert own.read_digit(tmp_path / "drawn.png").doubt == doubt
    if doubt:
        assert tab.text_content("#unsure") == f"Unsure: {doubt}."
    else:
        assert tab.evaluate("() => network.now().image.doubt") == ""


# Digits as lines from point to point, in a square of side 100.
LINES = {
    0: "50,0 20,15 10,50 20,85 50,100 80,85 90,50 80,15 50,0",
    1: "35,20 55,0 50,100",
    2: "10,25 30,0 70,5 85,30 10,100 90,95",
    3: "15,5 70,0 80,25 40,45 85,70 60,100 10,90",
    4: "30,0 10,55 90,50 / 75,10 65,100",
    5: "80,0 25,5 20,40 70,50 80,80 50,100 10,90",
    6: "70,0 30,40 20,80 50,100 80,80 60,55 25,70",
    7: "10,5 90,0 40,100 / 30,50 80,50",
    8: "50,45 20,20 50,0 80,20 50,45 15,75 50,100 85,75 50,45",
    9: "80,30 50,50 20,25 50,0 80,25 70,100",
}
# Size, left and top as shares of the pad, and the pen.
PLACES = [
    (0.75, 0.12, 0.12, 0.12),
    (0.4, 0.5, 0.1, 0.16),
    (0.55, 0, 0.4, 0.08),
    (0.3, 0.3, 0.6, 0.2),
]


def strokes_of(digit) -> list[list[tuple[float, float]]]:
    return [
        [tuple(float(part) / 100 for part in point.split(",")) for point in stroke.split()]
        for stroke in LINES[digit].split("/")
    ]


def draw(tab, strokes, size=0.7, left=0.15, top=0.15) -> None:
    box = tab.locator("#pad").bounding_box()
    for stroke in strokes:
        for number, (x, y) in enumerate(stroke):
            tab.mouse.move(
                box["x"] + box["width"] * (left + size * x),
                box["y"] + box["height"] * (top + size * y),
            )
            if number == 0:
                tab.mouse.down()
        tab.mouse.up()


def difference(found, expected) -> float:
    """The mean difference of two images; where the centre of mass lies between two pixels, so that
    a breath decides which of them goes into the middle, either of them will do."""
    found, expected = found.reshape(28, 28), expected.reshape(28, 28).astype(float)
    centre = [(places * expected).sum() / expected.sum() for places in np.indices((28, 28))]
    shifts = [(-1, 0, 1) if abs(abs(place - 14) - 0.5) < 0.1 else (0,) for place in centre]
    return min(
        np.abs(np.roll(found, (down, right), (0, 1)) - expected).mean()
        for down in shifts[0]
        for right in shifts[1]
    )


@in_browsers
def test_a_drawing_is_seen_as_own_images_sees_a_picture_of_it(
    browser, visit, url, trained, tmp_path
):
    tab = visit(url)
    places = PLACES if browser.browser_type.name == "chromium" else PLACES[:1]
    differences, seen = [], []
    for digit in LINES:
        for size, left, top, pen in places:
            tab.locator("#pen").evaluate(f"element => {{ element.value = {pen}; }}")
            draw(tab, strokes_of(digit), size, left, top)
            picture = tab.locator("#pad").evaluate("pad => pad.toDataURL()")
            file = tmp_path / f"{digit}.png"
            file.write_bytes(base64.b64decode(picture.partition(",")[2]))
            seen.append((sees(tab), own.read_digit(file).pixels[0]))
            differences.append(difference(*seen[-1]))
            tab.click("#clear")
    assert len(differences) == 10 * len(places)
    assert max(differences) <= 6
    drawn, pictures = (np.stack(images) / 255 for images in zip(*seen, strict=True))
    answers = [predict.predict(trained, X).argmax(axis=1) for X in (drawn, pictures)]
    assert (answers[0] != answers[1]).sum() <= 1


@in_browsers
def test_undo_clear_and_the_truth_of_a_drawing(visit, url, few_images):
    tab = visit(url)
    tab.click("#clear")
    assert tab.locator("#undo").is_disabled() and tab.locator("#clear").is_disabled()
    draw(tab, strokes_of(4)[:1])
    one_stroke = sees(tab)
    assert tab.locator("#no-truth").is_visible()
    tab.click("#truths button >> nth=4")
    assert not tab.locator("#no-truth").is_visible()
    assert "E = 1/2 Σ (Y - y*)²" in tab.text_content("#chain .turn")
    draw(tab, strokes_of(4)[1:])
    assert not np.array_equal(sees(tab), one_stroke)
    assert not tab.locator("#no-truth").is_visible()  # it is still the same drawing
    tab.click("#undo")
    np.testing.assert_array_equal(sees(tab), one_stroke)
    tab.click("#clear")
    np.testing.assert_allclose(sees(tab), few_images[0][0], atol=1e-9)
    draw(tab, strokes_of(1))
    assert tab.locator("#no-truth").is_visible()  # of a new drawing nobody has said what it is


@in_browsers
def test_everything_goes_by_keyboard(visit, url):
    tab = visit(url)
    tab.keyboard.press("Tab")
    assert tab.evaluate("() => document.activeElement.id") == "pad"
    tab.keyboard.press(" ")
    for _ in range(12):
        tab.keyboard.press("ArrowDown")
    tab.keyboard.press(" ")
    drawn = sees(tab).reshape(28, 28) > 64
    assert drawn.any(axis=1).sum() == pytest.approx(20, abs=1)
    assert drawn.any(axis=0).sum() < 8  # a vertical line
    tab.keyboard.press("Control+z")
    assert tab.locator("#undo").is_disabled()
    for selector, key in (("#truths button >> nth=3", "Enter"), ("#step", "Enter")):
        tab.locator(selector).focus()
        tab.keyboard.press(key)
    assert tab.locator("#moved").is_visible()
    tab.locator(".arrow").first.focus()
    tab.keyboard.press("Enter")
    tab.locator("#chain .pick canvas").focus()
    for _ in range(8):
        tab.keyboard.press("ArrowLeft")
        tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".panel output").first.text_content().startswith("H^[1] = x W1 + B1 = ")
    tab.keyboard.press("Enter")
    assert tab.text_content(".inside b").startswith("What goes into H^[1] ")
    tab.locator("#forth").focus()
    tab.keyboard.press("Enter")
    tab.locator("#halt[disabled]").wait_for()
    assert reduced(tab)[0] == 1
    unnamed = tab.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[tabindex]")]
            .filter((e) => !(e.textContent || e.ariaLabel || e.getAttribute("aria-label")
                || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert unnamed == []


@in_browsers
@in_chromium
def test_a_finger_draws_and_does_not_scroll(visit, url):
    tab = visit(url, width=375, has_touch=True, is_mobile=True)
    touch = tab.context.new_cdp_session(tab)
    box = tab.locator("#pad").bounding_box()
    x, y = box["x"] + 100, box["y"]
    for kind, depth in (("touchStart", 240), ("touchMove", 150), ("touchMove", 40)):
        points = [{"x": x, "y": y + depth}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    drawn = sees(tab).reshape(28, 28) > 64
    assert drawn.any(axis=1).sum() == pytest.approx(20, abs=1)
    assert tab.evaluate("() => scrollY") == 0


@in_browsers
@pytest.mark.parametrize("text", ["dense 64, sigmoid, dense, sigmoid", CONVOLUTIONS])
def test_nothing_overflows_a_phone(visit, few_images, tmp_path, text):
    tab = visit(write(tmp_path, learned(few_images, text, 1), few_images), width=375)
    tab.locator(".arrow").first.click()
    tab.click("#step")
    too_wide = tab.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > 376).map((e) => e.outerHTML)"""
    )
    assert too_wide == []
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 375


@in_browsers
def test_a_data_sets_name_stays_text(visit, trained, few_images, tmp_path):
    tab = visit(write(tmp_path, trained, few_images, NASTY))
    assert NASTY in tab.text_content("#about")
    assert NASTY in tab.title()
    assert tab.locator("img").count() == 0


@in_browsers
@pytest.mark.parametrize("name, said", [(offline_digits.NAME, True), ("MNIST", False)])
def test_offline_digits_are_not_called_mnist(visit, trained, few_images, tmp_path, name, said):
    tab = visit(write(tmp_path, trained, few_images, name))
    assert tab.locator("#warning").is_visible() == said
    assert "not MNIST" in tab.text_content("#warning")


@in_browsers
def test_the_page_can_ask_for_nothing(visit, browser, url):
    asked = []

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802, the name that the server calls
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Asked)
    Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}/"
    context = browser.new_context(**(AS_IT_IS if browser.browser_type.name == "firefox" else {}))
    tab = context.new_page()
    tab.goto(url)
    tried = tab.evaluate(
        """(place) => new Promise((done) => {
            const image = new Image();
            image.onerror = () => fetch(place).then(() => done("fetched"), () => done("refused"));
            image.onload = () => done("loaded");
            image.src = place;
        })""",
        place,
    )
    context.close()
    server.shutdown()
    assert (tried, asked) == ("refused", [])


@in_browsers
@in_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(visit, url, scheme):
    tab = visit(url, color_scheme=scheme)
    with Image.open(io.BytesIO(tab.screenshot())) as shot:
        grey = np.asarray(shot.convert("L"))
    assert (np.median(grey) > 200) == (scheme == "light")
    assert np.percentile(grey, 99.9) - np.percentile(grey, 0.1) > 180
