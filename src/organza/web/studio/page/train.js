// The tab Train: data, a preset and its options, and the runs that came of it.

import { ask, upload } from "./api.js";
import { h, many, put, say } from "./dom.js";
import { choice, files, folders_of, trouble, twice, worker } from "./fields.js";
import { form } from "./forms.js";
import { card } from "./job.js";
import { start } from "./queue.js";
import { runs } from "./runs.js";
import { on, refresh, studio } from "./studio.js";

const IMAGES = /\.(png|jpe?g|webp|bmp|tiff?|gif|avif)$/i;

/** Build the tab. */
export function make(panel) {
  const watch = runs();
  put(panel, h("h2", {}, "Train"),
    h("div", { class: "split train" },
      h("section", { class: "right card", "aria-labelledby": "start-training" },
        h("h3", { id: "start-training" }, "Start a training"), starting(watch)),
      h("section", { class: "left", "aria-labelledby": "all-runs" }, h("h3", { id: "all-runs" }, "Runs"), watch)));
  return { shown: () => refresh().then(watch.refresh) };
}

/** What gives each image its part of the set (a class, or trainA): its folder, where all lie in folders of one. */
function parts_of(images) {
  const names = images.map((each) =>
    folders_of(each).slice(1).at(-1)?.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "")
  );
  const found = new Map(images.map((each, place) => [each, names[place]]));
  return names.every(Boolean) ? (image) => found.get(image) : () => null;
}

function starting(watch) {
  const line = trouble(), told = h("p", { class: "hint", role: "status" }), options = h("div", {}),
    about = h("div", {});
  let presets = [], built = null;
  const data = choice("Dataset", [], "", info);
  const facts = h("div", { class: "buttons" });
  const drop = files("Choose images or an archive", { many: true, folder: true, accept: "image/*,.zip,.tar",
    hint: "Or drop a folder here; folders in it become classes, or trainA and trainB.",
    onfiles: (found) => line.attempt(() => taken(found)) });

  function list() {
    const all = studio.workspace?.datasets ?? [], now = data.value();
    data.fill([["", all.length ? "choose" : "none yet: send images below"],
      ...all.map((each) => [each.id, each.count ? `${each.name} (${many(each.count, "image")})` : each.name])]);
    data.set(all.some((each) => each.id === now) ? now : "");
  }

  /** What `organza dataset info` says of a dataset, as a job: a large one takes its time. */
  function info(id) {
    const lines = h("pre", { tabindex: 0, "aria-label": "What the dataset is", hidden: true });
    put(facts, id && worker("What is in it?", line, async () => {
      const job = await start("dataset info", { path: id });
      put(facts, card(job.id, { log: false, ended: (all) => {
        lines.textContent = all.lines.filter((each) => !each.startsWith("$ ")).join("\n");
        lines.hidden = false;
      } }), lines);
    }), id.startsWith("studio/uploads/") && twice("Delete it", line, async () => {
      await ask("api/items", { method: "DELETE", query: { id }, as: "response" });
      await refresh();
    }));
  }

  async function taken(found) {
    const images = found.filter((each) => IMAGES.test(each.name));
    let last = null;
    if (images.length) {
      const set = `set-${new Date().toISOString().slice(0, 16).replace(/\D/g, "")}`;
      const refused = [], others = found.length - images.length;
      const part = parts_of(images);
      for (const [place, each] of images.entries()) {
        told.textContent = `${place + 1} of ${many(images.length, "file")} …`;
        try {
          last = await upload(each, each.name, { into: part(each) ? `${set}/${part(each)}` : set });
        } catch (error) {
          refused.push(`${each.name}: ${error.message}`);
          if (refused.length > 20) break;
        }
      }
      told.textContent = `${many(images.length - refused.length, "image")} sent${
        others ? `; ${many(others, "other file")} left out` : ""
      }.`;
      if (refused.length) line.say(`${many(refused.length, "image")} refused. ${refused[0]}`);
      last = last && { id: last.id.split("/").slice(0, 3).join("/") };
    } else {
      for (const each of found) {
        told.textContent = `${each.name} is on its way …`;
        last = await upload(each, each.name, {
          sent: (share) => (told.textContent = `${each.name}: ${Math.floor(100 * share)}% sent`),
        });
        told.textContent = `${each.name}: ${last.note || last.what}`;
      }
    }
    await refresh();
    if (last && (studio.workspace.datasets ?? []).some((each) => each.id === last.id)) {
      data.set(last.id);
      info(last.id);
    }
  }

  const preset = choice("Preset", [], "", (name) => line.attempt(() => pick(name)));
  async function pick(name) {
    built = null;
    put(options);
    const each = presets.find((one) => one.name === name);
    put(about, each &&
      [h("p", { class: "hint" }, each.help), (each.paper || each.takes) &&
        h("p", { class: "hint" }, [each.paper, each.takes && `takes ${each.takes}`].filter(Boolean).join(" · "))]);
    if (!name) return;
    const answer = await ask(`api/presets/${name}`);
    if (preset.value() !== name) return;
    built = form(answer.fields, ["data", "outdir"]);
    put(options, built);
  }

  const go = worker("Start the training", line, async () => {
    if (!data.value()) throw new Error("Choose a dataset first.");
    if (!built) throw new Error("Choose a preset first.");
    const job = await start("train", { data: data.value(), ...built.values() }, preset.value());
    say("The training is in the queue.");
    watch.follow(job.id);
  }, { kind: "main" });

  on("workspace", list);
  list();
  line.attempt(async () => {
    presets = await ask("api/presets");
    const families = new Map();
    for (const each of presets) families.set(each.family, [...(families.get(each.family) ?? []), each]);
    put(preset.querySelector("select"), h("option", { value: "" }, "choose"),
      [...families].map(([family, own]) =>
        h("optgroup", { label: family || "others" }, own.map((each) => h("option", { value: each.name }, each.name)))
      ));
  });
  return h("div", {}, data, facts, drop, told, preset, about, options, h("div", { class: "buttons" }, go), line);
}
