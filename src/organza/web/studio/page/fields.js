// Controls with their names and their help. Each has `set(value)`, which tells nobody.

import { button, fresh, h, put } from "./dom.js";

/** A label, a control and a line of help under it. `control` is an element that can be labelled. */
export function row(label, control, help, ...more) {
  control.id ||= fresh("field");
  const hint = help && h("p", { class: "hint", id: `${control.id}-help` }, help);
  if (hint) control.setAttribute("aria-describedby", hint.id);
  return h("div", { class: "row" }, h("label", { for: control.id }, label), control, more, hint);
}

/** A slider with a number beside it. `onchange(value)` while it is dragged. */
export function slider(label, { least, most, step = 0.05, value, onchange, help, none }) {
  const range = h("input", { type: "range", min: least, max: most, step, id: fresh("slider") });
  const exact = h("input", { type: "number", min: none ? undefined : least, step: "any",
    "aria-label": `${label}, exact`, placeholder: none });
  const tell = (from, to) => () => {
    const text = from.value.trim();
    const value = text === "" ? null : Number(text);
    if (value === null && !none) return;
    to.value = value ?? most;
    onchange(value);
  };
  range.addEventListener("input", tell(range, exact));
  exact.addEventListener("change", tell(exact, range));
  const element = h("div", { class: "row slider" }, h("label", { for: range.id }, label),
    h("div", { class: "pair" }, range, exact), help && h("p", { class: "hint" }, help));
  element.set = (now) => {
    range.value = now ?? most;
    exact.value = now ?? "";
  };
  element.set(value);
  return element;
}

/** One of several, as buttons in a row. `options`: [[value, text]]. */
export function segments(label, options, value, onchange, help) {
  const name = fresh("segment");
  const radios = options.map(([each]) =>
    h("input", { type: "radio", name, id: fresh("radio"), value: each, checked: each === value, onchange: () =>
      onchange(each) })
  );
  const element = h("fieldset", { class: "row" }, h("legend", {}, label),
    h("div", { class: "segments" },
      options.map(([, text], place) => [radios[place], h("label", { for: radios[place].id }, text)])),
    help && h("p", { class: "hint" }, help));
  element.set = (now) => radios.forEach((radio) => (radio.checked = radio.value === String(now)));
  return element;
}

/** A choice from a list. `options`: [[value, text]]. */
export function choice(label, options, value, onchange, help) {
  const select = h("select", { onchange: () => onchange(select.value) });
  const element = row(label, select, help);
  let filled = null;
  element.fill = (found) => {
    if (JSON.stringify(found) === filled) return; // it may be open
    filled = JSON.stringify(found);
    put(select, found.map(([each, text]) => h("option", { value: each }, text)));
  };
  element.set = (now) => (select.value = now ?? "");
  element.value = () => select.value;
  element.fill(options);
  element.set(value);
  return element;
}

/** A line of text, or a whole number where `type` is "number". */
export function text(label, { value = "", onchange, help, type = "text", placeholder, ...more }) {
  const input = h("input", { type, value, placeholder, autocomplete: "off", ...more });
  input.addEventListener("change", () => onchange?.(input.value));
  const element = row(label, input, help);
  element.set = (now) => (input.value = now ?? "");
  element.value = () => input.value;
  element.input = input;
  return element;
}

/** Something that is so or not. */
export function check(label, value, onchange, help) {
  const box = h("input", { type: "checkbox", id: fresh("check"), checked: value,
    onchange: () => onchange?.(box.checked) });
  const element = h("div", { class: "row check" }, h("div", {}, box, h("label", { for: box.id }, label)),
    help && h("p", { class: "hint" }, help));
  element.set = (now) => (box.checked = Boolean(now));
  element.value = () => box.checked;
  return element;
}

/** Where errors are shown: in one line, where they arose. `attempt(work)` runs something and shows what it throws. */
export function trouble() {
  const line = h("p", { class: "wrong", role: "alert", hidden: true });
  line.say = (text) => {
    line.textContent = text ?? "";
    line.hidden = !text;
  };
  line.attempt = async (work) => {
    try {
      line.say(null);
      return await work();
    } catch (error) {
      if (error.name !== "AbortError") line.say(error.message);
      return undefined;
    }
  };
  return line;
}

/** A button that works until its work is done, and shows errors in `line`. */
export function worker(label, line, work, props = {}) {
  const made = button(label, async () => {
    made.disabled = true;
    await line.attempt(work);
    made.disabled = false;
  }, props);
  return made;
}

/** A button for what can't be undone: it asks once more. */
export function twice(label, line, work, props = {}) {
  let asked = null;
  const made = button(label, async () => {
    if (!asked) {
      made.textContent = `${label}: sure?`;
      asked = setTimeout(rest, 4000);
      return;
    }
    rest();
    made.disabled = true;
    await line.attempt(work);
    made.disabled = false;
  }, { kind: "quiet", ...props });
  const rest = () => {
    clearTimeout(asked);
    asked = null;
    made.textContent = label;
  };
  return made;
}

/** A place for files: chosen, dropped or, with `pasted`, pasted. `onfiles(files)`; of folders each file inside. */
export function files(label, { accept, many = false, folder = false, hint, onfiles }) {
  const picker = (text, props) => {
    const input = h("input", { type: "file", id: fresh("file"), accept, multiple: many, ...props });
    input.addEventListener("change", () => {
      if (input.files.length) onfiles([...input.files]);
      input.value = "";
    });
    return [input, h("label", { for: input.id, class: "button" }, text)];
  };
  const element = h("div", { class: "drop" },
    h("div", { class: "buttons" }, picker(label),
      folder && picker("Choose a folder", { webkitdirectory: true, multiple: true })), h("p", { class: "hint" }, hint));
  const over = (on) => (event) => {
    event.preventDefault();
    element.classList.toggle("over", on);
  };
  element.addEventListener("dragover", over(true));
  element.addEventListener("dragleave", over(false));
  element.addEventListener("drop", async (event) => {
    over(false)(event);
    const found = await dropped(event.dataTransfer);
    if (found.length) onfiles(many || folder ? found : found.slice(0, 1));
  });
  return element;
}

const paths = new WeakMap();

/** The folders in which a chosen or dropped file lies, the innermost last; the outermost is what was chosen. */
export const folders_of = (file) =>
  (paths.get(file) ?? file.webkitRelativePath ?? "").split("/").filter(Boolean).slice(0, -1);

/** All files of what was dropped, those in folders too. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      paths.set(file, entry.fullPath);
      found.push(file);
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) break;
        for (const each of some) await walk(each);
      }
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

/** Images that are pasted while `panel` is shown. */
export function pasted(panel, onfiles) {
  document.addEventListener("paste", (event) => {
    const found = [...(event.clipboardData?.files ?? [])];
    if (!panel.hidden && found.length) {
      event.preventDefault();
      onfiles(found);
    }
  });
}

/** A part that folds. */
export const fold = (title, open, ...children) =>
  h("details", { class: "fold", open }, h("summary", {}, title), h("div", { class: "folded" }, children));
