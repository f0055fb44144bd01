// The tab Translate: an image that is sent, pasted or seen by the webcam, through the open translator.

import { ask, save, upload } from "./api.js";
import { camera, lacking } from "./camera.js";
import { compare } from "./compare.js";
import { button, count, h, put } from "./dom.js";
import { check, choice, files, pasted, segments, text, trouble, worker } from "./fields.js";
import { card } from "./job.js";
import { latest } from "./latest.js";
import { needs } from "./missing.js";
import { at, move } from "./place.js";
import { start } from "./queue.js";
import { choose, on, studio } from "./studio.js";

/** Build the tab. */
export function make(panel) {
  const line = trouble(), figure = compare(), about = h("p", { class: "hint", role: "status" }), running = h("div", {});
  const wish = { target: at("target"), class: at("class"), seed: Number(at("seed")) || 0, size: "trained",
    cartoon: false, paste: false, match: false, faces: "largest", background: "white" };
  let source = null, seen = null, name = "image";

  const query = () => {
    const network = studio.network, sent = { network: network.id, model: network.model };
    if (wish.cartoon)
      return { ...sent, paste: wish.paste || null, match_colours: (wish.paste && wish.match) || null, faces: wish.faces,
        background: wish.background };
    return { ...sent, target: network.targets?.length ? wish.target ?? network.targets[0] : null,
      class: network.labels && !network.targets?.length ? wish.class ?? 0 : null, seed: wish.seed || null,
      size: wish.size };
  };
  const translated = (blob, format) =>
    ask(wish.cartoon ? "api/cartoon" : "api/translate", { body: blob, query: { ...query(), format }, as: "blob" });
  const wanted = latest(
    async (blob) => {
      const began = performance.now();
      return { blob: await translated(blob), ms: performance.now() - began };
    },
    ({ blob, ms }) => {
      line.say(null);
      figure.result(blob);
      keep.hidden = false;
      about.textContent = `${name}: ${Math.round(ms)} ms`;
    },
    (error) => line.say(error.message),
  );
  const again = () => {
    move({ target: wish.target, seed: wish.seed || null });
    if (source && !seen) wanted(source);
  };

  async function taken(found) {
    stop();
    const each = found[0];
    name = each.name;
    if (/^video\//.test(each.type) || /\.(mp4|mov|mkv|webm|avi)$/i.test(name)) return moving(each);
    source = each;
    keep.hidden = true;
    figure.source(each);
    await wanted(each);
  }

  async function moving(each) {
    const sent = await upload(each, each.name, {
      sent: (share) => (about.textContent = `${each.name}: ${Math.floor(100 * share)}% sent`),
    });
    about.textContent = `${each.name}: ${sent.note}`;
    const asked = query(), options = { network: asked.network };
    if (asked.model && studio.network.models.length > 1) options.model = asked.model;
    if (wish.cartoon)
      Object.assign(options, { photo: sent.id, faces: wish.faces,
        ...(wish.paste && wish.match && { match_colours: true }) });
    else Object.assign(options, { input: sent.id, ...(asked.target && { target: asked.target }),
        ...(asked.class !== null && { class_: String(asked.class) }), ...(asked.seed && { seed: asked.seed }),
        ...(asked.size !== "trained" && { size: asked.size }) });
    const job = await start(wish.cartoon ? "cartoon" : "translate", options);
    put(running, card(job.id));
  }

  const source_of = files("Choose an image or a video", { accept: "image/*,video/*",
    hint: "Or drop it here, or paste an image.", onfiles: (found) => line.attempt(() => taken(found)) });
  pasted(panel, (found) => line.attempt(() => taken(found)));

  /** A frame's result. Who looks away for a moment, or leaves the image, does not end it. */
  async function followed(frame) {
    figure.source(frame);
    try {
      return await translated(frame, "jpeg");
    } catch (error) {
      if (!wish.cartoon || !/^no face/.test(error.message)) throw error;
      about.textContent = "No face is seen.";
      return null;
    }
  }
  const begin = worker("Start the webcam", line, async () => {
    const on = await camera(followed, (blob, rate) => {
      figure.result(blob);
      panel.dataset.frames = Number(panel.dataset.frames ?? 0) + 1;
      about.textContent = rate ? `${count(rate, 2)} frames a second` : "";
    });
    seen = on;
    keep.hidden = true;
    toggle();
    on.ended.catch((error) => line.say(error.message)).finally(() => seen === on && stop());
  });
  const end = button("Stop the webcam", () => stop());
  const blind = lacking();
  function stop() {
    seen?.stop();
    seen = null;
    toggle();
  }
  function toggle() {
    begin.hidden = Boolean(seen) || Boolean(blind);
    end.hidden = !seen;
  }
  toggle();
  const keep = h("div", { class: "buttons", hidden: true },
    button("Save the PNG", () => figure.blob && save(figure.blob, `${name.replace(/\.[^.]*$/, "")}-translated.png`), {
      kind: "main",
    }));

  const options = h("div", { class: "controls" });
  function build() {
    const network = studio.network;
    if (network?.does !== "translate") return stop();
    const faces = studio.about.faces;
    if (!faces) wish.cartoon = false;
    if (wish.target && !network.targets?.includes(wish.target)) wish.target = null;
    put(options, network.models?.length > 1 &&
      segments("Which way", network.models.map((each) => [each, each]), network.model,
        (model) =>
          line.attempt(async () => {
            await choose(network.id, model);
            again();
          })), faces
      ? check("Cartoon: find the faces first", wish.cartoon, (now) => {
        wish.cartoon = now;
        build();
        again();
      })
      : h("p", { class: "hint" },
        "Cartoons of whole photographs need helper networks for faces, which are not here: organza cartoon --help."),
      wish.cartoon
        ? [
          choice("Which faces", [["largest", "the largest"], ["all", "all"]], wish.faces,
            (now) => ((wish.faces = now), again())),
          check("Paste the cartoons into the photograph", wish.paste, (now) => {
            wish.paste = now;
            build();
            again();
          }),
          wish.paste && check("Give them the photograph's colours", wish.match, (now) => ((wish.match = now), again())),
          segments("Background", [["white", "white"], ["keep", "the network's own"]], wish.background,
            (now) => ((wish.background = now), again())),
        ]
        : [
          network.targets?.length > 0 &&
          choice("Target", network.targets.map((each) => [each, each]), wish.target ?? network.targets[0],
            (now) => ((wish.target = now), again())),
          network.targets?.length > 0 &&
          text("Or several", { value: "", placeholder: "Blond_Hair, no Male",
            onchange: (now) => ((wish.target = now.trim() || null), again()),
            help: "Names joined by commas; no before what is to go." }),
          network.labels > 0 && !network.targets?.length &&
          (network.label_names?.length
            ? choice("Class", network.label_names.map((each, place) => [String(place), each]), wish.class ?? "0",
              (now) => ((wish.class = now), again()))
            : text("Class", { type: "number", min: 0, max: network.labels - 1, value: wish.class ?? 0,
              onchange: (now) => ((wish.class = now), again()) })),
          segments("Size", [["trained", "as trained"], ["own", "its own"]], wish.size,
            (now) => ((wish.size = now), again())),
          text("Seed", { type: "number", min: 0, value: wish.seed,
            onchange: (now) => ((wish.seed = Math.max(0, Math.floor(Number(now)))), again()),
            help: "For networks with a code or dropout; others give the same image for any." }),
        ]);
  }
  on("network", build);
  build();

  const rest = h("div", { class: "split" }, h("div", { class: "left" }, figure, about, keep, running),
    h("div", { class: "right card" }, source_of,
      h("div", { class: "row" }, h("div", { class: "buttons" }, begin, end), blind && h("p", { class: "hint" }, blind)),
      options, line));
  put(panel, h("h2", { class: "heard" }, "Translate"), needs("translate", rest), rest);
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  return {};
}
