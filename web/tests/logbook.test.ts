// The log book over a log in memory: whatever is read, and in whatever order, lines are the log's lines.
import { describe, expect, it } from "vitest";
import { LINE_BYTES, LogBook, PAGE, type Hit } from "../src/lib/logbook";
import { strip } from "../src/lib/ansi";

const encoder = new TextEncoder();

/** A log on a server: reads are counted, and can be made to fail. */
function server(text: string) {
  const state = { bytes: encoder.encode(text), reads: [] as [number, number][], broken: false };
  const read = async (offset: number, limit: number) => {
    state.reads.push([offset, limit]);
    if (state.broken) throw new Error("away");
    return state.bytes.slice(offset, offset + limit);
  };
  const breaks = () => state.bytes.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0);
  return { state, read, breaks, open: () => new LogBook(read, state.bytes.length, breaks()) };
}

/** Lines of different lengths, more than `pages` pages of them. */
function longText(pages: number): string[] {
  const lines: string[] = [];
  let length = 0;
  for (let n = 0; length < pages * PAGE; n += 1) {
    const line = `line ${n} ${"ü".repeat((n * 37) % 180)}`;
    lines.push(line);
    length += encoder.encode(line).length + 1;
  }
  return lines;
}

describe("reading", () => {
  it("gives the lines of a small log, the unfinished last one too", async () => {
    const book = server("one\ntwo\nthr").open();
    await book.openEnd();
    expect(book.lineCount).toBe(3);
    expect(book.peek(0, 9)).toEqual(["one", "two", "thr"]);
  });

  it("knows nothing of an empty log", async () => {
    const { open, state } = server("");
    const book = open();
    await book.openEnd();
    expect(book.lineCount).toBe(0);
    expect(book.peek(0, 5)).toEqual([]);
    expect(state.reads).toEqual([]);
  });

  it.each([0, 1, 700, 9_000, 20_000, -1])("finds line %i of a long log", async (wanted) => {
    const lines = longText(12);
    const { open } = server(lines.join("\n") + "\n");
    const book = open();
    await book.openEnd();
    const line = wanted < 0 ? lines.length - 1 : wanted;
    await book.fetchLines(line, line + 40);
    expect(book.peek(line, line + 40)).toEqual(lines.slice(line, line + 40));
  });

  it("finds lines in any order, across all page borders", async () => {
    const lines = longText(6);
    const book = server(lines.join("\n")).open();
    await book.openEnd();
    for (let at = 0; at < lines.length; at += 997) {
      const line = (at * 7919) % lines.length;
      await book.fetchLines(line, line + 30);
      expect(book.peek(line, line + 30)).toEqual(lines.slice(line, line + 30));
    }
  });

  it("does not read the whole log to show its end", async () => {
    const { open, state } = server(("x".repeat(99) + "\n").repeat(PAGE / 10));
    const book = open();
    await book.openEnd();
    await book.fetchLines(book.lineCount - 40, book.lineCount);
    expect(book.peek(book.lineCount - 2, book.lineCount)).toEqual(["x".repeat(99), "x".repeat(99)]);
    expect(state.reads.reduce((sum, [, limit]) => sum + limit, 0)).toBeLessThan(3 * PAGE);
  });

  it("cuts a line that is longer than a page can show", async () => {
    const book = server("a\n" + "y".repeat(PAGE + 50) + "\nb\n").open();
    await book.openEnd();
    await book.fetchLines(0, 3);
    const [first, long, last] = book.peek(0, 3);
    expect(first).toBe("a");
    expect(long?.startsWith("y".repeat(LINE_BYTES))).toBe(true);
    expect(long).toContain("cut here");
    expect(last).toBe("b");
  });

  it("says what went wrong, and works once the server is back", async () => {
    const { open, state } = server("one\ntwo\n");
    const book = open();
    state.broken = true;
    await expect(book.openEnd()).rejects.toThrow("away");
    state.broken = false;
    await book.openEnd();
    expect(book.peek(0, 2)).toEqual(["one", "two"]);
  });
});

describe("growing", () => {
  it("takes chunks in order, split inside lines and characters", () => {
    const text = "grün\nblau\nrot";
    const bytes = encoder.encode(text);
    const book = server("").open();
    for (let at = 0; at < bytes.length; at += 1)
      expect(book.append(at, bytes.subarray(at, at + 1))).toBe(true);
    expect(book.peek(0, 9)).toEqual(["grün", "blau", "rot"]);
    expect(book.bytes).toBe(bytes.length);
  });

  it("cuts what is known already, as after a reconnect", () => {
    const book = server("").open();
    book.append(0, encoder.encode("one\ntwo\n"));
    expect(book.append(4, encoder.encode("two\nthree\n"))).toBe(true);
    expect(book.append(0, encoder.encode("one\n"))).toBe(true);
    expect(book.peek(0, 9)).toEqual(["one", "two", "three"]);
  });

  it("refuses a chunk after a gap, and reads what is missing", async () => {
    const { state, read } = server("one\n");
    const book = new LogBook(read, 0, 0);
    book.append(0, encoder.encode("one\n"));
    state.bytes = encoder.encode("one\ntwo\nthree\n");
    expect(book.append(8, encoder.encode("three\n"))).toBe(false);
    expect(book.bytes).toBe(4);
    await book.grow(14);
    expect(book.peek(0, 9)).toEqual(["one", "two", "three"]);
    expect(state.reads).toEqual([[4, 10]]);
  });

  it("goes on from a log that was there before, page border included", async () => {
    const lines = longText(2);
    const whole = encoder.encode(lines.join("\n") + "\n");
    const half = whole.lastIndexOf(10, PAGE + 100) + 1;
    const { state, read } = server("");
    state.bytes = whole;
    const newlines = whole.subarray(0, half).filter((byte) => byte === 10).length;
    const book = new LogBook(read, half, newlines);
    await book.openEnd();
    for (let at = half; at < whole.length; at += 10_007)
      expect(book.append(at, whole.subarray(at, at + 10_007))).toBe(true);
    expect(book.lineCount).toBe(lines.length);
    for (const from of [0, 500, lines.length - 30]) {
      await book.fetchLines(from, from + 30);
      expect(book.peek(from, from + 30)).toEqual(lines.slice(from, from + 30));
    }
  });
});

describe("searching", () => {
  const search = async (book: LogBook, text: string, limit = 100) => {
    const all: Hit[] = [];
    await book.search(text, strip, (hits) => all.push(...hits), limit);
    return all;
  };

  it("finds text whatever its case, where it is without escape sequences", async () => {
    const book = server("\u001b[31mError\u001b[0m: no\nfine\nan ERROR\n").open();
    expect(await search(book, "error")).toEqual([
      { line: 0, start: 0, end: 5 },
      { line: 2, start: 3, end: 8 },
    ]);
  });

  it("counts lines over pages", async () => {
    const lines = longText(10);
    lines[lines.length - 2] = "here is the needle";
    const book = server(lines.join("\n") + "\n").open();
    expect(await search(book, "NEEDLE")).toEqual([{ line: lines.length - 2, start: 12, end: 18 }]);
  });

  it("stops at its limit", async () => {
    expect(await search(server("a\n".repeat(500)).open(), "a", 7)).toHaveLength(7);
  });
});
