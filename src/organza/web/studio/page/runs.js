// Runs of trainings: how far they are, their curves and newest images; several side by side.

import { ask, thumbnail } from "./api.js";
import { count, duration, h, put } from "./dom.js";
import { segments, trouble, worker } from "./fields.js";
import { card, speed } from "./job.js";
import { at, move } from "./place.js";
import { legend, plot } from "./plot.js";
import { is_open, job_of, queue, tell } from "./queue.js";
import { reset } from "./recipe.js";
import { choose, on, refresh, studio } from "./studio.js";
import { look } from "./viewer.js";

const MOST = 6;
const busy = (state) => is_open({ state });

/** The list of runs with what is chosen of it below: an element with `refresh()` and `follow(job)`. */
export function runs() {
  const line = trouble(), list = h("ul", { class: "list" }), about = h("div", {}), begun = h("div", {});
  const loss = { only: true };
  let chosen = (at("runs") ?? "").split(",").filter(Boolean), followed = null, drawn = "", listed = "", listed_at = 0,
    live = false;
  /** Change what is shown, and leave the keyboard where it was. */
  const focus_kept = (work) => {
    const focus = about.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    work();
    if (focus) about.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  };

  function pick(ids) {
    chosen = ids.slice(-MOST);
    move({ runs: chosen.join(",") });
    drawn = "";
    entries();
    line.attempt(draw);
  }

  function entries() {
    const all = studio.workspace?.runs ?? [];
    chosen = chosen.filter((id) => all.some((each) => each.id === id));
    const key = JSON.stringify([all, chosen]);
    if (key === listed) return;
    listed = key;
    const focus = list.contains(document.activeElement) ? document.activeElement.id : null;
    put(list, all.length
      ? all.map((each) => {
        const id = `run-${each.id}`,
          box = h("input", { type: "checkbox", id, checked: chosen.includes(each.id),
            onchange: () => pick(box.checked ? [...chosen, each.id] : chosen.filter((one) => one !== each.id)) });
        return h("li", { class: "entry" },
          h("div", { class: "check" }, h("div", {}, box, h("label", { for: id }, each.name)),
            h("p", { class: "hint" }, [each.preset, each.state, each.total_kimg
              ? `${count(each.kimg ?? 0)} of ${count(each.total_kimg)} kimg`
              : `${count(each.kimg ?? 0)} kimg`].join(" · "))));
      })
      : h("li", { class: "empty" }, "None yet."));
    if (focus) document.getElementById(focus)?.focus();
  }

  async function draw() {
    if (!chosen.length)
      return put(about, (studio.workspace?.runs ?? []).length > 0 &&
        h("p", { class: "hint" }, "Choose a run to see its curves; several to compare them."));
    const found = await Promise.all(chosen.map((id) => ask("api/runs", { query: { id } })));
    const jobs = found.map((run) => job_of(run.job)?.state);
    live = found.some((run, place) => run.state === "running" || busy(jobs[place]));
    for (const { id, state, kimg, total_kimg } of found) { // newer than the list, which is looked at less often
      const listed = studio.workspace?.runs.find((each) => each.id === id);
      if (listed) Object.assign(listed, { state, kimg, total_kimg });
    }
    entries();
    const key = JSON.stringify([chosen, loss, found, jobs]);
    if (key === drawn) return;
    drawn = key;
    const named = chosen.map((id) => studio.workspace.runs.find((each) => each.id === id)?.name ?? id);
    const curves = found.map((run) => ({ ...run.series, ...run.metrics }));
    const names = [...new Set(found.flatMap((run) => Object.keys(run.series)))],
      metrics = [...new Set(found.flatMap((run) => Object.keys(run.metrics)))];
    const losses = names.filter((each) => /loss/i.test(each)),
      shown = [...metrics, ...(loss.only && losses.length ? losses : names)];
    const lines = (name) =>
      found.map((run, place) => ({ name: named[place], place, points: curves[place][name] ?? [] })).filter((each) =>
        each.points.length
      );
    focus_kept(() =>
      put(about, found.length === 1
        ? one(found[0], chosen[0], named[0])
        : h("section", {}, h("h3", {}, "Compared"), legend(named.map((name, place) => ({ name, place }))),
          differences(found, named)), losses.length > 0 && losses.length < names.length &&
        segments("Curves", [["losses", "losses"], ["all", "all"]], loss.only ? "losses" : "all", (now) => {
          loss.only = now === "losses";
          line.attempt(draw);
        }), h("div", { class: "plots" }, shown.map((name) =>
          plot(name, lines(name))
        )))
    );
    about.querySelectorAll(".plot").forEach((each, place) =>
      each.querySelector("svg")?.setAttribute("data-key", `plot ${shown[place]}`)
    );
  }

  function one(run, id, name) {
    const job = run.job, state = run.state, failed = job_of(job)?.state === "failed" && job_of(job).error;
    const far = [state,
      run.total_kimg ? `${count(run.kimg ?? 0)} of ${count(run.total_kimg)} kimg` : `${count(run.kimg ?? 0)} kimg`,
      state === "running" && run.rate && speed(run.rate, "kimg"),
      state === "running" && run.eta !== null && run.eta !== undefined && `${duration(run.eta)} left`];
    const newest = run.grids?.at(-1);
    return h("section", { class: "run" }, h("h3", {}, name),
      h("p", { class: "hint", "data-far": true }, [run.preset, ...far].filter(Boolean).join(" · ")),
      h("progress", { max: 1, value: run.total_kimg ? Math.min(1, (run.kimg ?? 0) / run.total_kimg) : 0,
        "aria-label": "Progress of the training" }),
      h("div", { class: "buttons" },
        job !== null && state === "running" && worker("Stop", line, () => tell(job, "stop"), { "data-key": "stop" }),
        job !== null && state === "stopped" && !busy(job_of(job)?.state) && // its process may still be ending
          worker("Resume", line, () => tell(job, "resume"), { "data-key": "resume", kind: "main" }),
        newest && worker("Open the network", line, async () => {
          await choose(id);
          reset();
          location.hash = `tab=${studio.network.does === "generate" ? "generate" : "translate"}&network=${id}`;
        }, { "data-key": "open" })), failed && h("p", { class: "wrong" }, failed),
      run.advice.map((each) => h("p", { class: "advice" }, each)), newest &&
      h("figure", { class: "result wide" },
        h("button", { type: "button", class: "open", "data-key": "grid",
          "aria-label": `Show the newest images, at ${count(newest.kimg)} kimg`,
          onclick: () => line.attempt(() => look(newest.id, `${name} at ${count(newest.kimg)} kimg`)) },
          thumbnail(newest.id, "", 512)), h("figcaption", {}, `at ${count(newest.kimg)} kimg`)));
  }

  function differences(found, named) {
    const keys = [...new Set(found.flatMap((run) => Object.keys(run.settings ?? {})))];
    const odd = keys.filter((key) => new Set(found.map((run) => JSON.stringify(run.settings?.[key]))).size > 1);
    const cell = (
      value,
    ) => (value === undefined || value === null
      ? "–"
      : typeof value === "object"
      ? JSON.stringify(value)
      : String(value));
    if (!odd.length) return h("p", { class: "hint" }, "Their settings are the same.");
    return h("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Settings that differ" },
      h("table", {},
        h("thead", {},
          h("tr", {}, h("th", { scope: "col" }, "setting"), named.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {},
          odd.map((key) =>
            h("tr", {}, h("th", { scope: "row" }, key), found.map((run) => h("td", {}, cell(run.settings?.[key]))))
          ))));
  }

  const element = h("div", { class: "watch" }, begun, list, line, about);
  element.refresh = async () => {
    entries();
    await line.attempt(draw);
  };
  element.follow = (id) => {
    followed = id;
    put(begun, card(id, { gone: () => put(begun) }));
  };
  const alive = () => (studio.workspace?.runs ?? []).some((each) => each.state === "running");
  on("workspace", entries);
  on("jobs", () => {
    const panel = element.closest("[role=tabpanel]");
    if (!panel || panel.hidden) return;
    const run = followed !== null && job_of(followed)?.run;
    if (run && (studio.workspace?.runs ?? []).some((each) => each.id === run)) {
      followed = null;
      put(begun); // the run shows all of it
      pick([run]);
    } else if (run || (alive() && Date.now() - listed_at > 5000)) {
      listed_at = Date.now();
      refresh().catch(() => {}); // it has just begun, or gone on
    }
    if (chosen.length && (live || queue.list.some((each) => is_open(each) && chosen.includes(each.run))))
      draw().catch(() => {});
  });
  entries();
  return element;
}
