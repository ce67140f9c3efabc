// The chain of maps on the page: a box for each, with pictures of what it computes.

import { addImage, backward, biasOf, eachProduct } from "./mathematics.js";
import { emptySums, forward, KINDS, placeOf } from "./mathematics.js";
import { cellsOf, make, picture, say, weightCells } from "./pictures.js";

const learns = (layer) => layer.parameters.length > 0;

// How V[l] lies in a picture: a row that was a picture before is shown as one.
function shapeOf(layers, l) {
  if (l === 0) return [1, 28, 28];
  const { kind, input, output } = layers[l - 1];
  if (kind === "flatten") return input;
  return kind === "dropout" || "slope" in KINDS[kind] ? shapeOf(layers, l - 1) : output;
}

// How the derivatives by the parameters lie in pictures, by their names: dW1, dB1, ...
export function derivativeCells(layers) {
  const cells = layers.flatMap((layer, l) => {
    const [W, B] = layer.parameters;
    const weights = () => weightCells(layer, shapeOf(layers, l));
    return learns(layer) ? [[`d${W}`, weights()], [`d${B}`, cellsOf([layer.output[0]])]] : [];
  });
  return Object.fromEntries(cells);
}

// The outputs as bars, the largest in bold; before each the digit that it stands for.
export function bars(Y, digits, truth) {
  const rows = digits.map((digit, k) => {
    const name = make("b", {}, `${digit}`);
    const bar = make("meter", { value: Y[k], ariaLabel: `output for ${digit}` });
    const number = make("span", {}, say(Y[k]) + (k === truth ? " ← y*" : ""));
    return make("li", { className: Y[k] === Math.max(...Y) ? "best" : "" }, name, bar, number);
  });
  return make("ul", { className: "bars" }, ...rows);
}

// Puts the boxes into `list`, and into `panel` what goes into a unit. Returns show(theta, image),
// which fills them and returns Y.
export function chainOn(list, panel, { layers, digits, maps, values: V }) {
  const derivatives = derivativeCells(layers);
  let now = {}; // theta, and of the image in the chain V, D and its tuple's sums

  // Name, place, formula, the numbers in it, value: what a picture says when it is pointed at.
  const told = (name, i, shape, ...parts) =>
    [`${name}[${placeOf(i, shape).join(", ")}]`, ...parts].filter((part) => part).join(" = ");
  const rightSide = (formula, name) => {
    const found = formula.split(", ").find((part) => part.startsWith(`${name} = `));
    return found?.slice(name.length + 3);
  };
  function forwardNumbers(layer, l, i) {
    if ("slope" in KINDS[layer.kind]) return `${layer.kind}(${say(now.V[l][i])})`;
    if (!learns(layer)) return "";
    const bias = now.theta[layer.parameters[1]][biasOf(layer, i)];
    return `${say(now.V[l + 1][i] - bias)} + ${say(bias)}`;
  }
  function backwardNumbers(layer, l, i, name) {
    if (layer.kind === "dense" && name === `d${layer.parameters[0]}`) {
      const [from, to] = placeOf(i, [now.V[l].length, layer.output[0]]);
      return `${say(now.V[l][from])} · ${say(now.D[l + 1][to])}`;
    }
    if (!("slope" in KINDS[layer.kind])) return "";
    const slope = KINDS[layer.kind].slope(now.V[l][i], now.V[l + 1][i]);
    return `${say(now.D[l + 1][i])} · ${say(slope)}`;
  }

  // The picture of what a map computes, and how to fill it.
  function pictureOf({ l, back, formula }, name) {
    const right = rightSide(formula, name);
    const shape = shapeOf(layers, back ? l : l + 1);
    const source = "slope" in KINDS[layers[l].kind] ? l - 1 : l; // what a unit sums up, if it does
    const units = !back && layers[source] && learns(layers[source]);
    const values = () => (back ? (now.sums.d[name.slice(1)] ?? now.D[l]) : now.V[l + 1]);
    const numbers = back ? backwardNumbers : forwardNumbers;
    const cells = derivatives[name] ?? cellsOf(shape);
    const { element, show } = picture(name, {
      ink: !back && ["sigmoid", "relu", "picture"].includes(layers[l].kind),
      pick: units ? (i) => inspect(source, i) : undefined,
      explain: (i) =>
        told(name, i, cells.shape, right, numbers(layers[l], l, i, name), say(values()[i])),
    });
    return [element, () => show(values(), cells)];
  }

  const explain = (i) => told("x", i, [784], say(now.V[0][i]));
  const input = picture("x", { ink: true, explain });
  const tuple = make("p", { className: "tuple" }, "(x, y*)");
  list.append(make("li", { className: "box map" }, make("h3", {}, "image"), input.element, tuple));

  const E = layers.at(-1).kind === "softmax" ? "-log Y[truth]" : "1/2 Σ (Y - y*)²";
  const boxes = maps.map((box, m) => {
    const last = box.l + 1 === layers.length;
    const drawn = last && !box.back ? [] : box.draws.map((name) => pictureOf(box, name));
    const result = make("div");
    const shown = make("div", { className: "shown" }, result, ...drawn.map(([element]) => element));
    const formula = make("p", { className: "best" }, box.formula);
    const tuple = make("p", { className: "tuple" }, `(${box.tuple.join(", ")})`);
    const title = make("h3", {}, `map ${m + 1}`);
    const className = `box map ${box.back ? "back" : ""}`;
    list.append(make("li", { className }, title, formula, shown, tuple));
    return { ...box, last, result, shown, fill: drawn.map(([, fill]) => fill) };
  });

  // What goes into a unit: its weights, its input, and the one times the other.
  const three = ["weights", "input", "weights × input"].map((label) => picture(label));
  const [title, words] = [make("h3"), make("p")];
  panel.append(title, words, make("div", { className: "shown" }, ...three.map((p) => p.element)));
  let fillPanel = () => {};
  function inspect(l, unit) {
    const [layer, name] = [layers[l], told(V[l + 1], unit, shapeOf(layers, l + 1))];
    const [W, B] = layer.parameters;
    const patch = [layer.input[0], layer.side, layer.side];
    const cells = cellsOf(layer.kind === "conv" ? patch : shapeOf(layers, l));
    title.textContent = `What goes into ${name}: ${V[l]}, times its own weights in ${W}`;
    fillPanel = () => {
      const [weights, input] = [[], []];
      eachProduct(layer, (o, i, w) => {
        if (o === unit) weights.push(now.theta[W][w]);
        if (o === unit) input.push(now.V[l][i]);
      });
      const products = weights.map((w, k) => w * input[k]);
      [weights, input, products].forEach((values, k) => { three[k].show(values, cells); });
      const sum = products.reduce((p, q) => p + q);
      const bias = now.theta[B][biasOf(layer, unit)];
      words.textContent = `Σ of the products ${say(sum)} + ${B} ${say(bias)} = ${say(sum + bias)}`;
    };
    panel.hidden = false;
    fillPanel();
    panel.scrollIntoView({ block: "nearest" });
  }

  return (theta, image) => {
    now = { theta, V: forward(layers, theta, image.x) };
    const known = image.truth !== null;
    if (known) {
      now.D = backward(layers, theta, now.V, image.truth);
      now.sums = addImage(emptySums(theta), layers, theta, image);
    }
    input.show(image.x, cellsOf([1, 28, 28]));
    for (const { l, back, last, result, shown, fill } of boxes) {
      shown.hidden = back && !known;
      if (shown.hidden) continue;
      if (last && !back) result.replaceChildren(bars(now.V[l + 1], digits, image.truth));
      if (last && back) result.textContent = `E = ${E} = ${say(now.sums.E)}, Acc = ${now.sums.Acc}`;
      for (const each of fill) each();
    }
    fillPanel();
    return now.V.at(-1);
  };
}
