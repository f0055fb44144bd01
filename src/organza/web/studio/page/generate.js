// The tab Generate: images from seeds, one or a grid, live while a slider moves.

import { ask, download, save } from "./api.js";
import { button, h, put, say } from "./dom.js";
import { segments, slider, text, trouble, worker } from "./fields.js";
import { needs } from "./missing.js";
import { at, move } from "./place.js";
import { body, recipe, words } from "./recipe.js";
import { dice, sampling, seeds } from "./sampling.js";
import { again, stage } from "./stage.js";
import { refresh, studio } from "./studio.js";

const WAY = { png: /\.png$/, json: /\.json$/, w: /\.(npz|npy)$/ };

/** Seeds as they are typed: "0-3,8" to [0, 1, 2, 3, 8]; null where they can't be read or are too many. */
export function numbers(typed, most) {
  const found = [];
  for (const part of typed.split(",")) {
    const match = /^\s*(\d{1,10})\s*(?:-\s*(\d{1,10}))?\s*$/.exec(part);
    if (!match) return null;
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (last < first || last - first >= most) return null;
    for (let each = first; each <= last; each++) found.push(each);
  }
  return found.length <= most ? found : null;
}

/** Build the tab. */
export function make(panel) {
  const line = trouble(), most = studio.about.limits?.images ?? 64;
  let many = at("grid") !== null, list = at("grid") || "0-11", columns = Number(at("columns")) || 4;

  const wanted = () => {
    if (!many) return { sent: body(), path: "api/image", alt: `Image of ${words()}` };
    const all = numbers(list, most);
    const { seed, w, row, ...rest } = body();
    return { sent: { ...rest, seeds: all ?? [recipe.seed], columns }, path: "api/grid",
      alt: `Images of seeds ${all ? list : recipe.seed}` };
  };
  const figure = stage(panel, wanted);
  const one = seeds();
  const typed = text("Seeds", { value: list, placeholder: "0-11", help: `Seeds and ranges, ${most} at most: 0-7,12`,
    onchange: (now) => {
      const found = numbers(now, most);
      line.say(found ? null : `${now}: not seeds such as 0-7,12, or more than ${most}`);
      if (found) grid(now.trim());
    } });
  const wide = slider("Columns", { least: 1, most: 12, step: 1, value: columns, onchange: (now) => {
    columns = Math.min(most, Math.max(1, Math.round(now)));
    grid(list);
  } });
  const several = h("div", {}, typed, wide, h("div", { class: "buttons" }, button("Shuffle", () => {
    const count = numbers(list, most)?.length ?? 12, first = dice();
    grid(`${first}-${first + count - 1}`);
  })));
  const how = segments("Show", [["one", "one image"], ["grid", "a grid"]], many ? "grid" : "one", (now) => {
    many = now === "grid";
    grid(list);
  });
  function grid(now) {
    list = now;
    typed.set(list);
    one.hidden = many;
    several.hidden = !many;
    move({ grid: many ? list : null, columns: many && columns !== 4 ? columns : null });
    again();
  }
  one.hidden = many;
  several.hidden = !many;

  let saved = { of: null, files: [] };
  async function take(kind) {
    const { sent } = wanted(), { columns: _, ...what } = sent, key = JSON.stringify(sent);
    // Fresh noise is another image each time: what is shown is what is kept.
    if (kind === "png" && figure.blob && sent.noise === "random") return save(figure.blob, "image.png");
    if (saved.of !== key) {
      saved = { of: key, files: (await ask("api/save", { body: many ? sent : what })).files };
      refresh();
    }
    const found = saved.files.filter((each) => WAY[kind].test(each.name));
    if (!found.length) throw new Error("this network's images have none of that");
    for (const each of found) await download(each.id, each.name);
    say(`Saved ${found.map((each) => each.name).join(", ")}; also in ${found[0].id.split("/").slice(0, -1).join("/")}`);
  }
  const keep = h("div", { class: "buttons" },
    worker("PNG", line, () => take("png"), { kind: "main", "aria-label": "Download the PNG" }),
    worker("JSON", line, () => take("json"), { "aria-label": "Download the JSON for organza redo" }),
    worker("w", line, () => take("w"), { "aria-label": "Download w" }),
    navigator.clipboard && button("Copy link", () =>
      line.attempt(async () => {
        await navigator.clipboard.writeText(location.href);
        say("The link is copied.");
      })));

  const rest = h("div", { class: "split" }, h("div", { class: "left" }, figure),
    h("div", { class: "right card" }, how, one, several, sampling(),
      h("div", { class: "row" }, h("h3", {}, "Keep it"), keep,
        h("p", { class: "hint" },
          "From the JSON, organza redo makes it again, byte for byte; w is what other tools read.")), line));
  put(panel, h("h2", { class: "heard" }, "Generate"), needs("generate", rest), rest);
  return { shown: figure.refresh };
}
