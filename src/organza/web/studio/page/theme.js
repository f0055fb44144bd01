// Light or dark: as the system has it, or as the switch says.

const KEY = "organza-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const SIGN = { system: "◐", light: "☀", dark: "☾" };

/** Let the button go round: as the system, light, dark. */
export function theme(button) {
  let now = NEXT[localStorage.getItem(KEY)] ? localStorage.getItem(KEY) : "system";
  const set = () => {
    document.documentElement.dataset.theme = now;
    button.textContent = SIGN[now];
    button.setAttribute("aria-label", `Colours: ${now}; change to ${NEXT[now]}`);
    button.title = `Colours: ${now}`;
  };
  button.addEventListener("click", () => {
    now = NEXT[now];
    localStorage.setItem(KEY, now);
    set();
  });
  set();
}
