// The groups of a log: `##[group]Title`, their lines, `##[endgroup]`. They do not nest: the next one ends the one before.
// A group that has ended is folded to its title until somebody opens it; one that goes on is open.

const HEAD = "##[group]";
const END = "##[endgroup]";

/** What a line is to groups. */
export function markOf(line: string): "head" | "end" | null {
  if (line.startsWith(HEAD)) return "head";
  return line.startsWith(END) ? "end" : null;
}

/** How many characters of a title's line are not the title. */
export const HEAD_LENGTH = HEAD.length;

export interface Group {
  /** The line of the title, from 0. */
  head: number;
  /** The line after its last one, which is not shown when it is the mark of the end. */
  next: number;
  open: boolean;
}

export interface Folded {
  /** The lines that are shown, in order. */
  lines: number[];
  /** By the line of the title. */
  groups: Map<number, Group>;
}

/** Which lines of a whole log are shown. `chosen` says by the line of the title what people opened (or closed). */
export function fold(texts: string[], chosen: ReadonlyMap<number, boolean>): Folded {
  const groups = new Map<number, Group>();
  const lines: number[] = [];
  let group: Group | null = null;
  const close = (next: number, ended: boolean) => {
    if (!group) return;
    group.next = next;
    if (ended) group.open = chosen.get(group.head) ?? false;
    group = null;
  };
  texts.forEach((text, line) => {
    const mark = markOf(text);
    if (mark === "head") {
      close(line, true);
      group = { head: line, next: texts.length, open: chosen.get(line) ?? true };
      groups.set(line, group);
    } else if (mark === "end") {
      close(line + 1, true);
    }
  });
  let at = 0;
  while (at < texts.length) {
    const here = groups.get(at);
    if (markOf(texts[at] ?? "") !== "end") lines.push(at);
    at = here && !here.open ? here.next : at + 1;
  }
  return { lines, groups };
}

/** The row that shows a line, or the row before it where it is folded away. */
export function rowOf({ lines }: Folded, line: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lines[middle] ?? 0) <= line) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** The group that hides a line. */
export function hiding({ groups }: Folded, line: number): Group | undefined {
  return [...groups.values()].find((group) => !group.open && group.head < line && line < group.next);
}
