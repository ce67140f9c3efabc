// The page: the pad, the test images, and what follows from the image that is chosen.

import { chainOn } from "./chain.js";
import { doubtAbout, drawStrokes, exampleOf, PAD, seenByNetwork } from "./digit.js";
import { distance } from "./doubt.js";
import { addImage, emptySums, forward } from "./mathematics.js";
import { arrow, cellsOf, clamp, curve, make, picture } from "./pictures.js";
import { pointerOn, readPalette, say, strips, thumb } from "./pictures.js";
import { reduceOn } from "./reduce.js";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { layers, digits } = data;
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const pixels = (levels) => Float64Array.from(levels, (level) => level / 255);
const numbers = (text) => Float64Array.from(new Float32Array(bytes(text).buffer));
const limits = { ...data.limits };
for (const name of ["axes", "means", "whitenings"]) limits[name] = numbers(limits[name]);
const images = data.images.map((one) => ({ ...one, x: pixels(bytes(one.pixels)) }));
const trained = Object.fromEntries(
  Object.entries(data.parameters).map(([name, text]) => [name, numbers(text)]),
);
let [theta, image, Y, taken] = [trained, images[0], [], images[0]]; // taken: the last test image
const seen = picture("what the network sees", { ink: true });
const told = (k) => `${digits[k]} (${Y[k].toFixed(3)})`;
const outputs = strips("its outputs Y", digits, (_, k) => `output for ${told(k)}`);
$("seen").append(seen.element);
$("outputs").append(outputs.element);
const showChain = chainOn($("chain"), data);
const showReduce = reduceOn($, data, trained, images.slice(0, data.first), (moved) => {
  theta = moved;
  show();
});

// What makes an answer unsure, in the words of predict.py; "" if nothing does.
function doubt(first, second) {
  if (image.doubt) return image.doubt;
  if (Y[first] < limits.least_output) return "the output is low";
  if (Y[second] > limits.close * Y[first]) return "the runner-up is close";
  const isFar = distance(limits, image.x, first) > limits.distance;
  return isFar ? `unlike training images of ${digits[first]}` : "";
}
function show(again = false) {
  Y = showChain(theta, image);
  const [first, second] = [...Y.keys()].sort((p, q) => Y[q] - Y[p]);
  const reason = doubt(first, second);
  $("answer").textContent = `The answer is ${told(first)}, then ${told(second)}.`;
  $("unsure").textContent = `Unsure: ${reason}.`;
  $("unsure").hidden = !reason;
  outputs.show([Y]);
  outputs.heads.forEach((head, k) => { head.classList.toggle("truth", k === image.truth); });
  $("no-truth").hidden = image.truth !== null;
  $("moved").hidden = theta === trained;
  seen.show(image.x, cellsOf([1, 28, 28]));
  const press = (button, chosen) => { button.ariaPressed = String(chosen); };
  for (const button of $("truths").children) press(button, Number(button.value) === image.truth);
  for (const button of $("gallery").children) press(button, images[button.value] === image);
  showReduce(theta, image, again);
  $("undo").disabled = $("clear").disabled = strokes.length === 0;
}
function choose(next) {
  image = next;
  show();
}

// The pad, by mouse, pen, finger or keys. A stroke is a list of points, drawn at any size.
const pad = $("pad");
let [strokes, pointer, pen, penIsDown] = [[], null, [PAD / 2, PAD / 2], false]; // pen: of the keys
const thickness = () => Number($("pen").value);

function paintPad() {
  const context = pad.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, pad.width, pad.height);
  context.strokeStyle = context.fillStyle = getComputedStyle(pad).color;
  context.font = "48px system-ui, sans-serif";
  context.textAlign = "center";
  if (strokes.length) drawStrokes(context, strokes, thickness(), pad.width / PAD);
  else context.fillText("Draw here", pad.width / 2, pad.height / 2);
  if (document.activeElement !== pad || !pad.matches(":focus-visible")) return;
  const [x, y] = pen;
  const cross = [[[x - 9, y], [x + 9, y]], [[x, y - 9], [x, y + 9]]];
  drawStrokes(context, cross, penIsDown ? 0.1 : 0.02, pad.width / PAD);
}
function imageOf(strokes, truth) {
  const levels = seenByNetwork(strokes, thickness());
  return { x: pixels(levels), truth, doubt: doubtAbout(strokes, thickness(), levels) };
}
function answerTo({ x }) {
  const Y = forward(layers, trained, x).at(-1);
  return Y.indexOf(Math.max(...Y));
}
// An example is drawn when the page opens: the first that the network answers rightly.
const example = digits.map(exampleOf).find((drawn, k) => drawn && answerTo(imageOf(drawn)) === k);

// What is drawn, from now on; the truth of another drawing than before is not known.
function draw(next, truth = strokes.length ? image.truth : null) {
  if (next.length < strokes.length) [pointer, penIsDown] = [null, false];
  strokes = next;
  paintPad();
  choose(next.length ? imageOf(next, truth) : taken);
}
// The first stroke takes the place of the example.
function begin(point) {
  if (strokes === example) strokes = [];
  draw([...strokes, [point]]);
}
const goOn = (point) => draw([...strokes.slice(0, -1), [...strokes.at(-1), point]]);
const undo = () => draw(strokes.slice(0, -1));
const pointOf = (event) => pointerOn(pad, event).map((part) => clamp(part * PAD, PAD));

pad.onpointerdown = (event) => {
  if (pointer !== null || event.button !== 0) return;
  pad.setPointerCapture(event.pointerId);
  begin(pointOf(event));
  pointer = event.pointerId;
};
pad.onpointermove = (event) => event.pointerId === pointer && goOn(pointOf(event));
pad.onpointerup = pad.onpointercancel = (event) => {
  if (event.pointerId === pointer) pointer = null;
};
pad.onkeydown = (event) => {
  const move = arrow(event);
  if (event.key === " ") {
    event.preventDefault();
    if (!penIsDown) begin(pen);
    penIsDown = !penIsDown;
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
    const title = `a ${digits[one.truth]}; the network answers ${digits[one.answer]}`;
    const button = make("button", { value: from + k, title, ariaLabel: title }, thumb(one.x));
    button.className = one.answer === one.truth ? "" : "wrong";
    button.onclick = () => {
      taken = one;
      draw([]);
    };
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
let what = `one of ${digits.join(", ")}`;
if (digits.length > 12) what = `one of the ${digits.length} classes`;
if (digits.length === 2) what = `a ${digits.join(" or a ")}`;
if (digits.join("") === "0123456789") what = "a digit from 0 to 9";
$("prompt").textContent = `Draw ${what}`;
$("about").textContent = `The network: ${data.network}. The test images: ${data.name}.`;
$("warning").hidden = !data.offline;
$("warning").textContent = "These images are not MNIST: they were drawn from fonts.";
document.title = `Inside the network: ${data.name}`;
const curves = ["cost", "accuracy"].map((name, k) => {
  const points = data.history.map((epoch) => [epoch[0], epoch[k + 1]]);
  const text = (epoch, value) => `epoch ${epoch}: ${say(value)}`;
  return () => curve(`${name}, ${data.name}`, points, text);
});
function paintAll() {
  readPalette();
  firstImages();
  paintPad();
  if (data.history.length) $("run").replaceChildren(...curves.map((drawn) => drawn()));
  show(true);
}
matchMedia("(prefers-color-scheme: dark)").onchange = paintAll;
if (example) [strokes, image] = [example, imageOf(example, answerTo(imageOf(example)))];
paintAll();
// For the console of the browser, and for tests: the network, to go on playing with.
const now = () => ({ theta, image });
const also = { distance, limits };
globalThis.network = { layers, digits, images, trained, forward, addImage, emptySums, now, ...also };
