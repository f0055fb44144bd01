// The tab Explore: what can be done with the image on show, part by part.

import { directions } from "./directions.js";
import { h, put } from "./dom.js";
import { fold } from "./fields.js";
import { keyframes } from "./keyframes.js";
import { needs } from "./missing.js";
import { mixing } from "./mixing.js";
import { blending, projection } from "./projection.js";
import { sampling, seeds } from "./sampling.js";
import { stage } from "./stage.js";

/** Build the tab. */
export function make(panel) {
  const figure = stage(panel);
  const strip = keyframes();
  const rest = h("div", { class: "split" }, h("div", { class: "left" }, figure, strip.strip),
    h("div", { class: "right" }, fold("Seed, truncation, noise", true, seeds(), sampling()),
      fold("Style mixing", false, mixing()), fold("Directions", false, directions()),
      fold("Keyframes and videos", false, strip.controls), fold("Project an image", false, projection()),
      fold("Blend with another network", false, blending())));
  put(panel, h("h2", { class: "heard" }, "Explore"), needs("generate", rest), rest);
  return { shown: figure.refresh };
}
