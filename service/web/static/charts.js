/** Small charts of weeks, drawn as SVG of shapes and texts alone. */

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [260, 110, 46, 18, 8];

/** @typedef {{name: string, className: string, values: (number | null)[]}} Line */

/**
 * Draw lines over weeks.
 *
 * @param {string} label What the chart says, for those who do not see it.
 * @param {string[]} weeks Mondays, as 2026-11-23.
 * @param {Line[]} lines One value a week; null where there is none.
 * @param {object} [options]
 * @param {number | null} [options.limit] A line across.
 * @param {([number, number] | null)[]} [options.intervals] Of each week.
 * @param {(value: number) => string} [options.text] Writes a value of the axis.
 */
export function chart(label, weeks, lines, { limit = null, intervals = [], text = String } = {}) {
  const all = [
    ...lines.flatMap(({ values }) => values),
    ...intervals.flatMap((one) => one ?? []),
    limit,
  ].filter((value) => value !== null);
  const highest = Math.max(...all, 1e-9);
  const x = (/** @type {number} */ week) =>
    LEFT + ((week + 0.5) * (WIDTH - LEFT)) / Math.max(weeks.length, 1);
  const y = (/** @type {number} */ value) =>
    HEIGHT - BOTTOM - (value / highest) * (HEIGHT - BOTTOM - TOP);
  const made = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    class: "chart",
    role: "img",
    "aria-label": label,
  });
  made.append(
    svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: y(0), y2: y(0) }),
    svg("text", { x: LEFT - 4, y: y(0), class: "value" }, "0"),
    svg("text", { x: LEFT - 4, y: y(highest) + 6, class: "value" }, text(highest)),
    ...ends(weeks).map(([index, anchor]) =>
      svg("text", { x: x(index), y: HEIGHT - 4, class: `week ${anchor}` }, weeks[index].slice(5)),
    ),
  );
  if (limit !== null) {
    made.append(svg("line", { class: "limit", x1: LEFT, x2: WIDTH, y1: y(limit), y2: y(limit) }));
  }
  intervals.forEach((interval, week) => {
    if (interval) {
      const [y1, y2] = interval.map(y);
      made.append(svg("line", { class: "interval", x1: x(week), x2: x(week), y1, y2 }));
    }
  });
  for (const { className, values } of lines) {
    for (const points of runs(values)) {
      const path = points.map(([week, value]) => `${x(week)},${y(value)}`).join(" ");
      made.append(svg("polyline", { class: className, points: path }));
      made.append(
        ...points.map(([week, value]) =>
          svg("circle", {
            class: `${className}${limit !== null && value > limit ? " above" : ""}`,
            cx: x(week),
            cy: y(value),
            r: 2.5,
          }),
        ),
      );
    }
  }
  return made;
}

/**
 * @param {string[]} weeks
 * @returns {[number, string][]} Which weeks have their date below the axis, and how it is aligned.
 */
function ends(weeks) {
  const last = weeks.length - 1;
  return last > 0
    ? [
        [0, "first"],
        [last, "last"],
      ]
    : [[0, "first"]];
}

/**
 * @param {(number | null)[]} values
 * @returns {[number, number][][]} Weeks and values without a gap.
 */
function runs(values) {
  /** @type {[number, number][][]} */
  const found = [[]];
  values.forEach((value, week) => {
    if (value === null) {
      found.push([]);
    } else {
      found[found.length - 1].push([week, value]);
    }
  });
  return found.filter((run) => run.length > 0);
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 */
function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, String(value));
  }
  made.textContent = text ?? "";
  return made;
}
