/** What a reader can open: files dropped onto the page, analyses of the record, a study's pictures. */

/**
 * @typedef {object} Item
 * @property {string} id Of the element that shows it in a list.
 * @property {string} title
 * @property {"waiting" | "analysing" | "done" | "failed"} state
 * @property {any} result What `POST /v1/predict` answered, or the record of it; null until then.
 * @property {string | null} problem Why it failed, for the reader.
 * @property {() => Promise<Blob>} file The original file.
 * @property {() => Promise<import("./anomaly_map.js").AnomalyMap | null>} map
 */

let count = 0;

/**
 * @param {string} title
 * @param {() => Promise<Blob>} file
 * @returns {Item} One that waits for its analysis.
 */
export function waitingItem(title, file) {
  count += 1;
  return {
    id: `item-${count}`,
    title,
    state: "waiting",
    result: null,
    problem: null,
    file,
    map: async () => null,
  };
}
