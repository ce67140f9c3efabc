// The reduce and the step: the tuples of a mini-batch are added up, and the parameters move.

import { derivativeCells } from "./chain.js";
import { add, addImage, emptySums, forward, step } from "./mathematics.js";
import { curve, make, paint, picture, say, strips, thumb } from "./pictures.js";

const ROWS = 10; // images whose outputs are compared
const [SHORTEST, LONGEST, ALL] = [50, 700, 7000]; // milliseconds of a step of the reduce, of all
const noMotion = matchMedia("(prefers-reduced-motion: reduce)");

// An element flies onto another one, and is then back in its place.
function fly(element, target, duration) {
  if (noMotion.matches) return;
  const [from, to] = [element, target].map((one) => one.getBoundingClientRect());
  const transform = `translate(${to.left - from.left}px, ${to.top - from.top}px)`;
  element.animate([{ transform: "none" }, { transform, opacity: 0.5 }], duration);
}

// Fills the section; move(theta) is called at each step. Returns show(theta, image, again), which
// fills it again in other colours.
export function reduceOn($, { layers, digits, alpha, bytes }, trained, images, move) {
  const sums = Object.entries(derivativeCells(layers)).reverse(); // in the order of the chain
  const pictures = sums.map(([name, cells]) => ({ name, cells, ...picture(`Σ ${name}`) }));
  const [lowest, lowestCells] = sums.at(-1); // what the picture of a partition shows
  $("sums").append(...pictures.map(({ element }) => element));
  let [theta, image, batch, total] = [null, null, [], null];
  let [before, after, costs] = [null, null, []]; // the outcomes around the last step, all costs
  let [parts, longest, at] = [[], 0, 0]; // the reduce: its partitions, how far it has come
  let [running, playing] = [null, null]; // what takes steps or plays the reduce just now, if any

  const told = ({ E, Acc, n }) => `E = ${say(E)}, Acc = ${Acc}, n = ${n}`;
  const compared = ["before", "now"].map((when, k) =>
    strips(`Y ${when}`, digits, (row, digit) => {
      const Y = [before, after][k].Y[row][digit].toFixed(3);
      return `image ${row + 1}, a ${digits[batch[row].truth]}: output for ${digits[digit]} ${Y}`;
    }),
  );
  $("compared").append(...compared.map(({ element }) => element));

  // Divides the mini-batch into partitions, and adds all of it up.
  function divide() {
    const count = Number($("partitions").value);
    const share = (p) => Math.floor((batch.length * p) / count);
    parts = Array.from({ length: count }, (_, p) => {
      const own = batch.slice(share(p), share(p + 1));
      const [thumbs, canvas, line] = [own.map(({ x }) => thumb(x)), make("canvas"), make("p")];
      const tuples = make("div", { className: "thumbs" }, ...thumbs);
      const sum = make("div", { className: "sum" }, canvas, line);
      const item = make("li", { className: "box" }, make("b", {}, `partition ${p}`), tuples, sum);
      return { own, thumbs, canvas, line, item, sum: emptySums(theta), count: 0 };
    });
    $("parts").replaceChildren(...parts.map(({ item }) => item));
    longest = Math.max(...parts.map(({ own }) => own.length));
    $("at").max = longest + count;
    halt();
    goTo(longest + count);
  }
  // The reduce after so many steps: in each, every partition adds an image, or the driver a sum.
  function goTo(steps) {
    at = steps;
    for (const part of parts) {
      const count = Math.min(at, part.own.length);
      if (count < part.count) Object.assign(part, { sum: emptySums(theta), count: 0 });
      for (const one of part.own.slice(part.count, count)) addImage(part.sum, layers, theta, one);
      part.count = count;
      part.thumbs.forEach((one, k) => { one.classList.toggle("added", k < count); });
      part.line.textContent = `Σ of ${count}: ${told(part.sum)}`;
      paint(part.canvas, part.sum.d[lowest.slice(1)], lowestCells);
    }
    const arrived = Math.max(0, at - longest);
    total = parts.slice(0, arrived).reduce((sum, part) => add(sum, part.sum), emptySums(theta));
    for (const { name, cells, show } of pictures) show(total.d[name.slice(1)], cells);
    $("pile").textContent = `Σ of ${arrived} of ${parts.length} partitions: ${told(total)}`;
    $("at").value = at;
  }
  async function play(steps) {
    const [mine, last] = [{}, longest + parts.length];
    const duration = Math.max(SHORTEST, Math.min(LONGEST, ALL / last));
    playing = mine;
    $("halt").disabled = false;
    if (at === last) goTo(0);
    for (let k = 0; k < steps && at < last; k++) {
      const adding = parts.filter(({ thumbs }) => at < thumbs.length);
      for (const { thumbs, canvas } of adding) fly(thumbs[at], canvas, duration);
      if (at >= longest) fly(parts[at - longest].canvas, $("sums"), duration);
      await new Promise((done) => setTimeout(done, duration));
      if (playing !== mine) return;
      goTo(at + 1);
    }
    halt();
  }
  function halt() {
    playing = null;
    $("halt").disabled = true;
  }

  const outcome = () => ({
    cost: total.E / total.n,
    accuracy: total.Acc / total.n,
    Y: batch.slice(0, ROWS).map(({ x }) => forward(layers, theta, x).at(-1)),
  });
  function compare() {
    after = outcome();
    const measured = ({ cost, accuracy }) => `cost ${say(cost)}, accuracy ${say(accuracy)}`;
    const earlier = before ? `before the last step ${measured(before)}; ` : "";
    $("outcome").textContent = `${earlier}now ${measured(after)}`;
    [before, after].forEach((one, k) => {
      compared[k].element.hidden = one === null;
      if (one) compared[k].show(one.Y, ...batch.slice(0, ROWS).map(({ x }) => thumb(x)));
    });
    const said = (k, cost) => `step ${k}: ${say(cost)}`;
    const drawn = curve("cost of these images, step by step", [...costs.entries()], said);
    $("costs").replaceChildren(...(costs.length > 1 ? [drawn] : []));
    const diverged = !Number.isFinite(total.E);
    $("diverged").hidden = !diverged;
    for (const id of ["step", "many"]) $(id).disabled = diverged;
    if (diverged) stop();
  }
  function show(nowTheta, nowImage, again = false) {
    const choice = $("batch").querySelector("input:checked").value;
    const one = nowImage.truth === null ? [] : [nowImage];
    const next = { one, ten: images.slice(0, 10), all: images }[choice];
    const same = next.length === batch.length && next.every((other, k) => other === batch[k]);
    const unchanged = same && theta === nowTheta;
    [theta, image, batch] = [nowTheta, nowImage, next];
    $("no-batch").hidden = batch.length > 0;
    $("reduced").hidden = batch.length === 0;
    $("reset").disabled = theta === trained;
    if (!same) forget();
    if (batch.length === 0 || (unchanged && !again)) return;
    divide();
    if (!unchanged) costs.push(total.E / total.n);
    compare();
  }
  async function take(times) {
    const mine = {};
    running = mine;
    $("stop").disabled = times === 1;
    for (let k = 0; k < times && running === mine; k++) {
      goTo(longest + parts.length);
      before = after;
      move(step(theta, total, Number($("alpha").value)));
      await new Promise(requestAnimationFrame);
    }
    if (running === mine) stop();
  }
  function stop() {
    running = null;
    $("stop").disabled = true;
  }
  function forget() {
    stop();
    [before, costs] = [null, []];
  }
  function startFrom(start) {
    forget();
    move(start);
  }
  const random = ([name, A]) => [name, A.map(() => Math.random() - 0.5)];
  // From U(-0.5, 0.5) the article's network learns, and others may not.
  $("afresh").hidden = layers.some(({ kind }) => !["dense", "sigmoid"].includes(kind));
  $("afresh").onclick = () => startFrom(Object.fromEntries(Object.entries(trained).map(random)));
  $("reset").onclick = () => startFrom(trained);
  $("step").onclick = () => take(1);
  $("many").onclick = () => take(50);
  $("stop").onclick = stop;
  $("play").onclick = () => play(Number.POSITIVE_INFINITY);
  $("forth").onclick = () => play(1);
  $("halt").onclick = halt;
  $("at").oninput = () => {
    halt();
    goTo(Number($("at").value));
  };
  $("batch").onchange = () => show(theta, image);
  $("partitions").onchange = divide;
  $("alpha").value = alpha;
  const numbers = Object.values(trained).reduce((sum, A) => sum + A.length, 3);
  const [all, size] = [numbers, numbers * bytes].map((n) => n.toLocaleString("en"));
  $("size").textContent = `Here a tuple has ${all} numbers, ${size} bytes.`;
  return show;
}
