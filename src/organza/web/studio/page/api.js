// Requests to the server. A token, where one is needed, is asked for once and kept for this tab of the browser.

import { button, h } from "./dom.js";

const KEY = "organza-token";
let asking = null;

/** An answer that says no, in one line. */
export class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

/** Keep a token that came in the address. */
export const keep = (token) => sessionStorage.setItem(KEY, token);

/**
 * An answer, as JSON unless `as` is "blob" or "response".
 *
 * `body`: an object, sent as JSON, or a Blob, sent as it is. Raises `Refused` where the server says no.
 */
export async function ask(path, { method, body, query, as = "json", signal, headers = {} } = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) =>
    value !== undefined && value !== null && value !== ""
  );
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const raw = body === undefined || body instanceof Blob;
  const sent = { ...headers, ...(raw ? {} : { "content-type": "application/json" }) };
  const init = { method: method ?? (body === undefined ? "GET" : "POST"), body: raw ? body : JSON.stringify(body),
    signal };
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    let answer;
    try {
      answer = await fetch(address, { ...init,
        headers: { ...sent, ...(token && { authorization: `Bearer ${token}` }) } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "the server does not answer; is organza studio still running?");
    }
    if (answer.status === 401) {
      if (sessionStorage.getItem(KEY) === token) await token_wanted(token !== null);
      continue;
    }
    if (!answer.ok) throw new Refused(answer.status, await why(answer));
    return as === "response" ? answer : as === "blob" ? answer.blob() : answer.json();
  }
}

async function why(answer) {
  try {
    return (await answer.json()).error ?? `the server says ${answer.status}`;
  } catch {
    return `the server says ${answer.status}`;
  }
}

function token_wanted(wrong) {
  asking ??= new Promise((resolve) => {
    const field = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
    const form = h("form", { method: "dialog" }, h("h2", {}, "A token is needed"),
      h("p", { class: "hint" }, "organza studio showed it when it started."), h("label", { for: "token" }, "Token"),
      field, wrong && h("p", { class: "wrong", role: "alert" }, "That is not the token."),
      h("div", { class: "buttons" }, button("Go on", null, { kind: "main", type: "submit" })));
    const dialog = h("dialog", { class: "asking", "aria-label": "A token is needed" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", () => {
      keep(field.value.trim());
      dialog.remove();
      asking = null;
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

/** Save a file of the workspace through the browser. */
export async function download(id, name) {
  save(await ask("api/files", { query: { id, download: 1 }, as: "blob" }), name);
}

/** Save bytes through the browser. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Show bytes in an `img` or `video`, and let go of what was there. */
export function show(element, blob) {
  if (element.src.startsWith("blob:")) URL.revokeObjectURL(element.src);
  element.src = URL.createObjectURL(blob);
  return element;
}

/** Show bytes in an `img` that keeps them: their address is let go of once they are seen. */
export function once(image, blob) {
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  image.src = URL.createObjectURL(blob);
  return image;
}

/** An `img` of something in the workspace that loads itself, small. */
export function thumbnail(id, alt, side = 128) {
  const image = h("img", { alt, class: "thumbnail", loading: "lazy" });
  ask("api/thumbnail", { query: { id, side }, as: "blob" }).then((blob) => once(image, blob)).catch(() =>
    image.classList.add("missing")
  );
  return image;
}

/**
 * Send a file: `{id, what, note}`.
 *
 * `into`: the folder that it joins. `sent(share)` is called with how much of it has gone, from 0 to 1.
 */
export function upload(blob, name, { into, sent } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch() does not tell how much has gone
    request.open("POST", `api/uploads?${new URLSearchParams({ name, ...(into && { into }) })}`);
    if (sessionStorage.getItem(KEY)) request.setRequestHeader("authorization", `Bearer ${sessionStorage.getItem(KEY)}`);
    request.responseType = "json";
    request.upload.addEventListener("progress",
      (event) => event.lengthComputable && sent?.(event.loaded / event.total));
    request.addEventListener("load",
      () => (request.status < 300
        ? resolve(request.response)
        : reject(new Refused(request.status, request.response?.error ?? `the server says ${request.status}`))));
    request.addEventListener("error", () => reject(new Refused(0, `${name}: the server took no more of it`)));
    request.send(blob);
  });
}
