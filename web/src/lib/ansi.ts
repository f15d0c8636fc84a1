// Log text to styled pieces of plain text. Only SGR (colours and weight) has an effect; every other escape
// sequence (cursor moves, OSC titles, links and clipboard writes, DCS …) is dropped, control characters too.
// The result holds no markup: pieces become text nodes with classes.

export interface Piece {
  text: string;
  /** Space-separated class names; empty for plain text. */
  classes: string;
}

/** What SGR codes have switched on so far. */
export interface Style {
  fg: number | null;
  bg: number | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  strike: boolean;
  inverse: boolean;
}

export function plainStyle(): Style {
  return {
    fg: null,
    bg: null,
    bold: false,
    dim: false,
    italic: false,
    underline: false,
    strike: false,
    inverse: false,
  };
}

// A string that never ends stops at the line's end, so it cannot hide the lines after it.
// In order: OSC and other strings up to BEL or ST (or the end), CSI, two-character escapes, other controls but tab.
const ESCAPES =
  /\u001b[\]PX^_][^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c|$)?|(?:\u001b\[|\u009b)([0-?]*)[ -/]*([@-~])?|\u001b[ -/]*[0-~]?|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** The text without any escape sequence or control character, for search and copying. */
export function strip(line: string): string {
  return line.replace(ESCAPES, "");
}

/** What a terminal would show of a line with carriage returns: the last thing written over it. */
export function overwrite(line: string): string {
  if (!line.includes("\r")) return line;
  const parts = line.split("\r");
  for (let index = parts.length - 1; index > 0; index -= 1) {
    const part = parts[index] ?? "";
    if (strip(part) !== "") return part;
  }
  return parts[0] ?? "";
}

/** Splits a line into pieces; `style` is carried from line to line and is changed. */
export function pieces(line: string, style: Style): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  const add = (text: string) => {
    if (text !== "") found.push({ text, classes: classesOf(style) });
  };
  for (const match of line.matchAll(ESCAPES)) {
    add(line.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m" && /^[0-9;:]*$/.test(match[1] ?? "")) applySgr(match[1] ?? "", style);
  }
  add(line.slice(from));
  return found;
}

/** The pieces without the first `count` characters of their text. */
export function without(parts: Piece[], count: number): Piece[] {
  const rest: Piece[] = [];
  let left = count;
  for (const part of parts) {
    if (part.text.length > left) rest.push({ ...part, text: part.text.slice(left) });
    left = Math.max(0, left - part.text.length);
  }
  return rest;
}

function applySgr(parameters: string, style: Style): void {
  const codes = parameters.split(/[;:]/).map((code) => (code === "" ? 0 : Number(code)));
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) Object.assign(style, plainStyle());
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code === 29) style.strike = false;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 90 && code <= 97) style.fg = code - 90 + 8;
    else if (code === 39) style.fg = null;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 100 && code <= 107) style.bg = code - 100 + 8;
    else if (code === 49) style.bg = null;
    else if (code === 38 || code === 48) {
      let colour: number | null = null;
      if (codes[index + 1] === 5) {
        colour = nearest256(codes[index + 2] ?? 0);
        index += 2;
      } else if (codes[index + 1] === 2) {
        colour = nearestRgb(codes[index + 2] ?? 0, codes[index + 3] ?? 0, codes[index + 4] ?? 0);
        index += 4;
      }
      if (code === 38) style.fg = colour;
      else style.bg = colour;
    }
  }
}

// 256 and true colours are shown as the nearest of the sixteen, which the themes make readable on their ground.
function nearest256(code: number): number {
  if (code < 16) return Math.max(0, code);
  if (code >= 232) {
    const grey = 8 + (code - 232) * 10;
    return nearestRgb(grey, grey, grey);
  }
  const cube = code - 16;
  const level = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  return nearestRgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

const SIXTEEN: [number, number, number][] = [
  [0, 0, 0],
  [187, 0, 0],
  [0, 187, 0],
  [187, 187, 0],
  [0, 0, 187],
  [187, 0, 187],
  [0, 187, 187],
  [187, 187, 187],
  [85, 85, 85],
  [255, 85, 85],
  [85, 255, 85],
  [255, 255, 85],
  [85, 85, 255],
  [255, 85, 255],
  [85, 255, 255],
  [255, 255, 255],
];

function nearestRgb(r: number, g: number, b: number): number {
  let best = 0;
  let smallest = Infinity;
  for (const [index, [R, G, B]] of SIXTEEN.entries()) {
    const distance = (r - R) ** 2 + (g - G) ** 2 + (b - B) ** 2;
    if (distance < smallest) {
      smallest = distance;
      best = index;
    }
  }
  return best;
}

function classesOf(style: Style): string {
  const classes: string[] = [];
  if (style.fg !== null) classes.push(`ansi-fg-${style.fg}`);
  if (style.bg !== null) classes.push(`ansi-bg-${style.bg}`);
  if (style.bold) classes.push("ansi-bold");
  if (style.dim) classes.push("ansi-dim");
  if (style.italic) classes.push("ansi-italic");
  if (style.underline) classes.push("ansi-underline");
  if (style.strike) classes.push("ansi-strike");
  if (style.inverse) classes.push("ansi-inverse");
  return classes.join(" ");
}

/** Cuts pieces so that the characters from `start` to `end` stand alone with an extra class: a search hit. */
export function mark(list: Piece[], start: number, end: number, extra: string): Piece[] {
  const result: Piece[] = [];
  let at = 0;
  for (const piece of list) {
    const from = Math.min(Math.max(start - at, 0), piece.text.length);
    const to = Math.min(Math.max(end - at, 0), piece.text.length);
    if (from > 0) result.push({ text: piece.text.slice(0, from), classes: piece.classes });
    if (to > from)
      result.push({ text: piece.text.slice(from, to), classes: `${piece.classes} ${extra}`.trim() });
    if (to < piece.text.length)
      result.push({ text: piece.text.slice(Math.max(to, from)), classes: piece.classes });
    at += piece.text.length;
  }
  return result;
}
