// Two images over each other, and a slider between them.

import { show } from "./api.js";
import { fresh, h } from "./dom.js";

/** A figure; `source(blob)` and `result(blob)` show the images. */
export function compare() {
  const under = h("img", { alt: "The source" }), over = h("img", { alt: "The result" });
  const id = fresh("between");
  const range = h("input", { type: "range", min: 0, max: 100, value: 50, id });
  const cut = () => {
    over.style.clipPath = `inset(0 0 0 ${range.value}%)`;
    rule.style.left = `${range.value}%`;
  };
  const rule = h("span", { class: "rule", "aria-hidden": "true" });
  range.addEventListener("input", cut);
  const nothing = h("p", { class: "empty" }, "The source and the result appear here, one over the other.");
  const both = h("div", { class: "both" }, nothing, under, over, rule);
  const bar = h("div", { class: "row" }, h("label", { for: id }, "Source to result"), range);
  const element = h("figure", { class: "stage compare" }, h("div", { class: "well" }, both), bar);
  bar.hidden = true;
  rule.hidden = true;
  under.hidden = over.hidden = true;
  const small = (image) =>
    image.addEventListener("load", () =>
      image.classList.toggle("small", Math.min(image.naturalWidth, image.naturalHeight) < 200));
  small(under);
  small(over);
  element.source = (blob) => {
    nothing.hidden = true;
    show(under, blob).hidden = false;
    over.hidden = bar.hidden = rule.hidden = true;
    element.blob = null;
  };
  element.result = (blob) => {
    element.blob = blob;
    show(over, blob).hidden = false;
    bar.hidden = rule.hidden = under.hidden;
    cut();
  };
  cut();
  return element;
}
