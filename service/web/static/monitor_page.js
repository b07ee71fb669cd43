/** Drift: the weeks of each model, source and device, and what is to be looked after. */

import { askJson } from "./api.js";
import { chart } from "./charts.js";
import { el } from "./dom.js";
import { brief } from "./words.js";

const WEEKS = 26;
/** Charts of how far a quantity has gone, by its name in the report. */
const QUANTITIES = {
  score: "Anomaly score",
  ood_score: "OOD score",
  brightness: "Brightness",
  contrast: "Contrast",
  sharpness: "Sharpness",
};
const REFERENCES = { calibration: "the calibration", first_weeks: "the first weeks here" };

/** @returns {Promise<Node[]>} */
export async function monitorPage() {
  const { rows, notes } = await askJson(`v1/drift?weeks=${WEEKS}`);
  const streams = [...byStream(rows).values()];
  const changed = streams.filter((weeks) => weeks[weeks.length - 1].warnings.length > 0);
  const others = streams.filter((weeks) => !changed.includes(weeks));
  return [
    el("h2", {}, "Monitor"),
    el("p", { role: "status" }, summary(streams.length, changed.length)),
    el(
      "p",
      { class: "count" },
      "Each chart shows how far a quantity of the images lies from a reference; at 1 it is at the " +
        "limit that hardly any week passes by chance. ",
      el("span", { class: "key calibration" }, "against the calibration"),
      " ",
      el("span", { class: "key first_weeks" }, "against the first weeks here"),
    ),
    ...[...changed, ...others].map((weeks) => stream(weeks)),
    ...notes.map((/** @type {string} */ note) => el("p", { class: "note" }, note)),
  ];
}

/**
 * @param {number} streams
 * @param {number} changed
 */
function summary(streams, changed) {
  if (streams === 0) {
    return `No analyses were recorded in the last ${WEEKS} weeks.`;
  }
  const devices = streams === 1 ? "device" : "devices";
  return changed === 0
    ? `No warnings in the latest week: ${streams} ${devices}.`
    : `Warnings in the latest week: ${changed} of ${streams} ${devices}.`;
}

/**
 * @param {any[]} rows
 * @returns {Map<string, any[]>} The weeks of each stream, oldest first.
 */
function byStream(rows) {
  const found = new Map();
  for (const row of rows) {
    const key = JSON.stringify([row.model.sha256, row.source, row.manufacturer, row.device]);
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  return found;
}

/** @param {any[]} weeks */
function stream(weeks) {
  const last = weeks[weeks.length - 1];
  const device = [last.manufacturer, last.device].filter(Boolean).join(" ") || "device unknown";
  const source = last.source === "pacs" ? "PACS" : "uploads";
  const name = `${last.model.name} ${last.model.version} · ${source} · ${device}`;
  const warned = weeks.filter(({ warnings }) => warnings.length > 0).reverse();
  return el(
    "section",
    { class: "stream", "aria-label": name },
    el("h3", {}, name),
    ...warned.slice(0, 2).flatMap((row) => row.warnings.map((/** @type {any} */ one) => warning(row, one))),
    el("div", { class: "charts" }, ...charts(weeks)),
    el("details", {}, el("summary", {}, "Weeks as a table"), table(weeks, name)),
  );
}

/**
 * @param {any} row
 * @param {{text: string, analyses: string[]}} found
 */
function warning({ week }, { text, analyses }) {
  const links = analyses.flatMap((id, index) => [
    " ",
    el("a", { href: `#reading/${encodeURIComponent(id)}` }, `Image ${index + 1}`),
  ]);
  return el("p", { class: "warning" }, `Week of ${week}: ${text}`, ...links);
}

/** @param {any[]} weeks */
function charts(weeks) {
  const dates = weeks.map(({ week }) => week);
  const percent = (/** @type {number} */ share) => `${brief(100 * share)} %`;
  const called = weeks.map(({ abnormal_share: share }) => share);
  const made = [
    figure("Called abnormal", `latest ${percent(called[called.length - 1])}`, (label) =>
      chart(label, dates, [{ name: "", className: "plain", values: called }], { text: percent }),
    ),
  ];
  const alarms = weeks.map(({ false_alarms: found }) => found);
  if (alarms.some(Boolean)) {
    const latest = alarms.filter(Boolean).pop();
    const said =
      `latest ${latest.alarms} of ${latest.n} judged normal` +
      (latest.fair ? "" : "; judged selectively, so the rate is too high");
    made.push(
      figure("False alarms, four weeks", said, (label) =>
        chart(
          label,
          dates,
          [{ name: "", className: "plain", values: alarms.map((one) => one?.rate ?? null) }],
          {
            text: percent,
            limit: latest.promised,
            intervals: alarms.map((one) => (one ? [one.low, one.high] : null)),
          },
        ),
      ),
    );
  }
  for (const [quantity, title] of Object.entries(QUANTITIES)) {
    const lines = Object.keys(REFERENCES).map((reference) => ({
      name: reference,
      className: reference,
      values: weeks.map((row) => distance(row, quantity, reference)),
    }));
    const latest = Math.max(...lines.map(({ values }) => values[values.length - 1] ?? -1));
    if (lines.some(({ values }) => values.some((value) => value !== null))) {
      const said = latest < 0 ? "not compared this week" : `latest ${brief(latest)} times the limit`;
      made.push(
        figure(title, said, (label) => chart(label, dates, lines, { limit: 1, text: brief })),
      );
    }
  }
  return made;
}

/**
 * @param {string} title
 * @param {string} said
 * @param {(label: string) => Element} draw
 */
function figure(title, said, draw) {
  return el(
    "figure",
    {},
    draw(`${title}: ${said}`),
    el("figcaption", {}, el("strong", {}, title), ` ${said}`),
  );
}

/**
 * How far a quantity lies from a reference: above 1 it is past a limit.
 *
 * @param {any} row
 * @param {string} quantity
 * @param {string} reference
 * @returns {number | null} Null where it was not compared.
 */
function distance({ comparisons }, quantity, reference) {
  const found = comparisons.find(
    (/** @type {any} */ one) => one.quantity === quantity && one.reference === reference,
  );
  return found ? Math.max(found.ks / found.ks_limit, found.psi / found.psi_limit) : null;
}

/**
 * @param {any[]} weeks
 * @param {string} name
 */
function table(weeks, name) {
  const heads = ["Week", "Images", "Called abnormal", "False alarms", "Past a limit"];
  const rows = [...weeks].reverse().map((row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, row.week),
      el("td", {}, String(row.n)),
      el("td", {}, `${brief(100 * row.abnormal_share)} %`),
      el("td", {}, row.false_alarms ? alarmsText(row.false_alarms) : "nothing judged normal"),
      el("td", {}, pastText(row)),
    ),
  );
  return el(
    "div",
    { class: "wide", tabindex: 0, role: "region", "aria-label": `Weeks of ${name}` },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows),
    ),
  );
}

/** @param {any} found */
function alarmsText({ alarms, n, low, high }) {
  return `${alarms} of ${n} (${brief(100 * low)} to ${brief(100 * high)} %)`;
}

/** @param {any} row */
function pastText(row) {
  if (row.comparisons.length === 0) {
    return "too few images to compare";
  }
  const past = Object.keys(QUANTITIES).filter((quantity) =>
    Object.keys(REFERENCES).some((reference) => (distance(row, quantity, reference) ?? 0) > 1),
  );
  return past.map((quantity) => QUANTITIES[/** @type {keyof QUANTITIES} */ (quantity)]).join(", ") || "none";
}
