// How far an image is from those of the training: the distance D of results/doubt.py.

// f (144) of an image: 12x12 means of 4x4 pixels, which weigh 1 3 3 1 each way, of length 1.
function halved(x) {
  const weights = [1, 3, 3, 1];
  const f = Float64Array.from({ length: 144 }, (_, i) => {
    const first = 28 * (2 * Math.floor(i / 12) + 1) + 2 * (i % 12) + 1;
    const across = (r) => weights.reduce((sum, w, s) => sum + w * x[first + 28 * r + s], 0);
    return weights.reduce((sum, w, r) => sum + w * across(r), 0);
  });
  const length = Math.hypot(...f);
  return f.map((value) => value / Math.max(length, 1e-9));
}

// v M, for a matrix M of d columns.
const product = (v, M, d) =>
  Float64Array.from({ length: d }, (_, j) => v.reduce((sum, a, i) => sum + a * M[i * d + j], 0));

// D: how far an image is from the training images of class c.
export function distance({ axes, means, whitenings }, x, c) {
  const d = axes.length / 144;
  const around = product(halved(x), axes, d).map((v, j) => v - means[c * d + j]);
  return Math.hypot(...product(around, whitenings.subarray(c * d * d, (c + 1) * d * d), d));
}
