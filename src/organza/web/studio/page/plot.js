// Curves over thousands of images: one small plot for each statistic, one line for each run.

import { count, h, put, s } from "./dom.js";

const WIDE = 320, HIGH = 170, LEFT = 52, RIGHT = 8, TOP = 10, LOW = 26;

/** About `many` round numbers from `least` to `most`. */
export function ticks(least, most, many = 4) {
  const span = most - least;
  if (!(span > 0)) return [least];
  const rough = span / many, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(least / step) * step; at <= most + step * 1e-9; at += step) {
    found.push(Math.abs(at) < step / 1e6 ? 0 : at);
  }
  return found;
}

/**
 * A plot that values can be read from, by hovering and by the arrow keys.
 *
 * `lines`: [{name, place, points: [[kimg, value], ...]}]; `place` chooses colour and dashes.
 */
export function plot(title, lines) {
  const points = lines.flatMap((each) => each.points).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const readout = h("p", { class: "readout", "aria-live": "polite" });
  const newest = lines.map((each) => [each, each.points.at(-1)]).filter(([, last]) => last);
  const told = newest.map(([each, [, value]]) => `${lines.length > 1 ? `${each.name} ` : ""}${count(value)}`).join(
    ", ",
  );
  readout.textContent = told;
  if (!points.length)
    return h("figure", { class: "plot" }, h("figcaption", {}, title), h("p", { class: "hint" }, "no values yet"));
  const xs = points.map(([x]) => x), least_x = Math.min(...xs), most_x = Math.max(...xs);
  const [least, most] = heights(points.map(([, y]) => y));
  const across = (x) => LEFT + ((x - least_x) / (most_x - least_x || 1)) * (WIDE - LEFT - RIGHT);
  const up = (y) =>
    HIGH - LOW - ((Math.min(most, Math.max(least, y)) - least) / (most - least || 1)) * (HIGH - LOW - TOP);
  const grid = ticks(least, most).map((y) => [
    s("line", { x1: LEFT, x2: WIDE - RIGHT, y1: up(y), y2: up(y), class: "grid" }),
    s("text", { x: LEFT - 6, y: up(y) + 4, "text-anchor": "end" }, short(y)),
  ]);
  const below = ticks(least_x, most_x, 3).map((x) =>
    s("text", { x: across(x), y: HIGH - 8, "text-anchor": "middle" }, short(x))
  );
  const curves = lines.map((each) =>
    s("path", { class: `line line-${each.place % 6}`, d: each.points.filter(([, y]) =>
      Number.isFinite(y)
    ).map(([x, y], place) => `${place ? "L" : "M"}${across(x).toFixed(1)} ${up(y).toFixed(1)}`).join("") })
  );
  const dots = lines.map((each) => s("circle", { r: 3.5, class: `dot line-${each.place % 6}`, visibility: "hidden" }));
  const cross = s("line", { class: "cross", y1: TOP, y2: HIGH - LOW, visibility: "hidden" });
  const drawing = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, tabindex: 0, role: "img",
    "aria-label": `${title} against thousands of images: ${told}. Left and right read values.` }, grid, below, curves,
    cross, dots);
  const stops = [...new Set(xs)].sort((a, b) => a - b);
  let now = stops.length - 1;
  function read(place) {
    now = Math.max(0, Math.min(stops.length - 1, place));
    const x = stops[now], said = [];
    for (const [each, line] of lines.entries()) {
      const near = line.points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best),
        line.points[0] ?? [NaN, NaN]);
      const inside = near && Number.isFinite(near[1]) && x <= line.points.at(-1)[0] && x >= line.points[0][0];
      dots[each].setAttribute("visibility", inside ? "visible" : "hidden");
      if (!inside) continue;
      dots[each].setAttribute("cx", across(near[0]));
      dots[each].setAttribute("cy", up(near[1]));
      said.push(`${lines.length > 1 ? `${line.name} ` : ""}${count(near[1])}`);
    }
    cross.setAttribute("visibility", "visible");
    cross.setAttribute("x1", across(x));
    cross.setAttribute("x2", across(x));
    readout.textContent = `${count(x)} kimg: ${said.join(", ")}`;
  }
  function leave() {
    [cross, ...dots].forEach((each) => each.setAttribute("visibility", "hidden"));
    readout.textContent = told;
  }
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const x = least_x +
      (((event.clientX - box.left) / box.width) * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * (most_x - least_x);
    read(stops.reduce((best, stop, place) => (Math.abs(stop - x) < Math.abs(stops[best] - x) ? place : best), 0));
  });
  drawing.addEventListener("pointerleave", leave);
  drawing.addEventListener("blur", leave);
  drawing.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: stops.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    read(to);
  });
  return h("figure", { class: "plot" }, h("figcaption", {}, title), drawing, readout);
}

/** The range that is shown: all values, or without the outermost hundredths where those would flatten the rest. */
function heights(values) {
  const sorted = values.slice().sort((a, b) => a - b), at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  let [least, most] = [sorted[0], sorted.at(-1)];
  const low = at(0.01), high = at(0.99);
  if (sorted.length > 50 && high > low && most - least > 5 * (high - low)) [least, most] = [low, high];
  if (least === most) return [least - (Math.abs(least) || 1) / 2, most + (Math.abs(most) || 1) / 2];
  return [least, most];
}

const short = (
  value,
) => (Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3)
  ? value.toExponential(0)
  : String(Number(value.toPrecision(3))));

/** Which line is which run. */
export const legend = (lines) =>
  put(h("ul", { class: "legend" }), lines.map((each) =>
    h("li", {},
      s("svg", { viewBox: "0 0 28 8", "aria-hidden": "true" },
        s("path", { class: `line line-${each.place % 6}`, d: "M1 4L27 4" })), each.name)
  ));
