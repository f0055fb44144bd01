// Projection of an image that was sent and editing from its w; networks blended. Shown where it is asked for.

import { thumbnail, upload } from "./api.js";
import { h, put } from "./dom.js";
import { choice, files, segments, slider, text, trouble, worker } from "./fields.js";
import { card } from "./job.js";
import { start } from "./queue.js";
import { alter, recipe } from "./recipe.js";
import { on, studio } from "./studio.js";

/** The controls of a projection. */
export function projection() {
  const line = trouble(), target = h("div", { class: "near" }), running = h("div", {}), codes = h("div", {});
  const wish = { image: null, space: "w", steps: 1000, tune: 0, fit: "center-crop" };
  const go = worker("Project", line, async () => {
    const options = { network: studio.network.id, pictures: [wish.image.id], space: space.hidden ? "w" : wish.space,
      steps: wish.steps, fit: wish.fit };
    if (wish.tune) options.tune = wish.tune;
    const job = await start("project", options);
    put(running, card(job.id, { ended: (done) => {
      const found = done.results.find((each) => each.kind === "codes");
      if (found) alter({ w: found.id, row: 0 });
    } }));
  }, { kind: "main", disabled: true });
  const image = files("Send an image", { accept: "image/*",
    hint: "Or drop it here. A network of aligned faces wants an aligned face.",
    onfiles: ([found]) =>
      line.attempt(async () => {
        const sent = await upload(found, found.name);
        if (sent.what !== "image") throw new Error(`${found.name}: ${sent.note || "this is no image"}`);
        wish.image = sent;
        go.disabled = false;
        put(target, thumbnail(sent.id, `The image to project: ${found.name}`, 256));
      }) });
  const list = choice("Codes that are there", [], "", (id) => alter({ w: id || null, row: 0 }));
  function update() {
    const found = (studio.workspace?.codes ?? []).map((each) => [each.id, each.name]);
    list.hidden = !found.length;
    list.fill([["", "none: the seed"], ...found]);
    list.set(recipe.w ?? "");
    put(codes, recipe.w &&
      h("p", { class: "hint" },
        "The image on show is this code: mix it, move it along directions, make it a keyframe."));
  }
  on("workspace", update);
  on("recipe", update);
  update();
  const space = segments("Space", [["w", "w"], ["w+", "w+"]], wish.space, (now) => (wish.space = now),
    "w: one code for all layers, good to edit. w+: one for each layer, nearer to the image.");
  on("network", () => (space.hidden = !(studio.network.layers > 1)));
  space.hidden = !(studio.network?.layers > 1);
  return h("div", {}, image, target, space,
    slider("Steps", { least: 50, most: 2000, step: 10, value: wish.steps,
      onchange: (now) => (wish.steps = Math.max(1, Math.round(now))) }),
    slider("Then tune the network (PTI), steps", { least: 0, most: 700, step: 10, value: 0,
      onchange: (now) => (wish.tune = Math.max(0, Math.round(now))),
      help: "0: leave it as it is. 350 is a good start; the tuned network is a result of its own." }),
    choice("Other shapes", [["center-crop", "cut to fit"], ["pad", "padded"], ["stretch", "stretched"]], wish.fit,
      (now) => (wish.fit = now)), h("div", { class: "buttons" }, go), line, running, list, codes);
}

/** The controls that blend the open network with another. */
export function blending() {
  const line = trouble(), running = h("div", {});
  const wish = { second: "", swap: 16, width: 0, amount: 1 };
  const second = choice("Fine layers from", [], "", (now) => (wish.second = now),
    "A network that was trained on from this one, or both from a third.");
  const why = h("p", { class: "hint" });
  const go = worker("Blend", line, async () => {
    const job = await start("blend", { network: studio.network.id, ...wish });
    put(running, card(job.id));
  }, { kind: "main" });
  const rest = h("div", { class: "controls" }, second,
    choice("From this size on", [4, 8, 16, 32, 64, 128, 256, 512].map((each) => [String(each), `${each} pixels`]), "16",
      (now) => (wish.swap = Number(now))),
    slider("Spread the change over doublings", { least: 0, most: 4, step: 0.1, value: 0,
      onchange: (now) => (wish.width = now), help: "0: a clean cut." }),
    slider("Amount", { least: 0, most: 1, step: 0.05, value: 1, onchange: (now) => (wish.amount = now) }),
    h("div", { class: "buttons" }, go), running);
  function update() {
    const network = studio.network;
    if (network?.does !== "generate") return;
    const others = (studio.workspace?.networks ?? []).filter((each) =>
      each.does === "generate" && each.id !== network.id && each.kind === network.kind && each.width === network.width
    );
    const able = network.layers > 1 && others.length > 0;
    rest.hidden = !able;
    why.hidden = able;
    why.textContent = network.layers > 1
      ? `No other ${network.kind} of ${network.width}×${network.height} is in the workspace.`
      : `${network.kind} has no layers of styles to blend.`;
    second.fill(others.map((each) => [each.id, each.name]));
    if (!others.some((each) => each.id === wish.second)) wish.second = others[0]?.id ?? "";
    second.set(wish.second);
  }
  on("workspace", update);
  on("network", update);
  update();
  return h("div", {}, why, rest, line);
}
