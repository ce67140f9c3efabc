// The chain of maps: tuples, joined by arrows that are maps, and what the maps of an arrow compute.

import { addImage, backward, biasOf, eachProduct } from "./mathematics.js";
import { emptySums, forward, KINDS, placeOf } from "./mathematics.js";
import { cellsOf, make, paint, picture, say, strongest, weightCells } from "./pictures.js";

const MOST_LAYERS = 4; // with an arrow for each map; of more, an arrow is the maps of a layer
const MOST_NAMES = 8; // in a tuple of the drawing
const INK = ["sigmoid", "softmax", "relu", "picture"]; // layers whose values are not negative
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

// The maps of each arrow, in the order of the chain.
function arrowsOf(layers, maps) {
  if (layers.length <= MOST_LAYERS) return maps.map((map) => [map]);
  const learner = (l) => Math.max(1, layers.slice(0, l + 1).filter(learns).length);
  return Object.values(Object.groupBy(maps, ({ l, back }) => `${back} ${learner(l)}`));
}

// A tuple in brackets, with what is new in it in bold.
function written(names, draws) {
  const parts = names.map((name) => (draws.includes(name) ? make("b", {}, name) : name));
  return ["(", ...parts.flatMap((part, k) => (k ? [", ", part] : [part])), ")"];
}

// Draws the chain into `list`. Returns show(theta, image), which fills it and returns Y.
export function chainOn(list, { layers, maps, values: V }) {
  const derivatives = derivativeCells(layers);
  let now = {}; // theta, and of the image in the chain V, D and its tuple's sums
  const panel = make("li", { className: "panel box", hidden: true });
  let [opened, fills] = [null, []]; // the open arrow, and what fills its panel

  const valuesOf = ({ l, back }, name) =>
    back ? (now.sums.d[name.slice(1)] ?? now.D[l]) : now.V[l + 1];
  const cellsFor = ({ l, back }, name) =>
    derivatives[name] ?? cellsOf(shapeOf(layers, back ? l : l + 1));
  const isInk = ({ l, back }) => !back && INK.includes(layers[l].kind);

  // What a picture says of one of its numbers: name, place, formula, the numbers in it, value.
  const told = (name, i, shape, ...parts) =>
    [`${name}[${placeOf(i, shape).join(", ")}]`, ...parts].filter((part) => part).join(" = ");
  function numbersIn({ l, back }, name, i) {
    const [layer, slope] = [layers[l], KINDS[layers[l].kind].slope];
    const [before, after] = [now.V[l], now.V[l + 1]];
    if (slope && back) return `${say(now.D[l + 1][i])} · ${say(slope(before[i], after[i]))}`;
    if (slope) return `${layer.kind}(${say(before[i])})`;
    if (!learns(layer)) return "";
    const [W, B] = layer.parameters;
    const bias = now.theta[B][biasOf(layer, i)];
    if (!back) return `${say(after[i] - bias)} + ${say(bias)}`;
    if (layer.kind !== "dense" || name !== `d${W}`) return "";
    const [from, to] = placeOf(i, [before.length, layer.output[0]]);
    return `${say(before[from])} · ${say(now.D[l + 1][to])}`;
  }

  // What goes into a unit of a layer that learns: its weights, its input, and their products.
  function insideOf(l) {
    const [layer, [W, B]] = [layers[l], layers[l].parameters];
    const labels = [`its weights in ${W}`, `its input, ${V[l]}`, "weights × input"];
    const pictures = labels.map((label) => picture(label));
    const [title, words] = [make("b"), make("p")];
    const patch = [layer.input[0], layer.side, layer.side];
    const cells = cellsOf(layer.kind === "conv" ? patch : shapeOf(layers, l));
    let unit = null;
    function fill(picked = unit) {
      unit = picked ?? strongest(now.V[l + 1]);
      const [weights, input] = [[], []];
      eachProduct(layer, (o, i, w) => {
        if (o === unit) weights.push(now.theta[W][w]);
        if (o === unit) input.push(now.V[l][i]);
      });
      const products = weights.map((w, k) => w * input[k]);
      [weights, input, products].forEach((values, k) => { pictures[k].show(values, cells); });
      const [sum, bias] = [products.reduce((p, q) => p + q), now.theta[B][biasOf(layer, unit)]];
      const result = told(V[l + 1], unit, shapeOf(layers, l + 1));
      title.textContent = `What goes into ${result} (click on another unit)`;
      const total = `${say(sum)} + ${B} ${say(bias)} = ${say(sum + bias)}`;
      words.textContent = `sum of the products ${total}`;
    }
    const shown = make("div", { className: "shown" }, ...pictures.map(({ element }) => element));
    return { element: make("div", { className: "inside" }, title, words, shown), fill };
  }

  // A map of the open arrow: its formula, the tuple after it, pictures of what it computes.
  function detailOf(map) {
    const inside = !map.back && learns(layers[map.l]) ? insideOf(map.l) : null;
    const shown = make("div", { className: "shown" });
    for (const name of map.draws) {
      const cells = cellsFor(map, name);
      const formula = map.formula.split(", ").find((part) => part.startsWith(`${name} = `));
      const right = formula?.slice(name.length + 3);
      const value = (i) => say(valuesOf(map, name)[i]);
      const explain = (i) => told(name, i, cells.shape, right, numbersIn(map, name, i), value(i));
      const { element, show } = picture(name, { ink: isInk(map), explain, pick: inside?.fill });
      shown.append(element);
      fills.push(() => show(valuesOf(map, name), cells));
    }
    if (inside) shown.append(inside.element);
    if (inside) fills.push(() => inside.fill());
    const heading = make("h3", {}, `map ${maps.indexOf(map) + 1}: ${map.formula}`);
    const tuple = make("p", { className: "after" }, "gives ", ...written(map.tuple, map.draws));
    return make("div", {}, heading, tuple, shown);
  }
  function fillPanel() {
    panel.hidden = opened === null || opened.item.hidden;
    if (!panel.hidden) for (const fill of fills) fill();
  }
  function open(arrow) {
    [opened, fills] = [opened === arrow ? null : arrow, []];
    for (const { button } of arrows) button.ariaExpanded = String(button === opened?.button);
    panel.replaceChildren(...(opened?.group ?? []).map(detailOf));
    arrow.item.after(panel);
    fillPanel();
    panel.scrollIntoView({ block: "nearest" });
  }

  // Adds an item to this column of the drawing: the arrow, if there is one, and the tuple after it.
  function place(column, className, names, drawn, ...arrow) {
    const canvases = drawn.map((name) => make("canvas", { role: "img", ariaLabel: name }));
    const short = names.length > MOST_NAMES ? [names[0], "\u2026", ...names.slice(-4)] : names;
    const drawing = make("div", { className: "drawing" }, ...canvases);
    const tuple = make("p", {}, ...written(short, drawn));
    const node = make("div", { className: "node" }, drawing, tuple);
    const item = make("li", { className }, ...arrow, node);
    item.style.setProperty("--at", column);
    list.append(item);
    return { item, canvases };
  }
  const groups = arrowsOf(layers, maps);
  const columns = groups.filter(([{ back }]) => !back).length + 1;
  list.style.setProperty("--columns", columns);
  const start = place(1, "", ["x", "y*"], ["x"]);
  const error = make("p");
  const turn = make("li", { className: "turn" }, error);
  const arrows = groups.map((group, k) => {
    const [map, first] = [group.at(-1), maps.indexOf(group[0]) + 1];
    const last = maps.indexOf(map) + 1;
    const title = make("b", {}, first < last ? `maps ${first}\u2013${last}` : `map ${first}`);
    const kinds = group.map(({ l }) => layers[l].kind).join(", ");
    const what = first < last ? kinds : map.formula;
    const button = make("button", { className: "arrow", ariaExpanded: "false" }, title, what);
    if (k === columns - 1) list.append(turn);
    const column = map.back ? 2 * columns - 2 - k : k + 2;
    const placed = place(column, map.back ? "back" : "", map.tuple, map.draws, button);
    const arrow = { group, map, button, ...placed };
    button.onclick = () => open(arrow);
    return arrow;
  });
  const E = layers.at(-1).kind === "softmax" ? "\u2212log Y[truth]" : "1/2 Σ (Y - y*)²";

  return (theta, image) => {
    now = { theta, V: forward(layers, theta, image.x) };
    const known = image.truth !== null;
    if (known) {
      now.D = backward(layers, theta, now.V, image.truth);
      now.sums = addImage(emptySums(theta), layers, theta, image);
      error.textContent = `E = ${E} = ${say(now.sums.E)}, Acc = ${now.sums.Acc}`;
    }
    paint(start.canvases[0], image.x, cellsOf([1, 28, 28]), true);
    turn.hidden = !known;
    for (const { map, item, canvases } of arrows) {
      item.hidden = map.back && !known;
      if (item.hidden) continue;
      map.draws.forEach((name, k) => {
        paint(canvases[k], valuesOf(map, name), cellsFor(map, name), isInk(map));
      });
    }
    fillPanel();
    return now.V.at(-1);
  };
}
