// The tab Networks: what there is, what it is, and one of them to open.

import { ask, upload } from "./api.js";
import { button, h, put, say } from "./dom.js";
import { files, trouble, twice, worker } from "./fields.js";
import { reset } from "./recipe.js";
import { choose, facts, name_of, on, refresh, studio } from "./studio.js";

const GROUPS = [
  ["zoo", "Zoo", "They come with Organza."],
  ["runs", "Runs", "Trained here."],
  ["files", "Files", "Weights in the workspace, and what was sent here."],
];

/** Build the tab. */
export function make(panel, open_tab) {
  const line = trouble(), far = h("p", { class: "hint", role: "status" }), lists = h("div", {}),
    open = h("section", { class: "card", "aria-label": "The open network", hidden: true });
  const drop = files("Send a checkpoint", {
    many: true,
    accept: ".safetensors,.pkl,.pt,.pth,.ckpt,.pkl.gz,.zip",
    hint: "Or drop it here. It is read by a parser that runs nothing of it.",
    onfiles: (found) => line.attempt(() => taken(found)),
  });
  put(panel, h("h2", {}, "Networks"), open, drop, far, line, lists);

  let listed = null;

  async function taken(found) {
    for (const each of found) {
      const { id, what, note } = await upload(each, each.name, {
        sent: (share) => (far.textContent = `${each.name}: ${Math.floor(100 * share)}% sent; then it is looked at`),
      }).finally(() => (far.textContent = ""));
      await refresh();
      say(`${each.name}: ${note || what}`);
      if (what === "network") await use(id, false);
    }
  }

  async function use(id, go = true) {
    const before = studio.network?.id;
    const network = await choose(id);
    if (before !== id) reset();
    if (go) open_tab(network.does === "generate" ? "generate" : "translate", true);
  }

  function entry(each) {
    const chosen = studio.network?.id === each.id;
    const does = { generate: "Generate", translate: "Translate" }[each.does] ?? "Open";
    const remove = each.id.startsWith("studio/uploads/") && twice("Delete", line, async () => {
      await ask("api/items", { method: "DELETE", query: { id: each.id }, as: "response" });
      await refresh();
    }, { "aria-label": `Delete ${each.name}` });
    return h("li", { class: "entry", "aria-current": chosen ? "true" : undefined },
      h("div", {}, h("strong", {}, each.name), h("p", { class: "hint" }, facts(each))),
      h("div", { class: "buttons" }, remove,
        worker(does, line, () => use(each.id), { "aria-label": `${does} with ${each.name}`,
          kind: chosen ? "main" : undefined })));
  }

  function list() {
    const all = studio.workspace?.networks ?? [], key = JSON.stringify([all, studio.network?.id]);
    if (key === listed) return; // the keyboard stays where it is
    listed = key;
    put(lists, GROUPS.map(([where, title, about]) => {
      const found = all.filter((each) => each.where === where);
      return h("section", {}, h("h3", {}, title), h("p", { class: "hint" }, about),
        found.length
          ? h("ul", { class: "list" }, found.map(entry))
          : h("p", { class: "empty" }, where === "runs" ? "None yet: the tab Train makes some." : "None."));
    }));
  }

  function told() {
    const network = studio.network;
    open.hidden = !network;
    if (!network) return;
    const yes = (what) => (what ? "yes" : "no");
    const rows = [
      ["Kind", network.kind],
      ["Size",
        `${network.width} × ${network.height}, ${
          network.channels === 1 ? "grey" : network.channels === 4 ? "with transparency" : "colour"
        }`],
      ...(network.does === "generate"
        ? [["w",
          network.w_dim && (network.layers > 1 ? `${network.layers} layers of ${network.w_dim}` : network.w_dim)], [
          "Noise inputs",
          yes(network.noise),
        ], ["Truncation", yes(network.truncation)], ["Takes text", network.text ? "yes" : null]]
        : [["Models", network.models?.join(", ")], ["Targets", network.targets?.join(", ")]]),
      ["Labels",
        network.labels
          ? network.label_names?.length ? network.label_names.slice(0, 40).join(", ") : network.labels
          : null],
      ["Licence", network.licence],
      ["Note", network.note],
    ].filter(([, value]) => value);
    put(open, h("h3", {}, name_of(network.id)),
      h("dl", { class: "facts" }, rows.map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])),
      h("div", { class: "buttons" },
        network.does === "generate"
          ? [button("Generate", () => open_tab("generate", true), { kind: "main" }), button("Explore", () =>
            open_tab("explore", true))]
          : button("Translate", () => open_tab("translate", true), { kind: "main" })));
  }

  const both = () => (told(), list());
  on("workspace", both);
  on("network", both);
  both();
  return { shown: () => line.attempt(refresh) };
}
