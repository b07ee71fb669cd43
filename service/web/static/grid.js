/** Numbers in rows and columns that lie over a whole radiograph: an anomaly map, lung fields. */

/**
 * @typedef {object} Grid
 * @property {number} rows
 * @property {number} columns
 * @property {ArrayLike<number>} values Row by row.
 */

/**
 * Where a grid exceeds a level, as its bilinear picture would show it.
 *
 * Marching squares: each square between four neighbouring values has at most two pieces of the
 * outline, found by linear interpolation on its sides.
 *
 * @param {Grid} grid
 * @param {number} level
 * @param {number} width Of the radiograph, in pixels.
 * @param {number} height Of the radiograph, in pixels.
 * @returns {number[][]} Pieces `[x1, y1, x2, y2]` in pixels of the radiograph, in no order.
 */
export function outline(grid, level, width, height) {
  const { rows, columns, values } = grid;
  let least = level;
  for (let i = 0; i < values.length; i += 1) {
    least = Math.min(least, values[i]);
  }
  // A frame below the level closes what runs over the border.
  const outside = least - 1;
  const at = (/** @type {number} */ row, /** @type {number} */ column) =>
    row < 0 || column < 0 || row >= rows || column >= columns
      ? outside
      : values[row * columns + column];
  const clamp = (/** @type {number} */ value, /** @type {number} */ most) =>
    Math.min(Math.max(value, 0), most);
  const pieces = [];
  for (let row = -1; row < rows; row += 1) {
    for (let column = -1; column < columns; column += 1) {
      const corners = [
        at(row, column),
        at(row, column + 1),
        at(row + 1, column + 1),
        at(row + 1, column),
      ];
      for (const [from, to] of crossed(corners, level)) {
        const ends = [crossing(from, corners, level), crossing(to, corners, level)];
        pieces.push(
          ends.flatMap(([x, y]) => [
            clamp(((column + x + 0.5) * width) / columns, width),
            clamp(((row + y + 0.5) * height) / rows, height),
          ]),
        );
      }
    }
  }
  return pieces;
}

const CORNERS = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
];

/**
 * Which sides of a square the outline joins; side i runs from corner i to the next one.
 *
 * @param {number[]} corners Clockwise from the top left.
 * @param {number} level
 * @returns {number[][]} Pairs of sides.
 */
function crossed(corners, level) {
  const above = corners.map((value) => value > level);
  const sides = [0, 1, 2, 3].filter((side) => above[side] !== above[(side + 1) % 4]);
  if (sides.length < 4) {
    return sides.length === 2 ? [sides] : [];
  }
  // A saddle: the middle decides which corners hang together.
  const middle = corners.reduce((sum, value) => sum + value) / 4 > level;
  return middle === above[0]
    ? [
        [0, 1],
        [2, 3],
      ]
    : [
        [3, 0],
        [1, 2],
      ];
}

/**
 * @param {number} side
 * @param {number[]} corners
 * @param {number} level
 * @returns {number[]} Column and row in the square, from 0 to 1.
 */
function crossing(side, corners, level) {
  const next = (side + 1) % 4;
  const share = (level - corners[side]) / (corners[next] - corners[side]);
  return [0, 1].map((axis) => CORNERS[side][axis] * (1 - share) + CORNERS[next][axis] * share);
}

/**
 * @typedef {object} Region
 * @property {number} left
 * @property {number} top
 * @property {number} right
 * @property {number} bottom Edges in pixels of the radiograph.
 * @property {number} peak The largest value in it.
 */

const MOST_REGIONS = 10;

/**
 * Boxes around what hangs together above a level, the largest first, at most ten.
 *
 * @param {Grid} grid
 * @param {number} level
 * @param {number} width Of the radiograph, in pixels.
 * @param {number} height Of the radiograph, in pixels.
 * @returns {Region[]}
 */
export function regions(grid, level, width, height) {
  const { rows, columns, values } = grid;
  const seen = new Uint8Array(values.length);
  const found = [];
  for (let start = 0; start < values.length; start += 1) {
    if (seen[start] || values[start] <= level) {
      continue;
    }
    const box = { left: columns, top: rows, right: 0, bottom: 0, peak: -Infinity, size: 0 };
    const waiting = [start];
    seen[start] = 1;
    for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
      const [row, column] = [Math.floor(index / columns), index % columns];
      box.left = Math.min(box.left, column);
      box.right = Math.max(box.right, column + 1);
      box.top = Math.min(box.top, row);
      box.bottom = Math.max(box.bottom, row + 1);
      box.peak = Math.max(box.peak, values[index]);
      box.size += 1;
      const neighbours = [
        column > 0 ? index - 1 : -1,
        column + 1 < columns ? index + 1 : -1,
        index - columns,
        index + columns,
      ];
      for (const next of neighbours) {
        if (next >= 0 && next < values.length && !seen[next] && values[next] > level) {
          seen[next] = 1;
          waiting.push(next);
        }
      }
    }
    found.push(box);
  }
  const [x, y] = [width / columns, height / rows];
  return found
    .sort((one, other) => other.size - one.size)
    .slice(0, MOST_REGIONS)
    .map(({ left, top, right, bottom, peak }) => ({
      left: left * x,
      top: top * y,
      right: right * x,
      bottom: bottom * y,
      peak,
    }));
}
