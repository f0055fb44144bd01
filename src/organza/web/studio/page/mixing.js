// Style mixing: some layers of the image take their styles from other seeds.

import { button, h, put } from "./dom.js";
import { text } from "./fields.js";
import { alter, recipe } from "./recipe.js";
import { dice } from "./sampling.js";
import { on, studio } from "./studio.js";

/** The paper's groups of layers: two for each size, from 4x4 up; first and last (exclusive). */
const GROUPS = [["coarse", "pose and shape", 0, 4], ["middle", "features", 4, 8], ["fine", "colours", 8, Infinity]];

/** "0-3,7" as a set of numbers. */
export function layers_of(words) {
  const found = new Set();
  for (const part of words.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match) { for (let each = Number(match[1]); each <= Number(match[2] ?? match[1]); each++) found.add(each); }
  }
  return found;
}

/** A set of numbers as "0-3,7". */
export function words_of(layers) {
  const parts = [];
  for (const each of [...layers].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] === each - 1) last[1] = each;
    else parts.push([each, each]);
  }
  return parts.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** The controls. */
export function mixing() {
  const list = h("div", {});
  const more = button("Add a seed", () => {
    const count = studio.network.layers;
    alter({ mix: [...recipe.mix, { seed: dice(), layers: words_of(range(0, Math.min(4, count))) }] });
  });
  const change = (place, changes) =>
    alter({ mix: recipe.mix.map((each, here) => (here === place ? { ...each, ...changes } : each)) });
  let built = "";

  function one(each, place, count) {
    const chosen = layers_of(each.layers);
    const seed = text("Styles from seed", { type: "number", min: 0, max: 2 ** 32 - 1, value: each.seed,
      onchange: (now) => /^\d+$/.test(now) && change(place, { seed: Number(now) }) });
    const toggle = (layers, on) => {
      const now = new Set(chosen);
      layers.forEach((layer) => (on ? now.add(layer) : now.delete(layer)));
      if (now.size) change(place, { layers: words_of(now) });
    };
    const groups = GROUPS.filter(([, , first]) => first < count).map(([name, about, first, last]) => {
      const own = range(first, Math.min(last, count)), all = own.every((layer) => chosen.has(layer));
      return button(name, () => toggle(own, !all), { "aria-pressed": String(all), title: about, class: "chip" });
    });
    const exact = range(0, count).map((layer) =>
      button(String(layer), () => toggle([layer], !chosen.has(layer)), { "aria-pressed": String(chosen.has(layer)),
        "aria-label": `Layer ${layer}`, class: "chip small" })
    );
    return h("fieldset", { class: "mix" }, h("legend", {}, `Source ${place + 1}`), seed,
      h("div", { class: "buttons" }, button("Shuffle", () => change(place, { seed: dice() })),
        button("Remove", () => alter({ mix: recipe.mix.filter((_, here) => here !== place) }), { kind: "quiet",
          "aria-label": `Remove source ${place + 1}` })),
      h("div", { class: "buttons", role: "group", "aria-label": "Groups of layers" }, groups),
      h("div", { class: "buttons tight", role: "group", "aria-label": "Layers" }, exact));
  }

  function update() {
    const network = studio.network;
    if (network?.does !== "generate") return;
    const able = network.layers > 1;
    more.hidden = !able || recipe.mix.length >= 8;
    const key = JSON.stringify([network.id, network.layers, recipe.mix]);
    if (key === built) return;
    built = key;
    const focus = [...list.querySelectorAll("button, input")].indexOf(document.activeElement);
    put(list,
      able
        ? recipe.mix.map((each, place) => one(each, place, network.layers))
        : h("p", { class: "hint" },
          `${network.kind} has one latent code for the whole image, and no layers to take from another.`));
    if (able && !recipe.mix.length)
      put(list,
        h("p", { class: "hint" }, "Coarse layers carry pose and shape, middle ones features, fine ones colours."));
    if (focus >= 0) list.querySelectorAll("button, input")[focus]?.focus();
  }
  on("recipe", update);
  on("network", update);
  update();
  return h("div", {}, list, h("div", { class: "buttons" }, more));
}

const range = (first, last) => Array.from({ length: Math.max(0, last - first) }, (_, place) => first + place);
