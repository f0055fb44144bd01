// What of a page can't be used or read by everybody: controls without a name, and text with too little contrast.
() => {
  const TYPED = "input:not([type=range], [type=checkbox], [type=radio], [type=file]), select";
  const CONTROLS = "input, select, button, summary, [tabindex='0'], dialog, progress";
  const short = (element) => element.outerHTML.slice(0, 120);

  const names = (element) => [
    element.getAttribute("aria-label"),
    ...[...(element.labels ?? [])].map((label) => label.textContent),
    ...(element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent),
    element.matches("button, summary, a") ? element.textContent : "",
  ];
  const nameless = [...document.querySelectorAll(CONTROLS)].filter((each) => !names(each).some((text) => text?.trim()));
  const silent = [...document.images].filter((image) => !image.hasAttribute("alt"));

  // Relative luminance and contrast, as WCAG 2 defines them.
  const light = (colour) => {
    const levels = colour.match(/[\d.]+/g).slice(0, 3).map((level) => Number(level) / 255);
    const [r, g, b] = levels.map((level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const written = (element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const seen = element.checkVisibility() && element.getBoundingClientRect().width > 1;
    return (own || element.matches(TYPED)) && seen && !element.disabled && !element.closest(".heard");
  };
  const contrast = (element) => {
    const style = getComputedStyle(element);
    const both = [light(element.matches("text") ? style.fill : style.color), light(ground(element))];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  const texts = [...document.querySelectorAll("body *")].filter(written);
  const least = (element) => (parseFloat(getComputedStyle(element).fontSize) >= 24 ? 3 : 4.5);
  const faint = texts.filter((each) => contrast(each) < least(each));

  const { scrollWidth, clientWidth } = document.documentElement;
  return {
    nameless: [...nameless, ...silent].map(short),
    faint: faint.map((each) => `${contrast(each).toFixed(2)} ${short(each)}`),
    texts: texts.length,
    wide: scrollWidth - clientWidth,
  };
}
