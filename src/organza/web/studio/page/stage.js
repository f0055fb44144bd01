// The image on show in Generate and in Explore: asked for anew whenever its recipe changes.

import { ask, once, show } from "./api.js";
import { h, put } from "./dom.js";
import { trouble } from "./fields.js";
import { latest } from "./latest.js";
import { body, recipe, words } from "./recipe.js";
import { changed, on, studio } from "./studio.js";

/** Pixels from which on a moving slider shows JPEG, and PNG once it rests. */
const LARGE = 256 * 256;

/** Bytes of the image of a recipe's body, and the milliseconds it took: `{blob, ms}`. */
async function image(sent, path, headers = {}) {
  const began = performance.now();
  const answer = await ask(path, { body: sent, as: "response", headers });
  return { blob: await answer.blob(), ms: performance.now() - began };
}

/** A small image of a recipe, for strips. */
export function small(whole, alt) {
  const element = h("img", { alt, class: "thumbnail" });
  image(body(whole), "api/image").then(({ blob }) => once(element, blob)).catch(() => element.classList.add("missing"));
  return element;
}

/**
 * A figure with the image. `panel` is the tab: nothing is asked for while it is hidden.
 *
 * `wanted()` gives what to ask for: `{sent, path, alt}`; unless said, the recipe's one image.
 */
export function stage(panel, wanted = () => ({ sent: body(), path: "api/image", alt: `Image of ${words()}` })) {
  // Under this name a request takes the place of an older one that has not begun.
  const own = { "x-organza-page": crypto.getRandomValues(new Uint32Array(2)).join("-") };
  const line = trouble();
  const shown = h("img", { alt: "", class: "shown" });
  const about = h("figcaption", {});
  const frame = h("figure", { class: "stage", "aria-busy": "false" }, h("div", { class: "well" }, shown), about, line);
  shown.addEventListener("load",
    () => shown.classList.toggle("small", Math.min(shown.naturalWidth, shown.naturalHeight) < 200));
  let last = "",
    rest;
  const wish = latest(
    async ({ sent, path, alt }) => {
      frame.setAttribute("aria-busy", "true");
      return { ...(await image(sent, path, own)), alt };
    },
    ({ blob, ms, alt }) => {
      line.say(null);
      frame.blob = blob;
      show(shown, blob).alt = alt;
      put(about, h("span", {}, alt.replace(/^Image of /, "")), h("span", {}, `${Math.round(ms)} ms`));
      frame.setAttribute("aria-busy", "false");
      frame.dataset.count = Number(frame.dataset.count ?? 0) + 1;
    },
    (error) => {
      last = "";
      frame.setAttribute("aria-busy", "false");
      line.say(error.message);
    },
  );
  frame.refresh = () => {
    if (panel.hidden || studio.network?.does !== "generate") return;
    if (studio.network.text && !recipe.text && !recipe.w)
      return line.say("This network generates what a text says: write one.");
    const asked = wanted();
    if (asked.sent.noise !== "random" && JSON.stringify(asked) === last) return;
    last = JSON.stringify(asked);
    clearTimeout(rest);
    if (asked.path === "api/image" && studio.network.width * studio.network.height >= LARGE) {
      wish({ ...asked, sent: { ...asked.sent, format: "jpeg" } }); // it is sooner there
      rest = setTimeout(() => wish(asked), 300);
    } else wish(asked);
  };
  on("recipe", frame.refresh);
  on("network", frame.refresh);
  return frame;
}

/** Tell all stages to look again, such as when a tab is shown. */
export const again = () => changed("recipe");
