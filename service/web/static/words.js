/** Numbers of an answer in the words of a reader. */

/**
 * How unusual a score is among the normal chests of the calibration.
 *
 * @param {number} p Conformal p-value: (1 + normals with such a score or a higher one) / (n + 1).
 * @param {number | null} n Normals of the calibration, where known.
 * @returns {string}
 */
export function howUnusual(p, n) {
  const chests = "normal chests of the calibration";
  if (n !== null && p * (n + 1) < 1.5) {
    return `None of the ${n} ${chests} looks this unusual.`;
  }
  if (p > 0.95) {
    return `Almost all ${chests} look this unusual.`;
  }
  return p > 0.5
    ? `${Math.round(10 * p)} in 10 ${chests} look this unusual.`
    : `1 in ${Math.round(1 / p)} ${chests} looks this unusual.`;
}

/** What the reader of a file had to assume, by its code; other warnings are sentences already. */
const ASSUMED = new Map([
  ["body_part_unknown", "The header of the file does not say that this is a chest."],
  ["lateral_view", "The header of the file calls this a lateral view: the score means little."],
  ["window_unusable", "The window in the file cannot be used; its values are shown in full range."],
]);

/**
 * @param {string} warning
 * @returns {string}
 */
export function warningText(warning) {
  return ASSUMED.get(warning) ?? warning;
}

/**
 * @param {number} value
 * @returns {string} With three significant digits, where it has as many.
 */
export function brief(value) {
  return String(Number(value.toPrecision(3)));
}
