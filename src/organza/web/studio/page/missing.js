// Where a tab needs a network of another kind: why, and which there are.

import { h, put } from "./dom.js";
import { trouble, worker } from "./fields.js";
import { reset } from "./recipe.js";
import { choose, facts, lacking, on, studio } from "./studio.js";

/** A notice that is shown, and `rest` hidden, while the open network can't do what the tab does. */
export function needs(does, rest) {
  const notice = h("div", { class: "card missing-network" }), line = trouble();
  function update() {
    const why = lacking(does);
    notice.hidden = !why;
    rest.hidden = Boolean(why);
    if (!why) return;
    const found = (studio.workspace?.networks ?? []).filter((each) => each.does === does || !each.does);
    const use = (each) => async () => {
      await choose(each.id);
      reset();
    };
    put(notice, h("p", {}, why),
      found.length
        ? h("ul", { class: "list" }, found.map((each) =>
          h("li", { class: "entry" }, h("div", {}, h("strong", {}, each.name), h("p", { class: "hint" }, facts(each))),
            worker("Open", line, use(each), { "aria-label": `Open ${each.name}` }))
        ))
        : h("p", { class: "hint" },
          `There is no ${
            does === "generate" ? "generator" : "translator"
          } in the workspace. The tab Networks takes a checkpoint, the tab Train makes one.`), line);
  }
  on("network", update);
  on("workspace", update);
  update();
  return notice;
}
