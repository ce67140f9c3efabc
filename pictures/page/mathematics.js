// The mathematics of nn_math.py, an image at a time, for a network that is a list of layers.
//   x   image, 784 pixels in [0, 1]      y*   label: 1 at the truth, else 0
//   V   what the layers put out: V[0] = x, then H^, H, Y^ and whatever there is, at last Y
//   E   error                            Acc  1 where the largest output is the truth's, else 0
//   dA  the derivative of E by A         n    images in a sum
// Arrays are flat, in C order, with 64 bits a number; a layer's shapes are those of one image.

const size = (shape) => shape.reduce((a, b) => a * b, 1);

// Where the i-th number of an array of this shape lies, axis by axis.
export const placeOf = (i, shape) =>
  shape.map((length, axis) => Math.floor(i / size(shape.slice(axis + 1))) % length);

// Calls visit(o, i, w) for each product a[i] * W[w] that a layer's output o sums up; where a is
// given, only for those that are not 0: most pixels are.
export function eachProduct({ kind, input, output, side }, visit, a) {
  if (kind === "dense") {
    const [inputs, units] = [size(input), size(output)];
    for (let i = 0; i < inputs; i++)
      if (a?.[i] !== 0) for (let o = 0; o < units; o++) visit(o, i, i * units + o);
    return;
  }
  const [[channels, height, width], [filters, rows, columns]] = [input, output];
  for (let w = 0; w < filters * channels * side * side; w++) {
    const [f, c, u, v] = placeOf(w, [filters, channels, side, side]);
    const [first, from] = [f * rows * columns, (c * height + u) * width + v];
    for (let r = 0; r < rows; r++)
      for (let s = 0; s < columns; s++) visit(first + r * columns + s, from + r * width + s, w);
  }
}

// Which bias output o has: its unit's, or its filter's.
export const biasOf = ({ output }, o) => Math.floor(o / size(output.slice(1)));

const LINEAR = {
  // a W + B, or the convolution of a by W, plus B.
  forward(layer, a, [W, B]) {
    const out = Float64Array.from({ length: size(layer.output) }, (_, o) => B[biasOf(layer, o)]);
    eachProduct(layer, (o, i, w) => { out[o] += a[i] * W[w]; }, a);
    return out;
  },
  backward(layer, D, a, _out, [W]) {
    const before = new Float64Array(a.length);
    eachProduct(layer, (o, i, w) => { before[i] += D[o] * W[w]; });
    return before;
  },
};

// f(z), and f'(z) given z and a = f(z).
const elementwise = (f, slope) => ({
  slope,
  forward: (_layer, z) => z.map(f),
  backward: (_layer, D, z, a) => D.map((d, i) => d * slope(z[i], a[i])),
});
const PASSING = { forward: (_layer, a) => a, backward: (_layer, D) => D };

// For each output, where in a the (first) largest of its window is.
function largest({ input: [, height, width], output, side }, a) {
  return Int32Array.from({ length: size(output) }, (_, o) => {
    const [c, r, s] = placeOf(o, output);
    const first = (c * height + r * side) * width + s * side;
    const inWindow = (_, k) => first + Math.floor(k / side) * width + (k % side);
    return Array.from({ length: side ** 2 }, inWindow).reduce((p, q) => (a[q] > a[p] ? q : p));
  });
}

function softmax(_layer, z) {
  const powers = z.map((value) => Math.exp(value - Math.max(...z)));
  return powers.map((p) => p / powers.reduce((a, b) => a + b));
}

// A kind of layer: its forward map, and the derivative by its input from that by its output.
export const KINDS = {
  dense: LINEAR,
  conv: LINEAR,
  maxpool: {
    forward: (layer, a) => Float64Array.from(largest(layer, a), (i) => a[i]),
    backward(layer, D, a) {
      const before = new Float64Array(a.length);
      largest(layer, a).forEach((i, o) => { before[i] += D[o]; });
      return before;
    },
  },
  picture: PASSING,
  flatten: PASSING,
  dropout: PASSING,
  sigmoid: elementwise((z) => 1 / (1 + Math.exp(-z)), (_z, a) => a * (1 - a)),
  tanh: elementwise(Math.tanh, (_z, a) => 1 - a * a),
  relu: elementwise((z) => Math.max(z, 0), (z) => Number(z > 0)),
  // Y - y*, where `backward` begins, is the cross-entropy's derivative by what enters the softmax.
  softmax: { forward: softmax, backward: (_layer, D) => D },
};

// V of an image: all forward maps.
export function forward(layers, theta, x) {
  const V = [x];
  layers.forEach((layer, l) => {
    V.push(KINDS[layer.kind].forward(layer, V[l], layer.parameters.map((name) => theta[name])));
  });
  return V;
}

// E = 1/2 sum (Y - y*)^2, or after a softmax -log Y[truth]; and Acc.
export function outcome(layers, Y, truth) {
  const squares = Y.map((y, k) => (y - (k === truth)) ** 2).reduce((p, q) => p + q);
  const E = layers.at(-1).kind === "softmax" ? -Math.log(Y[truth]) : 0.5 * squares;
  return { E, Acc: Number(Y.indexOf(Math.max(...Y)) === truth) };
}

// D, with D[l] the derivative of E by V[l], down to what the lowest layer that learns puts out.
export function backward(layers, theta, V, truth) {
  const lowest = layers.findIndex((layer) => layer.parameters.length);
  const D = { [layers.length]: V.at(-1).map((y, k) => y - (k === truth)) };
  for (let l = layers.length - 1; l > lowest; l--) {
    const own = layers[l].parameters.map((name) => theta[name]);
    D[l] = KINDS[layers[l].kind].backward(layers[l], D[l + 1], V[l], V[l + 1], own);
  }
  return D;
}

const each = (theta, change) =>
  Object.fromEntries(Object.entries(theta).map(([name, A]) => [name, change(A, name)]));

// What the reduce adds up, element by element: E, Acc, n and, by the parameters' names, d.
export function emptySums(theta) {
  return { E: 0, Acc: 0, n: 0, d: each(theta, (A) => new Float64Array(A.length)) };
}

export function add(sums, more) {
  for (const key of ["E", "Acc", "n"]) sums[key] += more[key];
  for (const name in more.d) more.d[name].forEach((d, i) => { sums.d[name][i] += d; });
  return sums;
}

// Adds the tuple of an image.
export function addImage(sums, layers, theta, { x, truth }) {
  const V = forward(layers, theta, x);
  const D = backward(layers, theta, V, truth);
  layers.forEach((layer, l) => {
    if (!layer.parameters.length) return;
    const [dW, dB] = layer.parameters.map((name) => sums.d[name]);
    eachProduct(layer, (o, i, w) => { dW[w] += V[l][i] * D[l + 1][o]; }, V[l]);
    D[l + 1].forEach((d, o) => { dB[biasOf(layer, o)] += d; });
  });
  return add(sums, { ...outcome(layers, V.at(-1), truth), n: 1, d: {} });
}

// theta - alpha * (sum of derivatives) / n, for each of the parameters theta.
export const step = (theta, { d, n }, alpha) =>
  each(theta, (A, name) => A.map((a, i) => a - (alpha * d[name][i]) / n));
