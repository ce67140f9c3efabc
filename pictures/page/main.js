// The page: the pad, the test images, and what follows from the image that is chosen.

import { bars, chainOn } from "./chain.js";
import { drawStrokes, PAD, seenByNetwork } from "./digit.js";
import { addImage, emptySums, forward } from "./mathematics.js";
import { arrow, cellsOf, clamp, curve, make, picture } from "./pictures.js";
import { pointerOn, readPalette, say, thumb } from "./pictures.js";
import { reduceOn } from "./reduce.js";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { layers, digits } = data;
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const pixels = (levels) => Float64Array.from(levels, (level) => level / 255);
const numbers = (text) => Float64Array.from(new Float32Array(bytes(text).buffer));
const images = data.images.map((one) => ({ x: pixels(bytes(one.pixels)), truth: one.truth }));
const trained = Object.fromEntries(
  Object.entries(data.parameters).map(([name, text]) => [name, numbers(text)]),
);
let [theta, image, strokes] = [trained, images[0], []];
const seen = picture("what the network sees", { ink: true });
$("seen").append(seen.element);
const showChain = chainOn($("chain"), $("unit"), data);
const showReduce = reduceOn($, data, trained, images.slice(0, data.first), (moved) => {
  theta = moved;
  show();
});

function show() {
  const Y = showChain(theta, image);
  const order = [...Y.keys()].sort((p, q) => Y[q] - Y[p]);
  const [best, next] = order.map((k) => `${digits[k]} (${say(Y[k])})`);
  $("answer").textContent = `The answer is ${best}, then ${next}.`;
  $("outputs").replaceChildren(bars(Y, digits, image.truth));
  $("no-truth").hidden = image.truth !== null;
  $("moved").hidden = theta === trained;
  seen.show(image.x, cellsOf([1, 28, 28]));
  const press = (button, chosen) => { button.ariaPressed = String(chosen); };
  for (const button of $("truths").children) press(button, Number(button.value) === image.truth);
  for (const button of $("gallery").children) press(button, images[button.value] === image);
  showReduce(theta, image);
}
function choose(next) {
  image = next;
  show();
}

// The pad, by mouse, pen, finger or keys. A stroke is a list of points, drawn at any size.
const pad = $("pad");
let [pointer, pen, penIsDown] = [null, [PAD / 2, PAD / 2], false]; // the pen is the keyboard's
const thickness = () => Number($("pen").value);

function paintPad() {
  const context = pad.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, pad.width, pad.height);
  context.strokeStyle = getComputedStyle(pad).color;
  if (strokes.length) drawStrokes(context, strokes, thickness(), pad.width / PAD);
  if (document.activeElement !== pad || !pad.matches(":focus-visible")) return;
  const [x, y] = pen;
  const cross = [[[x - 9, y], [x + 9, y]], [[x, y - 9], [x, y + 9]]];
  drawStrokes(context, cross, penIsDown ? 0.1 : 0.02, pad.width / PAD);
}

// What is drawn, from now on; the truth of another image than before is not known.
function draw(next) {
  const truth = strokes.length ? image.truth : null;
  if (next.length < strokes.length) [pointer, penIsDown] = [null, false];
  strokes = next;
  $("undo").disabled = $("clear").disabled = strokes.length === 0;
  paintPad();
  choose(next.length ? { x: pixels(seenByNetwork(next, thickness())), truth } : images[0]);
}
const begin = (point) => draw([...strokes, [point]]);
const goOn = (point) => draw([...strokes.slice(0, -1), [...strokes.at(-1), point]]);
const undo = () => draw(strokes.slice(0, -1));
const pointOf = (event) => pointerOn(pad, event).map((part) => clamp(part * PAD, PAD));

pad.onpointerdown = (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  pad.setPointerCapture(pointer);
  begin(pointOf(event));
};
pad.onpointermove = (event) => event.pointerId === pointer && goOn(pointOf(event));
pad.onpointerup = pad.onpointercancel = (event) => {
  if (event.pointerId === pointer) pointer = null;
};
pad.onkeydown = (event) => {
  const move = arrow(event);
  if (event.key === " ") {
    event.preventDefault();
    penIsDown = !penIsDown;
    if (penIsDown) begin(pen);
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
  if (move) pen = pen.map((p, k) => clamp(p + 7 * move[k], PAD));
  if (move && penIsDown) goOn(pen);
  paintPad();
};
pad.onfocus = pad.onblur = () => {
  penIsDown = false;
  paintPad();
};
$("undo").onclick = undo;
$("clear").onclick = () => draw([]);
$("pen").oninput = () => strokes.length && draw(strokes);

// The test images: a button for each, framed in red where the trained network is wrong.
function gallery(from, to) {
  const buttons = images.slice(from, to).map((one, k) => {
    const Y = forward(layers, trained, one.x).at(-1);
    const answer = Y.indexOf(Math.max(...Y));
    const title = `a ${digits[one.truth]}, answered ${digits[answer]}`;
    const button = make("button", { value: from + k, title, ariaLabel: title }, thumb(one.x));
    button.className = answer === one.truth ? "" : "wrong";
    button.onclick = () => [draw([]), choose(one)];
    return button;
  });
  $("gallery").replaceChildren(...buttons);
  $("first").ariaPressed = String(from === 0);
  $("worst").ariaPressed = String(from > 0);
}
const firstImages = () => gallery(0, data.first);
$("first").onclick = firstImages;
$("worst").onclick = () => gallery(data.first, images.length);
$("truths").append(...digits.map((digit, value) => make("button", { value }, `${digit}`)));
$("truths").onclick = ({ target: { value } }) =>
  value && choose({ ...image, truth: Number(value) });
$("about").textContent = `${data.network}; images of the test set of ${data.name}`;
$("warning").hidden = !data.offline;
$("warning").textContent = "These images are not MNIST: they were drawn from fonts.";
document.title = `Inside the network: ${data.name}`;
for (const [column, name] of [[1, "cost"], [2, "accuracy"]]) {
  const points = data.history.map((epoch) => [epoch[0], epoch[column]]);
  const text = (epoch, value) => `epoch ${epoch}: ${say(value)}`;
  if (points.length) $("run").append(curve(`${name}, ${data.name}`, points, text));
}
const paintAll = () => [readPalette, firstImages, paintPad, show].forEach((part) => { part(); });
matchMedia("(prefers-color-scheme: dark)").onchange = paintAll;
paintAll();
// For the console of the browser, and for tests: the network, to go on playing with.
const now = () => ({ theta, image });
globalThis.network = { layers, digits, images, trained, forward, addImage, emptySums, now };
