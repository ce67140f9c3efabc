// The reduce and the step: the tuples of a mini-batch are added up, and the parameters move.

import { derivativeCells } from "./chain.js";
import { add, addImage, emptySums, forward, step } from "./mathematics.js";
import { curve, make, picture, say, thumb } from "./pictures.js";

const ROWS = 10; // images in the table
// Fills the section; move(theta) is called at each step. Returns show(theta, image).
export function reduceOn($, { layers, digits, alpha, bytes }, trained, images, move) {
  const sums = Object.entries(derivativeCells(layers)).reverse(); // in the order of the chain
  const pictures = sums.map(([name, cells]) => ({ name, cells, ...picture(`Σ ${name}`) }));
  $("sums").append(...pictures.map(({ element }) => element));
  let [theta, image, batch, total] = [null, null, [], null];
  let [before, costs, running] = [null, [], false]; // the outcome before the last step; all costs

  const told = (text, { E, Acc, n }) => `${text} E = ${say(E)}, Acc = ${Acc}, n = ${n}`;
  const sumOf = (some) =>
    some.reduce((sum, one) => addImage(sum, layers, theta, one), emptySums(theta));
  const outcome = () => ({
    cost: [total.E / total.n],
    accuracy: [total.Acc / total.n],
    Y: batch.slice(0, ROWS).map(({ x }) => forward(layers, theta, x).at(-1)),
  });

  function reduce() {
    const count = Number($("partitions").value);
    const share = (p) => Math.floor((batch.length * p) / count);
    const numbers = Object.values(theta).reduce((sum, A) => sum + A.length, 3);
    const [all, size] = [numbers, numbers * bytes].map((n) => n.toLocaleString("en"));
    total = emptySums(theta);
    const parts = Array.from({ length: count }, (_, p) => {
      const own = batch.slice(share(p), share(p + 1));
      const sum = sumOf(own);
      add(total, sum);
      const thumbs = make("div", { className: "thumbs" }, ...own.map(({ x }) => thumb(x)));
      const handed = `${told("hands in", sum)} and the derivatives: ${all} numbers, ${size} bytes`;
      const lines = [handed, told("the sum so far:", total)].map((text) => make("p", {}, text));
      return make("li", { className: "box" }, make("b", {}, `partition ${p}`), thumbs, ...lines);
    });
    $("parts").replaceChildren(...parts);
  }
  function pile() {
    const count = Number($("added").value);
    const sum = count === batch.length ? total : sumOf(batch.slice(0, count));
    $("pile").textContent = told("the sum so far:", sum);
    for (const { name, cells, show } of pictures) show(sum.d[name.slice(1)], cells);
  }
  function compare() {
    const after = outcome();
    const text = (values) => (values ? Array.from(values, say).join("  ") : "\u2013");
    const row = (head, was, is) => {
      const values = [was, is].map((value) => make("td", {}, text(value)));
      return make("tr", {}, make("th", { scope: "row" }, head), ...values);
    };
    const measures = ["cost", "accuracy"].map((name) => row(name, before?.[name], after[name]));
    const outputs = after.Y.map((Y, k) => {
      const head = make("span", {}, thumb(batch[k].x), ` Y of a ${digits[batch[k].truth]}`);
      return row(head, before?.Y[k], Y);
    });
    $("outcome").replaceChildren(...measures, ...outputs);
    const afterSteps = (k, cost) => `after ${k} steps: ${say(cost)}`;
    const drawn = curve("cost of these images, step by step", [...costs.entries()], afterSteps);
    $("costs").replaceChildren(...(costs.length > 1 ? [drawn] : []));
  }
  function show(nowTheta, nowImage) {
    const choice = $("batch").querySelector("input:checked").value;
    const one = nowImage.truth === null ? [] : [nowImage];
    const next = { one, ten: images.slice(0, 10), all: images }[choice];
    const same = next.length === batch.length && next.every((other, k) => other === batch[k]);
    const still = same && theta === nowTheta;
    [theta, image, batch] = [nowTheta, nowImage, next];
    $("no-batch").hidden = batch.length > 0;
    $("reduced").hidden = batch.length === 0;
    $("reset").disabled = theta === trained;
    for (const id of ["step", "many"]) $(id).disabled = batch.length === 0;
    if (!same) {
      [running, before, costs] = [false, null, []];
      for (const end of ["max", "value"]) $("added")[end] = batch.length;
    }
    if (still || batch.length === 0) return;
    reduce();
    costs.push(total.E / total.n);
    pile();
    compare();
  }
  async function take(times) {
    if (running) return;
    [running, before] = [true, outcome()];
    $("stop").disabled = times === 1;
    for (let k = 0; k < times && running; k++) {
      move(step(theta, total, Number($("alpha").value)));
      await new Promise(requestAnimationFrame);
    }
    running = false;
    $("stop").disabled = true;
  }
  function startFrom(start) {
    [running, before, costs] = [false, null, []];
    move(start);
  }
  const random = ([name, A]) => [name, A.map(() => Math.random() - 0.5)];
  // From U(-0.5, 0.5) the article's network learns, and others may not.
  $("afresh").hidden = layers.some(({ kind }) => !["dense", "sigmoid"].includes(kind));
  $("afresh").onclick = () => startFrom(Object.fromEntries(Object.entries(trained).map(random)));
  $("reset").onclick = () => startFrom(trained);
  $("step").onclick = () => take(1);
  $("many").onclick = () => take(50);
  $("stop").onclick = () => { running = false; };
  $("added").oninput = pile;
  $("batch").onchange = () => show(theta, image);
  $("partitions").onchange = reduce;
  $("alpha").value = alpha;
  return show;
}
