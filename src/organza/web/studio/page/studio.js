// What all parts of the page share: what the server is, what the workspace holds, and the network that is open.

import { ask } from "./api.js";
import { many } from "./dom.js";
import { move } from "./place.js";

/** `about`, `workspace`, `network`: as the server told them last; null before. */
export const studio = { about: null, workspace: null, network: null };
const listeners = {};

/** Call `listener` whenever "workspace", "network", "recipe" or "jobs" has changed; the function that ends that. */
export function on(what, listener) {
  (listeners[what] ??= new Set()).add(listener);
  return () => listeners[what].delete(listener);
}

/** Tell that `what` has changed. */
export const changed = (what) => [...(listeners[what] ?? [])].forEach((listener) => listener());

/** Look again what the workspace holds. */
export async function refresh() {
  studio.workspace = await ask("api/workspace");
  changed("workspace");
}

let wished = 0;

/** Open a network; its description. Of several wishes the last one stays. */
export async function choose(id, model) {
  const mine = ++wished;
  const network = await ask("api/network", { body: { id, ...(model && { model }) } });
  if (mine !== wished) return network;
  studio.network = { model: model ?? network.models?.[0] ?? null, ...network };
  move({ network: id, model: model ?? null });
  changed("network");
  return studio.network;
}

/** A network's name as people know it. */
export const name_of = (id) => studio.workspace?.networks.find((each) => each.id === id)?.name ?? id.split("/").at(-1);

/** What a network is, in a few words. */
export function facts(network) {
  const size = network.width && `${network.width}×${network.height}`;
  return [network.kind, size, network.labels && many(network.labels, "label"), network.licence].filter(Boolean).join(
    " · ",
  );
}

/** Why something can't be done, or null: without a network, with one of the other kind. */
export function lacking(does) {
  if (!studio.network) return does === "generate" ? "No generator is open." : "No translator is open.";
  if (studio.network.does === does) return null;
  const name = name_of(studio.network.id);
  return does === "generate"
    ? `${name} translates images; this needs a generator.`
    : `${name} generates images; this needs a translator.`;
}
