// Numbers as pictures: cells of ink, or of red and blue, that say their number when pointed at.

// An element with properties and children; text is only ever text, never markup.
export function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function say(number) {
  const small = number !== 0 && (Math.abs(number) < 0.001 || Math.abs(number) >= 1e5);
  const text = small ? number.toExponential(2) : number.toPrecision(3);
  return number === 0 ? "0" : text.replaceAll("-", "\u2212");
}

// How an array of this shape lies in cells: tiles of height x width, with tile t's p-th cell the
// array's cell(t, p)-th number.
export function cellsOf(shape) {
  const wide = Math.ceil(Math.sqrt(shape[0]));
  const [tiles, height, width] = shape.length === 3 ? shape : [1, Math.ceil(shape[0] / wide), wide];
  const count = shape.reduce((a, b) => a * b);
  return { shape, tiles, height, width, count, cell: (t, p) => t * height * width + p };
}

// The weights into each unit, lying as its input does; the weights of each filter and channel.
export function weightCells({ kind, input, output, side }, from) {
  if (kind === "conv") {
    const shape = [output[0], input[0], side, side];
    return { ...cellsOf([output[0] * input[0], side, side]), shape };
  }
  const [units, before] = [output[0], cellsOf(from)];
  const cell = (t, p) => {
    const i = before.cell(t % before.tiles, p);
    return i < before.count ? i * units + Math.floor(t / before.tiles) : Number.NaN;
  };
  const [shape, tiles, count] = [[before.count, units], units * before.tiles, units * before.count];
  return { ...before, shape, tiles, count, cell };
}

// The last place of the number that is furthest from 0.
export const strongest = (values) =>
  values.reduce((best, value, i) => (Math.abs(value) >= Math.abs(values[best]) ? i : best), 0);

const palette = {}; // red, green and blue of the page's colours
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "red", "blue"]) {
    const pairs = style.getPropertyValue(`--${name}`).match(/\w\w/g);
    palette[name] = pairs.map((two) => Number.parseInt(two, 16));
  }
}

// Paints values on a canvas, a pixel a cell; `ink` tells that none is negative. Returns, for each
// pixel, the place of its value in the array, -1 where there is none, and the end of the scale.
export function paint(canvas, values, cells, ink) {
  const across = Math.ceil(Math.sqrt(cells.tiles));
  const joint = Number(cells.tiles > 1);
  const [high, wide] = [cells.height + joint, cells.width + joint];
  canvas.height = Math.ceil(cells.tiles / across) * high - joint;
  canvas.width = across * wide - joint;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const { paper, red, blue } = palette;
  const plus = ink ? palette.ink : red;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const scale = ink ? Math.max(largest, 1) : largest || 1;
  const places = Int32Array.from({ length: canvas.width * canvas.height }, (_, q) => {
    const [row, column] = [Math.floor(q / canvas.width), q % canvas.width];
    const [r, s] = [row % high, column % wide];
    const t = Math.floor(row / high) * across + Math.floor(column / wide);
    if (r >= cells.height || s >= cells.width || t >= cells.tiles) return -1;
    const i = cells.cell(t, r * cells.width + s);
    if (!(i < cells.count)) return -1; // the last row of a square that is not full
    const [share, end] = [Math.abs(values[i]) / scale, values[i] < 0 ? blue : plus];
    for (let k = 0; k < 3; k++) image.data[4 * q + k] = paper[k] + (end[k] - paper[k]) * share;
    image.data[4 * q + 3] = 255;
    return i;
  });
  context.putImageData(image, 0, 0);
  return [places, scale];
}

// An image of 784 pixels, small and mute.
export function thumb(x) {
  const canvas = make("canvas", { className: "thumb" });
  paint(canvas, x, cellsOf([1, 28, 28]), true);
  return canvas;
}

// Where a pointer is on an element, across and down, from 0 to 1; and what is at most `most`.
export function pointerOn(element, event) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return [(event.clientX - left) / width, (event.clientY - top) / height];
}
export const clamp = (value, most) => Math.max(0, Math.min(value, most));

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Which way an arrow key goes, as [x, y]; the page does not scroll. Undefined for other keys.
export function arrow(event) {
  if (event.key in ARROWS) event.preventDefault();
  return ARROWS[event.key];
}

// A picture under its name, with a line below. explain(i) is what the line says of number i, which
// the pointer or the arrow keys choose; at first it is the strongest. A click or Enter does pick(i).
export function picture(label, { ink = false, explain, pick } = {}) {
  const canvas = make("canvas", { tabIndex: 0, role: "img", ariaLabel: label });
  const [mark, line] = [make("i", { hidden: true }), make("output")];
  const frame = make("div", { className: pick ? "frame pick" : "frame" }, canvas, mark);
  let [values, places, scale, at] = [[], [], 1, [0, 0]];
  const place = () => places[at[1] * canvas.width + at[0]];

  function rest() {
    const place = places.indexOf(strongest(values));
    if (explain) return point([place % canvas.width, Math.floor(place / canvas.width)]);
    mark.hidden = true;
    line.value = `${ink ? "0" : say(-scale)} to ${say(scale)}`;
  }
  function point(to) {
    const { width, height } = canvas;
    at = [clamp(to[0], width - 1), clamp(to[1], height - 1)];
    mark.hidden = place() < 0;
    if (mark.hidden) return;
    const [left, top] = [at[0] / width, at[1] / height];
    const inset = [top, 1 - left - 1 / width, 1 - top - 1 / height, left];
    mark.style.inset = inset.map((part) => `${100 * part}%`).join(" ");
    line.value = explain ? explain(place()) : say(values[place()]);
  }
  const choose = () => place() >= 0 && pick?.(place());
  canvas.onpointermove = canvas.onpointerdown = (event) => {
    const [x, y] = pointerOn(canvas, event);
    point([Math.floor(x * canvas.width), Math.floor(y * canvas.height)]);
  };
  canvas.onpointerleave = canvas.onblur = rest;
  canvas.onclick = choose;
  canvas.onkeydown = (event) => {
    const move = arrow(event);
    if (move) point([at[0] + move[0], at[1] + move[1]]);
    if (event.key === "Enter") choose();
  };
  const show = (shown, cells) => {
    values = shown;
    [places, scale] = paint(canvas, values, cells, ink);
    rest();
  };
  const element = make("figure", {}, make("b", {}, label), frame, make("figcaption", {}, line));
  return { element, show };
}

// Outputs from 0 to 1 as strips of colour: a row for each image, a column for each class under its
// name, and a sign beside each row. explain(row, k) is what the line below says of a number.
export function strips(label, names, explain) {
  const of = (i) => explain(Math.floor(i / names.length), i % names.length);
  const { element, show } = picture(label, { ink: true, explain: of });
  const heads = names.map((name) => make("span", { title: name }, name));
  const beside = make("div", { className: "beside" });
  element.classList.add("strips");
  element.style.setProperty("--classes", names.length);
  element.children[1].before(make("div", { className: "names" }, ...heads), beside);
  const showRows = (rows, ...signs) => {
    const [height, width] = [rows.length, names.length];
    element.style.setProperty("--rows", height);
    beside.replaceChildren(...signs);
    show(rows.flatMap((Y) => [...Y]), cellsOf([1, height, width]));
  };
  return { element, heads, show: showRows };
}

// The [number, value]s of a curve as columns; text(number, value) is what the line below says.
export function curve(label, points, text) {
  const [height, width] = [60, points.length];
  const top = Math.max(...points.map(([, value]) => value)) || 1;
  const ends = points.map(([, value]) => Math.round((1 - value / top) * (height - 1)));
  const inks = ends.flatMap((end) =>
    Array.from({ length: height }, (_, row) => Number(row === end) || 0.2 * Number(row > end)),
  );
  const cell = (_, p) => (p % width) * height + Math.floor(p / width); // column after column
  const explain = (i) => text(...points[Math.floor(i / height)]);
  const { element, show } = picture(label, { ink: true, explain });
  element.classList.add("curve");
  show(inks, { ...cellsOf([1, height, width]), cell });
  return element;
}
