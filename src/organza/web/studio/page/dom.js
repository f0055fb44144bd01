// Elements without markup in strings: text stays text, whatever it says.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate", "srcObject", "muted", "loop"]);

/** An HTML element; `onclick` and the like are listeners, `false`, `null` and `undefined` are left out. */
export const h = (name, props = {}, ...children) => filled(document.createElement(name), props, children);

/** An SVG element. */
export const s = (name, props = {}, ...children) => filled(document.createElementNS(SVG, name), props, children);

function filled(element, props, children) {
  const late = [];
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (PROPERTIES.has(key)) late.push([key, value]);
    else if (value === false) continue;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...kept(children));
  for (const [key, value] of late) element[key] = value; // a select has its value once it has options
  return element;
}

const kept = (children) => children.flat(3).filter((each) => each !== null && each !== undefined && each !== false);

/** Let `element` have exactly these children. */
export function put(element, ...children) {
  element.replaceChildren(...kept(children));
  return element;
}

let numbers = 0;

/** An id that nothing else has. */
export const fresh = (word = "x") => `${word}-${++numbers}`;

/** Say something in the line that screen readers listen to; it goes after a while. */
export function say(text) {
  const line = document.getElementById("said");
  line.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (line.textContent = ""), 8000);
}

/** A button. `kind`: "main", "quiet" or nothing. */
export const button = (text, onclick, { kind, ...props } = {}) =>
  h("button", { type: "button", class: kind, onclick, ...props }, text);

/** Whole and other numbers as people read them: 12,345.6, 0.00123. */
export function count(value, digits = 4) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-GB");
  return Number(value.toPrecision(digits)).toLocaleString("en-GB", { maximumSignificantDigits: digits });
}

/** Seconds as 45 s, 3 min 5 s, 2 h 10 min. */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** A word for `many` things: 1 image, 2 images. */
export const many = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
