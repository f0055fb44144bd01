// What a shared link restores: the part of the address behind #, which never leaves the browser.

const read = () => new URLSearchParams(location.hash.slice(1));

/** A value of the address, or null. */
export const at = (name) => read().get(name);

/** Change values of the address; null takes one out. `step`: the browser's back button comes back to here. */
export function move(changes, { step = false } = {}) {
  const place = read();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") place.delete(name);
    else place.set(name, value);
  }
  // Names such as zoo/digits-vae stay as they are, so that people can read the address.
  const hash = place.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%40",
    "@");
  if (hash !== location.hash.slice(1)) history[step ? "pushState" : "replaceState"](null, "", `#${hash}`);
}
