// The tab Jobs: what waits, runs and has ended; and a form for everything else that the command line can do.

import { ask } from "./api.js";
import { button, h, put } from "./dom.js";
import { choice, fold, trouble, twice, worker } from "./fields.js";
import { form } from "./forms.js";
import { card } from "./job.js";
import { queue, start } from "./queue.js";
import { on, refresh, studio } from "./studio.js";
import { result } from "./viewer.js";

const PAGE = 20;

/** Build the tab. */
export function make(panel) {
  const list = h("div", { class: "jobs" }), cards = new Map();
  const older = button("Show older jobs", () => {
    most += PAGE;
    update();
  });
  let most = PAGE;
  function update() {
    const ids = queue.list.slice(0, most).map((each) => each.id);
    older.hidden = queue.list.length <= most;
    for (const id of [...cards.keys()]) if (!ids.includes(id)) cards.delete(id);
    for (const id of ids) if (!cards.has(id)) cards.set(id, card(id));
    const wanted = ids.map((id) => cards.get(id));
    if (!wanted.length || wanted.length !== list.children.length ||
      wanted.some((each, place) => list.children[place] !== each))
    {
      put(list, wanted.length
        ? wanted
        : h("p", { class: "empty" },
          "Nothing yet. Trainings, videos and projections appear here; they go on when this page is closed."));
    }
  }
  on("jobs", update);
  update();
  put(panel, h("h2", {}, "Jobs"),
    h("div", { class: "split" }, h("div", { class: "left" }, list, h("div", { class: "buttons" }, older)),
      h("div", { class: "right" }, h("div", { class: "card" }, others()), saved())));
  return { shown: refresh };
}

/** Images that were saved, and codes. */
function saved() {
  const line = trouble(), list = h("div", { class: "results" });
  const part = fold("Saved from Generate", false, line, list);
  let shown = "";
  function update() {
    const found = (studio.workspace?.results ?? []).slice(0, 60);
    part.hidden = !found.length;
    if (!part.open || JSON.stringify(found) === shown) return;
    shown = JSON.stringify(found);
    put(list, found.map((each) =>
      h("div", { class: "kept" }, result(each, line), twice("Delete", line, async () => {
        await ask("api/items", { method: "DELETE", query: { id: each.id }, as: "response" });
        await refresh();
      }, { "aria-label": `Delete ${each.name}` }))
    ));
  }
  on("workspace", update);
  part.addEventListener("toggle", update);
  update();
  return part;
}

function others() {
  const line = trouble(), place = h("div", {}), about = h("p", { class: "hint" });
  let verbs = [], now = null;
  const which = choice("What", [], "", pick);
  const go = worker("Start", line, async () => {
    await start(now.verb, place.firstChild.values());
  }, { kind: "main" });
  go.hidden = true;
  function pick(verb) {
    now = verbs.find((each) => each.verb === verb) ?? null;
    go.hidden = !now;
    about.textContent = now?.help ?? "";
    put(place, now && form(now.fields));
  }
  line.attempt(async () => {
    verbs = await ask("api/verbs");
    which.fill([["", "choose"], ...verbs.map((each) => [each.verb, each.verb])]);
  });
  return h("section", { "aria-labelledby": "others" }, h("h3", { id: "others" }, "Everything else"),
    h("p", { class: "hint" }, "The verbs of the command line, as jobs."), which, about, place,
    h("div", { class: "buttons" }, go), line);
}
