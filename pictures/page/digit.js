// A drawing, kept as strokes of points, and what the network sees of it: the last steps of own.py.

export const PAD = 280; // the pad's width and height, in the unit of the points
const [SIDE, BOX, FINER] = [28, 20, 8]; // an image, the box a digit just fits, canvas pixels in one

// The points' left and top end and their larger extent; the pen's width is a share of that, so that
// a small digit is not a blot. A dot has an extent too.
function extent(strokes, pen) {
  const ends = [0, 1].map((axis) => strokes.flat().map((point) => point[axis]));
  const [left, top] = ends.map((values) => Math.min(...values));
  const [right, bottom] = ends.map((values) => Math.max(...values));
  const size = Math.max(right - left, bottom - top);
  return { left, top, right, bottom, size, width: pen * Math.max(size, PAD / 5) };
}

// Draws strokes on a canvas, moved by (left, top) and then scaled.
export function drawStrokes(context, strokes, pen, scale, left = 0, top = 0) {
  context.setTransform(scale, 0, 0, scale, left * scale, top * scale);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = extent(strokes, pen).width;
  for (const [first, ...others] of strokes) {
    context.beginPath();
    context.moveTo(...first);
    context.lineTo(first[0] + 0.01, first[1]); // or a dot would leave no ink
    for (const point of others) context.lineTo(...point);
    context.stroke();
  }
}

// The weights of a pixel's neighbourhood where images are shrunk: the Hamming window, as in own.py.
const WEIGHTS = Array.from({ length: 2 * FINER }, (_, j) => {
  const t = Math.PI * ((j + 0.5) / FINER - 1);
  return (Math.sin(t) / t) * (0.54 + 0.46 * Math.cos(t));
});

// Shrinks the rows of ink to SIDE pixels and turns rows into columns: done twice, both are shrunk.
function shrunk(ink) {
  const [long, out] = [SIDE * FINER, new Float64Array(ink.length / FINER)];
  const rows = ink.length / long;
  for (let o = 0; o < out.length; o++) {
    const [r, first] = [o % rows, (Math.floor(o / rows) - 0.5) * FINER];
    // Beyond a row's end lies the next one's margin, where there is no ink either.
    WEIGHTS.forEach((weight, j) => { out[o] += weight * (ink[r * long + first + j] ?? 0); });
  }
  return out;
}

// 784 pixels, 0 to 255: scaled into 20x20 with its proportions, centre of mass in the middle.
export function seenByNetwork(strokes, pen) {
  const { left, top, size, width } = extent(strokes, pen);
  const scale = (BOX * FINER) / (size + width);
  const margin = (((SIDE - BOX) / 2) * FINER) / scale + width / 2;
  const side = SIDE * FINER;
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  drawStrokes(context, strokes, pen, scale, margin - left, margin - top);
  const rgba = context.getImageData(0, 0, side, side).data;
  const ink = Float64Array.from({ length: side * side }, (_, i) => rgba[4 * i + 3]);
  return centred(shrunk(shrunk(ink)));
}

function centred(ink) {
  const places = [(i) => Math.floor(i / SIDE), (i) => i % SIDE];
  const [mass, most] = [ink.reduce((total, value) => total + value), Math.max(...ink)];
  const [down, right] = places.map((place) => {
    const moment = ink.reduce((total, value, i) => total + value * place(i), 0);
    return Math.round(moment / mass) - SIDE / 2;
  });
  return Uint8Array.from(ink, (_, i) => {
    const [r, s] = [places[0](i) + down, places[1](i) + right];
    const inside = Math.min(r, s) >= 0 && Math.max(r, s) < SIDE;
    return inside ? Math.round((255 * ink[r * SIDE + s]) / most) : 0;
  });
}

// How many pixels each piece of ink has; pixels belong together that touch, if only at a corner.
function pieces(pixels) {
  const inked = new Set([...pixels.keys()].filter((i) => pixels[i] > 64));
  const sizes = [];
  for (const start of inked) {
    const piece = new Set([start]);
    for (const i of piece)
      for (const next of [-29, -28, -27, -1, 1, 27, 28, 29].map((way) => i + way))
        if (inked.has(next)) piece.add(next);
    for (const i of piece) inked.delete(i);
    sizes.push(piece.size);
  }
  return sizes.sort((p, q) => q - p);
}

// Why a drawing may not be one digit, or "": the doubts of own.py, in its words.
export function doubtAbout(strokes, pen, pixels) {
  const { left, top, right, bottom, width } = extent(strokes, pen);
  const [wide, high] = [right - left + width, bottom - top + width];
  const margin = Math.min(left, top, PAD - right, PAD - bottom) - width / 2;
  const [largest, ...others] = pieces(pixels);
  if (margin < 1) return "ink at the edge of the picture";
  if (others.some((piece) => piece > 0.05 * largest)) return "several pieces of ink";
  if (wide > 1.8 * high) return "wider than a digit";
  return Math.max(wide, high) < 13 ? "smaller than a digit" : "";
}

// Examples of digits, as lines from point to point in a square of side 100.
const EXAMPLES = {
  0: "58,2 44,0 24,8 12,40 15,75 45,100 75,85 85,45 76,12 56,2 46,1",
  1: "62,0 55,40 48,70 42,100",
  2: "12,28 28,2 65,0 82,22 60,60 12,98 45,92 90,98",
  3: "18,8 62,0 78,22 45,46 82,68 62,98 12,90",
  4: "34,0 24,30 12,58 50,56 88,54 / 70,20 66,60 62,100",
  7: "12,6 50,4 86,4 66,40 50,70 42,100",
};
const cutCorners = (points) =>
  points.slice(1).flatMap(([x, y], k) => {
    const [u, v] = points[k];
    return [0.25, 0.75].map((share) => [u + share * (x - u), v + share * (y - v)]);
  });

// The strokes of an example, in the middle of the pad; undefined for other names.
export function exampleOf(name) {
  if (!Object.hasOwn(EXAMPLES, name)) return undefined;
  const place = (point) => point.split(",").map((end) => PAD * (0.2 + 0.006 * end));
  const stroke = (text) => cutCorners(cutCorners(cutCorners(text.split(" ").map(place))));
  return EXAMPLES[name].split(" / ").map(stroke);
}
