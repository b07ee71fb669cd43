/** The places of the page, each under its own fragment of the address, so that "back" goes back. */

import { byId, el } from "./dom.js";

/**
 * @typedef {object} Place
 * @property {string} name In the address, and of the link in capitals.
 * @property {((rest: string[]) => Promise<Node[]>) | null} content What stands there, by the rest of
 *   the address; null for the reading room, which is always there.
 * @property {((rest: string[]) => void)} [enter] Called when the reading room is gone to.
 */

/**
 * Offer places, and go to the one that the address names.
 *
 * @param {Place[]} places The first one is where the page starts.
 */
export function offer(places) {
  const [reading, page] = [byId("reading"), byId("page")];
  const links = places.map(({ name }) =>
    el("a", { href: `#${name}` }, name[0].toUpperCase() + name.slice(1)),
  );
  byId("places").replaceChildren(...links);
  const go = async () => {
    const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
    const place = places.find((each) => each.name === name) ?? places[0];
    const { content } = place;
    places.forEach((each, index) => {
      if (each === place) {
        links[index].setAttribute("aria-current", "page");
      } else {
        links[index].removeAttribute("aria-current");
      }
    });
    reading.hidden = content !== null;
    page.hidden = content === null;
    if (content === null) {
      place.enter?.(rest);
      return;
    }
    page.replaceChildren(el("p", { role: "status" }, "Loading…"));
    try {
      page.replaceChildren(...(await content(rest)));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      page.replaceChildren(el("p", { class: "problem", role: "alert" }, text));
    }
  };
  window.addEventListener("hashchange", go);
  go();
}
