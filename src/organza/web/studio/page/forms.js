// Forms for the verbs and presets of the command line, from what the server tells of their options.

import { upload } from "./api.js";
import { h, put } from "./dom.js";
import { check, choice, files, fold, row, text, trouble } from "./fields.js";
import { on, refresh, studio } from "./studio.js";

/** Where a field's things stand in the workspace. */
const LISTS = {
  network: ["networks"],
  dataset: ["datasets"],
  image: ["images"],
  images: ["images", "videos", "datasets"],
  video: ["videos"],
  directions: ["directions"],
  codes: ["codes"],
  run: ["runs"],
  encoder: ["encoders"],
  table: ["tables"],
};
const ACCEPT = { image: "image/*", images: "image/*,video/*", video: "video/*", table: ".csv" };

/**
 * A form: an element with `values()`, only what differs from the defaults. Main options stand first, the rest folds.
 *
 * `without`: names of fields that are asked for elsewhere.
 */
export function form(fields, without = []) {
  const own = fields.filter((field) => !without.includes(field.name)).map((field) => [field, control(field)]);
  const main = own.filter(([field]) => !field.advanced || field.required),
    rest = own.filter(([field]) => field.advanced && !field.required);
  const folds = new Map();
  for (const [field, part] of rest) folds.set(field.group ?? "", [...(folds.get(field.group ?? "") ?? []), part]);
  const element = h("div", { class: "form" }, main.map(([, part]) => part),
    [...folds].map(([name, parts]) => fold(name ? `More: ${name}` : `More options (${parts.length})`, false, parts)));
  element.values = () => {
    const found = {};
    for (const [field, part] of own) {
      const value = part.read();
      if (value === undefined || value === null || (Array.isArray(value) && !value.length)) {
        if (field.required) throw new Error(`${field.label}: it is needed`);
        continue;
      }
      if (said(value) !== said(field.default)) found[field.name] = value;
    }
    return found;
  };
  return element;
}

/** A value as one types it, to see whether it is the default. */
const said = (value) => (Array.isArray(value) ? value.flat().join(" ") : String(value));

function control(field) {
  const help = [field.help, ranged(field)].filter(Boolean).join(" ");
  const label = field.required ? `${field.label} (needed)` : field.label;
  if (field.type === "bool" && !field.many) {
    const part = check(label, Boolean(field.default), null, help);
    part.read = part.value;
    return part;
  }
  if (field.type === "choice" && !field.many) {
    const optional = field.default === null && !field.required;
    const part = choice(label, [...(optional ? [["", "–"]] : []),
      ...field.choices.map((each) => [String(each), String(each)])],
      field.default ?? (optional ? "" : String(field.choices[0])), null, help);
    part.read = () => part.value() || null;
    return part;
  }
  if (field.type in LISTS) return thing(field, label, help);
  if ((field.type === "int" || field.type === "float") && !field.many) {
    const part = text(label, { type: "number", step: field.type === "int" ? 1 : "any", min: field.least,
      max: field.most, value: field.default ?? "",
      placeholder: field.default === null ? "unless said: its own" : undefined, help });
    part.read = () => {
      if (part.input.validity.badInput) throw new Error(`${field.label}: not a number`);
      return part.value().trim() === "" ? null : Number(part.value());
    };
    return part;
  }
  const many = field.many;
  const part = text(label, { value: many ? (field.default ?? []).join(" ") : field.default ?? "",
    placeholder: many ? "several, with spaces between them" : undefined, help });
  part.read = () => {
    const typed = part.value().trim();
    if (!typed) return null;
    return many
      ? (field.type === "text" && field.default === null
        ? [typed]
        : typed.split(/\s+/).map((each) => (field.type === "int" || field.type === "float" ? Number(each) : each)))
      : typed;
  };
  return part;
}

/** A thing of the workspace, or one that is sent now. */
function thing(field, label, help) {
  const many = field.many, line = trouble();
  const select = h("select", { multiple: many, size: many ? 4 : undefined });
  const element = h("div", {}, row(label, select, help), field.type in ACCEPT &&
    files("Send one", { accept: ACCEPT[field.type], many, hint: "Or drop it here.",
      onfiles: (found) =>
        line.attempt(async () => {
          for (const each of found) {
            const sent = await upload(each, each.name);
            sent_here.push({ id: sent.id, name: each.name });
            await refresh();
            fill();
            [...select.options].forEach((option) => option.value === sent.id && (option.selected = true));
          }
        }) }), line);
  const sent_here = [];
  let filled = null;
  function fill() {
    const key = JSON.stringify(LISTS[field.type].map((list) => studio.workspace?.[list]));
    if (key === filled && !sent_here.length) return; // it may be open
    filled = key;
    const chosen = new Set([...select.selectedOptions].map((each) => each.value));
    const all = [...LISTS[field.type].flatMap((list) => studio.workspace?.[list] ?? []), ...sent_here].filter((each,
      place, list) => list.findIndex((other) => other.id === each.id) === place
    );
    if (!chosen.size && field.type === "network" && studio.network && field.name === "network")
      chosen.add(studio.network.id);
    put(select, many ? null : h("option", { value: "" }, "–"),
      all.map((each) => h("option", { value: each.id }, each.name ?? each.id)));
    [...select.options].forEach((option) => (option.selected = chosen.has(option.value)));
  }
  on("workspace", fill);
  fill();
  element.read = () => {
    const found = [...select.selectedOptions].map((each) => each.value).filter(Boolean);
    return many ? found : found[0] ?? null;
  };
  return element;
}

function ranged({ least, most, type }) {
  if (type !== "int" && type !== "float") return "";
  const low = least !== null && least !== undefined;
  const high = most !== null && most !== undefined && most < 1e6; // beyond is no limit that people meet
  if (low && high) return `${least} to ${most}.`;
  return low ? `${least} or more.` : high ? `${most} at most.` : "";
}
