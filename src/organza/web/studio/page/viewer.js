// Results of a job: small images that open large, videos that play, files to save.

import { ask, download, once, show, thumbnail } from "./api.js";
import { button, h, say } from "./dom.js";
import { choose } from "./studio.js";

/** Show an image of the workspace as large as it is. */
export async function look(id, name) {
  const image = show(h("img", { alt: name }), await ask("api/files", { query: { id }, as: "blob" }));
  const dialog = h("dialog", { class: "viewer", "aria-label": name },
    h("div", { class: "buttons" }, h("p", {}, name), button("Save", () => download(id, name)),
      button("Close", () => dialog.close())), image);
  dialog.addEventListener("close", () => {
    URL.revokeObjectURL(image.src);
    dialog.remove();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

/** A video of the workspace with its controls; it is fetched when it is shown. */
export function video(id, name) {
  const player = h("video", { controls: true, loop: true, muted: true, playsinline: true,
    autoplay: !matchMedia("(prefers-reduced-motion: reduce)").matches, "aria-label": name });
  ask("api/files", { query: { id }, as: "blob" }).then((blob) => show(player, blob)).catch(() => player.remove());
  return player;
}

/** One result, `{id, name, kind}`. `line`: where errors are shown. */
export function result(each, line) {
  const save = button("Save", () => line.attempt(() => download(each.id, each.name)), {
    "aria-label": `Save ${each.name}`,
  });
  if (/\.gif$/i.test(each.name)) {
    const image = h("img", { alt: each.name });
    ask("api/files", { query: { id: each.id }, as: "blob" }).then((blob) => once(image, blob)).catch(() =>
      image.remove()
    );
    return h("figure", { class: "result" }, image, h("figcaption", {}, each.name, save));
  }
  if (each.kind === "video")
    return h("figure", { class: "result" }, video(each.id, each.name), h("figcaption", {}, each.name, save));
  if (each.kind === "image") {
    const open = h("button", { type: "button", class: "open", "aria-label": `Show ${each.name}`, onclick: () =>
      line.attempt(() => look(each.id, each.name)) }, thumbnail(each.id, "", 256));
    return h("figure", { class: "result" }, open, h("figcaption", {}, each.name, save));
  }
  const opens = each.kind === "network" && button("Open", () =>
    line.attempt(async () => {
      await choose(each.id);
      say(`${each.name} is open`);
    }), { "aria-label": `Open ${each.name}`, kind: "main" });
  return h("p", { class: "result" }, each.name, opens, each.kind !== "network" && each.kind !== "run" && save);
}
