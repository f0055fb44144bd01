// The frame of the page: its tabs, the network that is open, and what the address says.

import { ask, keep } from "./api.js";
import { h, put, say } from "./dom.js";
import { at, move } from "./place.js";
import { is_open, look, queue } from "./queue.js";
import { read } from "./recipe.js";
import { changed, choose, name_of, on, refresh, studio } from "./studio.js";
import { theme } from "./theme.js";

const TABS = [
  ["networks", "Networks"],
  ["generate", "Generate"],
  ["explore", "Explore"],
  ["translate", "Translate"],
  ["train", "Train"],
  ["jobs", "Jobs"],
];
const parts = {};

for (const [name, title] of TABS) {
  const tab = h("button", {
    type: "button",
    role: "tab",
    id: `tab-${name}`,
    "aria-controls": `panel-${name}`,
    "aria-selected": "false",
    tabindex: -1,
    onclick: () => open_tab(name, true),
    onkeydown: (event) => arrows(event, name),
  }, title);
  const panel = h("section", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": tab.id, tabindex: 0,
    hidden: true });
  parts[name] = { tab, panel, made: null };
  document.getElementById("tabs").append(tab);
  document.getElementById("panels").append(panel);
}

/** Show a tab; its module is loaded when it is first shown. */
async function open_tab(name, step = false) {
  if (!parts[name]) name = "networks";
  for (const [each, { tab, panel }] of Object.entries(parts)) {
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    panel.hidden = each !== name;
  }
  move({ tab: name }, { step });
  document.title = `${parts[name].tab.firstChild.textContent} · Organza studio`;
  parts[name].made ??= import(`./${name}.js`).then((module) => module.make(parts[name].panel, open_tab));
  try {
    (await parts[name].made)?.shown?.();
  } catch (error) {
    parts[name].made = null;
    say(error.message);
    throw error;
  }
}

function arrows(event, name) {
  const names = TABS.map(([each]) => each), place = names.indexOf(name);
  const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: names.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const next = names.at(to % names.length);
  open_tab(next, true);
  parts[next].tab.focus();
}

const current = document.getElementById("current");
current.addEventListener("click", () => open_tab("networks", true));
on("network", () => {
  const name = name_of(studio.network.id);
  current.hidden = false;
  current.textContent = name;
  current.setAttribute("aria-label", `Open network: ${name}; choose another`);
});
on("jobs", () => {
  const lost = document.getElementById("lost");
  lost.hidden = !queue.trouble;
  if (lost.textContent !== (queue.trouble ?? "")) lost.textContent = queue.trouble ?? "";
  const running = queue.list.filter(is_open).length;
  put(parts.jobs.tab, "Jobs",
    running ? h("span", { class: "badge" }, h("span", { class: "heard" }, "open: "), running) : null);
});

/** Open what the address names; again whenever somebody changes it. */
async function follow() {
  read();
  const id = at("network"), model = at("model");
  if (id && (id !== studio.network?.id || (model && model !== studio.network.model))) {
    try {
      await choose(id, model ?? undefined);
    } catch (error) {
      say(`${id}: ${error.message}`);
      move({ network: null, model: null });
    }
  }
  await open_tab(
    at("tab") ?? (studio.network ? (studio.network.does === "generate" ? "generate" : "translate") : "networks"),
  );
  changed("recipe");
}

async function begin() {
  theme(document.getElementById("theme"));
  if (at("token")) keep(at("token"));
  move({ token: null }); // so that nobody copies it with the address
  try {
    studio.about = await ask("api/about");
    await refresh();
    const { version, device, workspace } = studio.about;
    document.getElementById("about").textContent = `Organza ${version} on ${device}, in the folder ${workspace}`;
  } catch (error) {
    put(document.getElementById("panels"), h("p", { class: "wrong", role: "alert" }, error.message));
    return;
  }
  look();
  await follow();
  addEventListener("popstate", follow);
  document.documentElement.dataset.ready = "yes";
}

begin();
