// The image on show, as one description: it is in the address, it is asked of the server, and it is a keyframe.

import { at, move } from "./place.js";
import { changed, studio } from "./studio.js";

const PLAIN = {
  seed: 0,
  w: null,
  row: 0,
  psi: 1,
  cutoff: null,
  class: null,
  label: null,
  text: null,
  noise: "const",
  mix: [],
  directions: null,
  moves: {},
};

/** `mix`: [{seed, layers}]; `moves`: amounts by the numbers of `directions`. */
export const recipe = { ...PLAIN };

/** Change some of it, and tell. */
export function alter(changes) {
  Object.assign(recipe, changes);
  write();
  changed("recipe");
}

/** Take over a whole recipe, such as a keyframe's. */
export const adopt = (whole) => alter({ ...PLAIN, ...structuredClone(whole) });

/** What another network can take of it. */
export const reset = () => alter({ ...PLAIN, seed: recipe.seed });

/** A copy that stays as it is. */
export const copy = () => structuredClone(recipe);

/** What is sent to the server: only what the open network takes. */
export function body(whole = recipe, network = studio.network) {
  const sent = { network: network.id };
  if (network.model) sent.model = network.model;
  if (whole.w) Object.assign(sent, { w: whole.w, row: whole.row });
  else sent.seed = whole.seed;
  if (network.truncation) {
    sent.psi = whole.psi;
    if (whole.cutoff !== null) sent.cutoff = whole.cutoff;
  }
  if (!whole.w && network.labels && whole.label) sent.label = whole.label;
  else if (!whole.w && network.labels && whole.class !== null)
    sent.class = /^\d+$/.test(whole.class) ? Number(whole.class) : whole.class;
  if (!whole.w && network.text && whole.text) sent.text = whole.text;
  if (network.noise) sent.noise = whole.noise;
  if (network.layers > 1 && whole.mix.length) sent.mix = whole.mix;
  const edits = Object.entries(whole.moves).filter(([, amount]) => amount !== 0);
  if (whole.directions && edits.length) {
    sent.edits = edits.map(([index, amount]) => ({ id: whole.directions, index: Number(index), amount }));
  }
  return sent;
}

/** Whether an image is its seed alone, as `--seeds` on the command line can say it. */
export const is_plain = (whole) =>
  !whole.w && !whole.mix.length && !Object.values(whole.moves).some((amount) => amount);

/** A few words for people: seed 7, psi 0.7. */
export function words(whole = recipe) {
  const said = [whole.w ? `code ${whole.row + 1} of ${whole.w.split("/").at(-1)}` : `seed ${whole.seed}`];
  if (whole.psi !== 1) said.push(`psi ${whole.psi}`);
  if (whole.class !== null) said.push(`class ${whole.class}`);
  if (whole.text) said.push(`“${whole.text}”`);
  if (whole.mix.length) said.push(`mixed with ${whole.mix.map((each) => each.seed).join(", ")}`);
  if (!is_plain(whole) && !whole.mix.length && !whole.w) said.push("moved");
  return said.join(", ");
}

const number = (text,
  otherwise) => (text !== null && text !== "" && Number.isFinite(Number(text)) ? Number(text) : otherwise);

/** Read it from the address; what can't be read is left as it was at first. */
export function read() {
  const pairs = (text, sign) =>
    (text ?? "").split(sign === "@" ? ";" : ",").map((each) => each.split(sign)).filter((each) => each.length === 2);
  Object.assign(recipe, PLAIN, {
    seed: Math.max(0, Math.floor(number(at("seed"), 0))),
    w: at("w"),
    row: Math.max(0, Math.floor(number(at("row"), 0))),
    psi: number(at("psi"), 1),
    cutoff: at("cutoff") === null ? null : Math.max(0, Math.floor(number(at("cutoff"), 0))),
    class: at("class"),
    label: at("label"),
    text: at("text"),
    noise: ["random", "none"].includes(at("noise")) ? at("noise") : "const",
    mix: pairs(at("mix"), "@").map(([seed, layers]) => ({ seed: Math.floor(number(seed, 0)), layers })),
    directions: at("directions"),
    moves: Object.fromEntries(pairs(at("moves"), ":").map(([index, amount]) => [index, number(amount, 0)])),
  });
}

function write() {
  const moves = Object.entries(recipe.moves).filter(([, amount]) => amount);
  move({
    seed: recipe.seed || null,
    w: recipe.w,
    row: recipe.row || null,
    psi: recipe.psi === 1 ? null : recipe.psi,
    cutoff: recipe.cutoff,
    class: recipe.class,
    label: recipe.label,
    text: recipe.text,
    noise: recipe.noise === "const" ? null : recipe.noise,
    mix: recipe.mix.map(({ seed, layers }) => `${seed}@${layers}`).join(";"),
    directions: moves.length ? recipe.directions : null,
    moves: moves.map((each) => each.join(":")).join(","),
  });
}
