// Which rows of a long list are in sight. A browser lays out at most 33,554,428 px, so a longer list has its scroll
// position scaled to lines.

/** A little under what Chromium allows. */
export const MAX_HEIGHT = 33_000_000;
const SPARE = 15; // rows drawn beyond the edges

/** The height of the scrolled content. */
export function spacerHeight(lines: number, row: number): number {
  return Math.min(lines * row, MAX_HEIGHT);
}

/** The line (with its fraction) at the top of the view. */
export function topLineFor(scrollTop: number, height: number, lines: number, row: number): number {
  if (lines * row <= MAX_HEIGHT) return Math.max(0, scrollTop / row);
  const furthest = MAX_HEIGHT - height;
  if (furthest <= 0) return 0;
  return Math.min(1, Math.max(0, scrollTop / furthest)) * (lines - height / row);
}

/** Where to scroll to so that `line` is at the top. */
export function scrollTopFor(line: number, height: number, lines: number, row: number): number {
  const wanted = Math.max(0, line);
  if (lines * row <= MAX_HEIGHT) return wanted * row;
  const furthest = MAX_HEIGHT - height;
  return Math.min(1, wanted / Math.max(1, lines - height / row)) * furthest;
}

/** The rows to draw, the last one excluded. */
export function rowsFor(
  top: number,
  height: number,
  lines: number,
  row: number,
): { first: number; last: number } {
  const first = Math.max(0, Math.min(Math.floor(top), lines) - SPARE);
  return { first, last: Math.min(lines, Math.ceil(top + height / row) + SPARE) };
}
