// The server's queue of long work, looked at every second while something is in it.

import { ask } from "./api.js";
import { changed, refresh } from "./studio.js";

/** `list`: the jobs as the server told them last, newest first. */
export const queue = { list: [], trouble: null };
let timer, looking = false;

/** Whether a job is still to end. */
export const is_open = (job) => job.state === "waiting" || job.state === "running";

/** A job by its number. */
export const job_of = (id) => queue.list.find((each) => each.id === id);

/** Look at the queue now, and go on looking. */
export async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  try {
    const before = new Set(queue.list.filter(is_open).map((each) => each.id));
    queue.list = await ask("api/jobs");
    queue.trouble = null;
    changed("jobs");
    if (queue.list.some((each) => before.has(each.id) && !is_open(each))) await refresh();
  } catch (error) {
    queue.trouble = error.message;
    changed("jobs");
  }
  looking = false;
  timer = setTimeout(() => (document.hidden ? again() : look()), queue.list.some(is_open) ? 1000 : 5000);
}

const again = () => (timer = setTimeout(() => (document.hidden ? again() : look()), 1000));

/** Queue a job; the job. `options`: what differs from the command's own. */
export async function start(verb, options, preset) {
  const job = await ask("api/jobs", { body: { verb, ...(preset && { preset }), options } });
  queue.list = [job, ...queue.list.filter((each) => each.id !== job.id)];
  changed("jobs");
  look();
  return job;
}

/** Stop, resume or delete a job. */
export async function tell(id, what) {
  await ask(what === "delete" ? `api/jobs/${id}` : `api/jobs/${id}/${what}`, {
    method: what === "delete" ? "DELETE" : "POST",
    as: "response",
  });
  await look();
}
