// The controls of one image that Generate and Explore share: seed, truncation, class or text, noise.

import { button, h, put } from "./dom.js";
import { choice, segments, slider, text } from "./fields.js";
import { alter, recipe } from "./recipe.js";
import { on, studio } from "./studio.js";

const MOST = 2 ** 32 - 1;

/** A seed that nobody chose. */
export const dice = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;

/** The seed, with its neighbours and a shuffle. */
export function seeds() {
  const field = text("Seed", { type: "number", min: 0, max: MOST, step: 1, value: recipe.seed,
    onchange: (now) => seed(Number(now)) });
  field.input.addEventListener("input", () => field.input.value !== "" && seed(Number(field.input.value)));
  const seed = (now) => Number.isInteger(now) && now >= 0 && now <= MOST && alter({ seed: now, w: null, row: 0 });
  const saved = h("p", { class: "hint" });
  const buttons = h("div", { class: "buttons" },
    button("−", () => seed(recipe.seed - 1), { "aria-label": "The seed before" }),
    button("+", () => seed(recipe.seed + 1), { "aria-label": "The next seed" }), button("Shuffle", () => seed(dice())));
  const update = () => {
    if (document.activeElement !== field.input) field.set(recipe.seed);
    put(saved, recipe.w &&
      [`It is row ${recipe.row + 1} of ${recipe.w.split("/").at(-1)} now, not a seed. `,
        button("Back to the seed", () => alter({ w: null, row: 0 }), { kind: "quiet" })]);
  };
  on("recipe", update);
  update();
  return h("div", {}, field, buttons, saved);
}

/** Truncation, class or text, and noise: what the open network has of them. */
export function sampling() {
  const element = h("div", { class: "controls" });
  let parts = [];
  function build() {
    const network = studio.network;
    if (network?.does !== "generate") return;
    parts = [];
    const add = (part, value) => parts.push([part, value]);
    if (network.text) {
      const words = text("Text", { value: recipe.text ?? "", placeholder: "blonde hair blue eyes",
        help: "What the image shows, in the words of its training." });
      words.input.addEventListener("input", () => alter({ text: words.value().trim() || null }));
      add(words, () => recipe.text);
    }
    if (network.truncation) {
      add(
        slider("Truncation psi", { least: -1, most: 1.5, step: 0.01, value: recipe.psi, onchange: (psi) =>
          alter({ psi }), help: "1: the full variety; 0: the average image; below: opposites." }),
        () => recipe.psi,
      );
      if (network.layers > 1) {
        add(
          slider("Truncate the first layers", { least: 0, most: network.layers, step: 1, value: recipe.cutoff,
            none: "all", onchange: (now) => alter({ cutoff: now === network.layers ? null : now }) }),
          () => recipe.cutoff,
        );
      }
    }
    if (network.classes && network.label_names?.length) {
      add(
        choice("Class", network.label_names.map((name, place) => [String(place), name]), recipe.class ?? "0", (now) =>
          alter({ class: now, label: null })),
        () => recipe.class ?? "0",
      );
    } else if (network.classes) {
      add(
        text("Class", { type: "number", min: 0, max: network.labels - 1, value: recipe.class ?? "0", onchange: (now) =>
          alter({ class: now, label: null }), help: `0 to ${network.labels - 1}` }),
        () => recipe.class ?? "0",
      );
    }
    if (network.labels) {
      const names = network.classes ? "" : ` Here: ${network.label_names.slice(0, 20).join(", ") || network.labels}.`;
      add(
        text(network.classes ? "Label vector instead" : "Labels", { value: recipe.label ?? "", placeholder: "0,1,0.5",
          onchange: (now) => alter({ label: now.trim() || null }),
          help: `Numbers, one for each label, or names.${names}` }),
        () => recipe.label,
      );
    }
    if (network.noise) {
      add(
        segments("Noise", [["const", "stored"], ["random", "fresh"], ["none", "none"]], recipe.noise, (noise) =>
          alter({ noise })),
        () => recipe.noise,
      );
    }
    put(element, parts.map(([part]) => part), without(network));
  }
  const update = () => {
    if (!element.contains(document.activeElement)) parts.forEach(([part, value]) => part.set(value()));
  };
  on("network", build);
  on("recipe", update);
  build();
  return element;
}

/** What people may look for here and the network has not. */
function without(network) {
  const lacks = [!network.noise && "noise inputs", network.layers <= 1 && "styles to mix"].filter(Boolean);
  return lacks.length ? h("p", { class: "hint" }, `${network.kind} has no ${lacks.join(", no ")}.`) : null;
}
