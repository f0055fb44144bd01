// Keyframes on a strip, and the videos through them; and walks, which need none.

import { ask } from "./api.js";
import { button, h, put } from "./dom.js";
import { segments, slider, trouble, worker } from "./fields.js";
import { card } from "./job.js";
import { start } from "./queue.js";
import { adopt, body, copy, is_plain, recipe, words } from "./recipe.js";
import { small } from "./stage.js";
import { on, studio } from "./studio.js";

const SHARED = ["cutoff", "class", "label", "text"], OPTION = { class: "class_" };

const KEY = "organza-keyframes ";

/** The keyframes of a network that this browser has seen last. */
function remembered(network) {
  try {
    return JSON.parse(localStorage.getItem(KEY + network) ?? "[]");
  } catch {
    return [];
  }
}

/** The strip, and the controls that make videos of it: `{strip, controls}`. */
export function keyframes() {
  const line = trouble(), running = h("div", {}), list = h("ol", { class: "strip", "aria-label": "Keyframes" });
  const empty = h("p", { class: "hint" }, "A video passes through keyframes and back to the first.");
  const wish = { seconds: 8, fps: 30, output: null };
  let frames = [], network = null;

  const add = button("Add to the keyframes", () => set([...frames, { whole: copy(), image: null }]));
  const swap = (place, to) => {
    const now = [...frames];
    [now[place], now[to]] = [now[to], now[place]];
    set(now);
    list.children[to]?.querySelector("button")?.focus();
  };

  function set(now) {
    frames = now;
    if (network) localStorage.setItem(KEY + network, JSON.stringify(frames.map(({ whole }) => whole)));
    for (const each of frames) each.image ??= small(each.whole, words(each.whole));
    const last = frames.length - 1;
    put(list,
      frames.map((each, place) =>
        h("li", {}, h("button", { type: "button", class: "open", onclick: () =>
          adopt(each.whole), "aria-label": `Show keyframe ${place + 1}: ${words(each.whole)}` }, each.image),
          h("div", { class: "buttons tight" }, button("←", () =>
            swap(place, place - 1), { disabled: place === 0, "aria-label": `Move keyframe ${place + 1} forward` }),
            button("→", () =>
              swap(place, place + 1), { disabled: place === last, "aria-label": `Move keyframe ${place + 1} back` }),
            button("✕", () =>
              set(frames.filter((_, here) =>
                here !== place
              )), { "aria-label": `Remove keyframe ${place + 1}` })))
      ));
    empty.hidden = frames.length > 0;
    film.disabled = frames.length < 2;
  }

  function common(whole = recipe) {
    const sent = body(whole),
      options = { network: studio.network.id, seconds: wish.seconds, fps: wish.fps, output: wish.output };
    if (sent.psi !== undefined && sent.psi !== 1) options.trunc = sent.psi;
    for (const name of SHARED) if (sent[name] !== undefined) options[OPTION[name] ?? name] = sent[name];
    if (sent.noise && sent.noise !== "random") options.noise = sent.noise;
    return options;
  }

  const show = (job) => put(running, card(job.id));
  const film = worker("Make the video", line, async () => {
    let options = common();
    // Seeds that share all else are said as seeds, so that the command can be read; others as their w.
    const alike = (whole) => JSON.stringify({ ...whole, seed: 0 });
    if (frames.every(({ whole }) => is_plain(whole) && alike(whole) === alike(frames[0].whole))) {
      options = { ...common(frames[0].whole), seeds: frames.map(({ whole }) => whole.seed).join(",") };
    } else {
      const { id } = await ask("api/codes", { body: { recipes: frames.map(({ whole }) => body(whole)) } });
      options.w = id;
      for (const name of ["trunc", ...SHARED]) delete options[OPTION[name] ?? name]; // they are in the w
    }
    show(await start("interpolate", options));
  }, { kind: "main" });
  const walk = worker("Walk at random", line, async () => {
    show(await start("walk", { ...common(), seeds: String(recipe.seed) }));
  });

  const other = () => {
    if (!studio.network || studio.network.id === network || studio.network.does !== "generate") return;
    network = studio.network.id;
    set(remembered(network).map((whole) => ({ whole, image: null })));
  };
  on("network", other);
  const format = h("div", {});
  line.attempt(async () => {
    const walk = (await ask("api/verbs")).find((each) => each.verb === "walk");
    const endings = walk.fields.find((each) => each.name === "output").choices;
    wish.output = endings[0];
    put(format,
      segments("Format", endings.map((each) => [each, each.slice(1).toUpperCase()]), wish.output,
        (now) => (wish.output = now),
        endings.includes(".mp4")
          ? "GIF takes 50 frames a second at most."
          : "MP4 needs pip install organza[video] on the server."));
  });
  const controls = h("div", {},
    slider("Seconds", { least: 1, most: 30, step: 0.5, value: wish.seconds, onchange: (now) => (wish.seconds = now) }),
    slider("Frames a second", { least: 5, most: 60, step: 1, value: wish.fps, onchange: (now) => (wish.fps = now) }),
    format, h("div", { class: "buttons" }, film, walk),
    h("p", { class: "hint" }, "A walk begins and ends at the seed and needs no keyframes."), line, running);
  set([]);
  other();
  return { strip: h("div", { class: "keyframes" }, h("div", { class: "buttons" }, add), list, empty), controls };
}
