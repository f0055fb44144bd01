// Directions: found by a job, moved along by sliders, named by people.

import { ask } from "./api.js";
import { button, h, put, say } from "./dom.js";
import { choice, row, segments, slider, text, trouble, worker } from "./fields.js";
import { card } from "./job.js";
import { start } from "./queue.js";
import { alter, recipe } from "./recipe.js";
import { on, studio } from "./studio.js";

/** The controls. */
export function directions() {
  const line = trouble(), sliders = h("div", { class: "moves" }), running = h("div", {});
  let shown = null, asked = null, rows = [];
  const which = choice("File", [], "", (id) => alter({ directions: id || null, moves: {} }));
  const none = h("p", { class: "hint" });
  const reset = button("All to 0", () => {
    alter({ moves: {} });
    rows.forEach(([, part]) => part.set(0));
  });

  const method = { method: "sefa", count: "10", layers: "" };
  const find = h("details", {}, h("summary", {}, "Find directions"),
    h("div", { class: "folded" },
      segments("Method", [["sefa", "SeFa"], ["pca", "PCA"]], "sefa", (now) => (method.method = now),
        "SeFa: in closed form from the weights, at once. PCA: principal components of w."),
      text("How many", { type: "number", min: 1, value: 10, onchange: (now) => (method.count = now) }),
      text("Layers", { placeholder: "all", onchange: (now) => (method.layers = now.trim()),
        help: "coarse, middle, fine, or numbers such as 0-6." }),
      h("div", { class: "buttons" }, worker("Find", line, async () => {
        const options = { network: studio.network.id, method: method.method, count: Number(method.count) };
        if (method.layers) options.layers = method.layers;
        const job = await start("directions", options);
        put(running, card(job.id, { ended: (done) => {
          const found = done.results.find((each) => /\.safetensors$/.test(each.name));
          if (found) alter({ directions: found.id, moves: {} });
        } }));
      }, { kind: "main" }))));

  async function load() {
    const id = recipe.directions, key = `${id} ${studio.network?.id}`;
    if (key === shown) return;
    shown = key;
    rows = [];
    put(sliders);
    if (!id || studio.network?.does !== "generate") return;
    const answer = await ask("api/directions", { query: { id, network: studio.network.id } });
    if (shown !== key) return;
    rows = answer.directions.map((each) => [each.index, one(each, each.index)]);
    const found = [...new Set(answer.directions.map((each) => each.about).filter(Boolean))];
    put(sliders, rows.map(([, part]) => part), found.length > 0 &&
      h("p", { class: "hint" }, `Found by: ${found.slice(0, 3).join("; ")}. One step is a deviation of w.`),
      h("div", { class: "buttons" }, reset));
  }

  function one(each, index) {
    const [least, most] = each.range ?? [-3, 3];
    const part = slider(each.name, { least, most, step: 0.05, value: recipe.moves[index] ?? 0,
      onchange: (amount) => alter({ moves: { ...recipe.moves, [index]: amount } }) });
    const rename = button("Rename", () => {
      const field = h("input", { value: each.name, maxlength: 64, required: true, pattern: "[A-Za-z0-9_.\\-]+",
        title: "Letters, digits and - _ ." });
      const form = h("form", { class: "rename", onsubmit: (event) => {
        event.preventDefault();
        line.attempt(async () => {
          await ask("api/directions", { body: { id: recipe.directions, index, name: field.value.trim() } });
          say(`${each.name} is called ${field.value.trim()} now`);
          shown = null;
          await load();
        });
      } }, row(`New name of ${each.name}`, field),
        h("div", { class: "buttons" }, button("Rename", null, { type: "submit", kind: "main" }),
          button("Leave it", () => form.remove())));
      part.append(form);
      field.select();
      field.focus();
    }, { kind: "quiet", "aria-label": `Rename ${each.name}` });
    part.querySelector("label").after(rename);
    return part;
  }

  function update() {
    const files = (studio.workspace?.directions ?? []).map((each) => [each.id, each.name]);
    const key = JSON.stringify(files);
    if (key !== asked) {
      asked = key;
      which.fill([["", "none"], ...files]);
    }
    which.hidden = !files.length;
    const able = studio.network?.directions !== false;
    find.hidden = !able;
    none.hidden = files.length > 0 && able;
    none.textContent = able
      ? "None yet in this workspace: find some below."
      : `${studio.network.kind} has no weights that SeFa knows, and no mapping for PCA.`;
    which.set(recipe.directions ?? "");
    line.attempt(load);
    rows.forEach(([index, part]) => part.contains(document.activeElement) || part.set(recipe.moves[index] ?? 0));
  }
  on("recipe", update);
  on("network", update);
  on("workspace", update);
  update();
  return h("div", {}, which, none, line, sliders, find, running);
}
