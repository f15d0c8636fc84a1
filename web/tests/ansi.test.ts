// Log text: colours have an effect, nothing else that a terminal would obey has.
import { describe, expect, it } from "vitest";
import { mark, overwrite, pieces, plainStyle, strip } from "../src/lib/ansi";

const parts = (line: string) => pieces(line, plainStyle());

describe("pieces", () => {
  it("leaves plain text as it is, markup included", () => {
    expect(parts("<b>a & b</b>\t!")).toEqual([{ text: "<b>a & b</b>\t!", classes: "" }]);
  });

  it("splits at colours and weight", () => {
    expect(parts("a\u001b[1;31mb\u001b[22mc\u001b[39;44md\u001b[me")).toEqual([
      { text: "a", classes: "" },
      { text: "b", classes: "ansi-fg-1 ansi-bold" },
      { text: "c", classes: "ansi-fg-1" },
      { text: "d", classes: "ansi-bg-4" },
      { text: "e", classes: "" },
    ]);
  });

  it.each([
    ["\u001b[38;5;196mx", "ansi-fg-1"],
    ["\u001b[38;5;2mx", "ansi-fg-2"],
    ["\u001b[38;5;255mx", "ansi-fg-15"],
    ["\u001b[38;2;0;0;190mx", "ansi-fg-4"],
    ["\u001b[48;2;0;180;0mx", "ansi-bg-2"],
    ["\u001b[92mx", "ansi-fg-10"],
    ["\u001b[3;4;9mx", "ansi-italic ansi-underline ansi-strike"],
    ["\u001b[7mx\u001b[27m", "ansi-inverse"],
  ])("shows %j in a colour of the theme", (line, classes) => {
    expect(parts(line)).toEqual([{ text: "x", classes }]);
  });

  it("carries a style to the next line", () => {
    const style = plainStyle();
    pieces("\u001b[32mgreen", style);
    expect(pieces("still", style)).toEqual([{ text: "still", classes: "ansi-fg-2" }]);
  });

  it.each([
    ["a title", "\u001b]0;evil\u0007ok"],
    ["a link", "\u001b]8;;https://evil.example\u001b\\ok\u001b]8;;\u001b\\"],
    ["a clipboard write", "\u001b]52;c;ZXZpbA==\u0007ok"],
    ["cursor moves", "\u001b[2J\u001b[10;1Hok\u001b[K"],
    ["an eight-bit sequence", "\u009b31Kok"],
    ["bells and nulls", "\u0007o\u0000k\u0008"],
    ["a device control string", "\u001bPq#0\u001b\\ok"],
    ["an unfinished sequence", "ok\u001b["],
  ])("drops %s", (_, line) => {
    expect(
      parts(line)
        .map(({ text }) => text)
        .join(""),
    ).toBe("ok");
    expect(strip(line)).toBe("ok");
  });

  it("does not let an endless string hide the next line", () => {
    expect(strip("\u001b]0;never ends\nnext")).toBe("\nnext");
  });
});

describe("overwrite", () => {
  it.each([
    ["10 %\r20 %\r30 %", "30 %"],
    ["done\r", "done"],
    ["done\r\u001b[K", "done"],
    ["plain", "plain"],
    ["\r", ""],
  ])("shows of %j what a terminal would", (line, shown) => expect(overwrite(line)).toBe(shown));
});

describe("mark", () => {
  it("cuts a hit out of several pieces and keeps the text", () => {
    const list = [
      { text: "abc", classes: "x" },
      { text: "def", classes: "" },
    ];
    const marked = mark(list, 2, 5, "hit");
    expect(marked).toEqual([
      { text: "ab", classes: "x" },
      { text: "c", classes: "x hit" },
      { text: "de", classes: "hit" },
      { text: "f", classes: "" },
    ]);
  });

  it("leaves pieces that it does not touch", () => {
    const list = [{ text: "abc", classes: "" }];
    expect(mark(list, 10, 12, "hit")).toEqual(list);
  });
});
