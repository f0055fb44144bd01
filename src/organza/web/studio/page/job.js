// One job on the page: what it does, how far it is, what it says, what it made.

import { ask, once } from "./api.js";
import { button, count, duration, h, put, say } from "./dom.js";
import { trouble, twice, worker } from "./fields.js";
import { is_open, job_of, tell } from "./queue.js";
import { on } from "./studio.js";
import { result } from "./viewer.js";

const MOST = 60;
const SAID = { waiting: "waits", running: "runs", done: "done", failed: "failed", stopped: "stopped" };

/**
 * A card that keeps itself up to date. `ended(job)` is called once, when it has ended while the page looks on.
 *
 * `log`: whether the command and its lines can be unfolded. `gone()`: after it was deleted.
 */
export function card(id, { ended, log = true, gone, preview = true } = {}) {
  const line = trouble();
  const title = h("h3", {}), state = h("span", { class: "state" }), left = h("p", { class: "hint" });
  const bar = h("progress", { max: 1, "aria-label": "Progress" });
  const wrong = h("p", { class: "wrong", hidden: true });
  const made = h("div", { class: "made" }), near = h("div", { class: "near" });
  const lines = h("pre", { tabindex: 0, "aria-label": "What it said" }), command = h("code", {});
  const more = h("details", {}, h("summary", {}, "Command and log"), h("p", {}, command), lines);
  const stop = worker("Stop", line, () => tell(id, "stop"));
  const resume = worker("Resume", line, () => tell(id, "resume"));
  const remove = twice("Delete", line, async () => {
    await tell(id, "delete");
    gone?.();
  });
  const element = h("article", { class: "job card" },
    h("div", { class: "head" }, title, state, h("div", { class: "buttons" }, stop, resume, remove)), bar, left, wrong,
    line, near, made, log && more);
  let shown = "", before = null, seen = null, placed = false;

  async function whole() {
    const job = await ask(`api/jobs/${id}`), results = JSON.stringify(job.results);
    if (results !== shown) {
      shown = results;
      const seen = (each) => each.kind === "image" || each.kind === "video";
      const kept = job.results.slice(0, MOST), parts = [kept.filter(seen), kept.filter((each) => !seen(each))];
      put(made, parts.map((part) =>
        part.length > 0 && h("div", { class: "results" }, part.map((each) => result(each, line)))
      ), job.results.length > MOST && h("p", { class: "hint" }, `and ${job.results.length - MOST} more`));
    }
    const low = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
    lines.textContent = job.lines.join("\n") || "nothing yet";
    if (low) lines.scrollTop = lines.scrollHeight;
    return job;
  }
  more.addEventListener("toggle", () => more.open && line.attempt(whole));

  function update() {
    if (placed && !element.isConnected) return off(); // it was taken from the page
    placed ||= element.isConnected;
    const job = job_of(id);
    if (!job) return;
    title.textContent = job.title || job.verb;
    element.dataset.state = job.state;
    state.textContent = job.stopping ? "stops" : SAID[job.state] ?? job.state;
    command.textContent = job.command;
    stop.hidden = !is_open(job) || job.stopping;
    resume.hidden = job.state !== "stopped" && job.state !== "failed";
    remove.hidden = is_open(job);
    const ahead = job.progress;
    bar.hidden = job.state !== "running";
    if (ahead?.total) bar.value = Math.min(1, ahead.done / ahead.total);
    else bar.removeAttribute("value");
    left.textContent = is_open(job) && ahead
      ? told(ahead)
      : job.began && job.ended
      ? `took ${duration(job.ended - job.began)}`
      : "";
    wrong.hidden = job.state !== "failed";
    wrong.textContent = job.state === "failed" ? job.error || "it failed; its log says more" : "";
    if (preview && job.preview && is_open(job) && seen !== JSON.stringify(ahead)) {
      seen = JSON.stringify(ahead);
      ask("api/files", { query: { id: job.preview }, as: "blob" }).then((blob) => {
        put(near, once(h("img", { alt: "The newest image" }), blob));
      }).catch(() => {});
    }
    if (!is_open(job)) put(near);
    const over = before && is_open({ state: before }) && !is_open(job), told_before = before;
    before = job.state;
    if (over) say(`${title.textContent}: ${state.textContent}`);
    if (is_open(job) ? more.open : told_before !== job.state) {
      whole().then((all) => over && ended?.(all)).catch((error) => line.say(error.message));
    }
  }
  const off = on("jobs", update);
  update();
  return element;
}

/** A rate for people; that of a training is in thousands of images. */
export const speed = (rate,
  unit) => (unit === "kimg" ? `${count(rate * 1000, 3)} images a second` : `${count(rate, 3)} a second`);

/** How far something is: 12 of 40 images, 3.1 a second, 9 s left. */
export function told({ title, done, total, unit = "", rate, eta }) {
  const far = total ? `${count(done)} of ${count(total)} ${unit}` : done ? `${count(done)} ${unit}` : "";
  return [title, far.trim(), rate && speed(rate, unit), eta !== null && eta !== undefined && `${duration(eta)} left`]
    .filter(Boolean).join(" · ");
}
