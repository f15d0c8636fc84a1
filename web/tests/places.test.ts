// @vitest-environment jsdom
// Addresses, and what opens where: routes, links to log lines, the rows in sight, the first thing that went wrong.
import { beforeEach, describe, expect, it } from "vitest";
import type { Attempt, Span, Stage, Step } from "../src/api/types";
import { excerpt } from "../src/lib/excerpt";
import { firstError, formatPlace, parsePlace } from "../src/lib/loglines";
import { attemptToOpen, stageToOpen, stepToOpen } from "../src/lib/pick";
import { go, location, match, setHash, setQuery, startRouter } from "../src/lib/router.svelte";
import { MAX_HEIGHT, rowsFor, scrollTopFor, topLineFor } from "../src/lib/rows";

describe("router", () => {
  startRouter();
  beforeEach(() => {
    window.scrollTo = () => {};
    go("/runs");
    document.body.replaceChildren();
  });

  it("matches whole paths and decodes parameters", () => {
    expect(match("/runs/:id", "/runs/a%2Fb")).toEqual({ id: "a/b" });
    expect(match("/runs/:id", "/runs/")).toBeNull();
    expect(match("/runs/:id", "/runs/1/2")).toBeNull();
    expect(match("/runs/:id", "/runs/%E0%A4%A")).toBeNull();
    expect(match("/", "/")).toEqual({});
  });

  it("never leaves this server", () => {
    for (const to of ["https://evil.example", "//evil.example/x", "javascript:alert(1)"]) {
      go("/gates");
      go(to);
      expect(location.path).toBe("/");
    }
  });

  it("keeps query and hash apart, without new entries in the history", () => {
    const before = window.history.length;
    setQuery("tab", "results");
    setHash("test/2:L10");
    expect(window.location.search + window.location.hash).toBe("?tab=results#test/2:L10");
    expect([location.query.get("tab"), location.hash]).toEqual(["results", "test/2:L10"]);
    setQuery("tab", null);
    expect(window.location.search).toBe("");
    expect(window.history.length).toBe(before);
  });

  function click(attributes: Record<string, string>, init: MouseEventInit = {}): boolean {
    const link = document.createElement("a");
    for (const [name, value] of Object.entries(attributes)) link.setAttribute(name, value);
    document.body.append(link);
    const event = new MouseEvent("click", { bubbles: true, cancelable: true, button: 0, ...init });
    let taken = false;
    const after = (one: Event) => {
      taken = one.defaultPrevented;
      one.preventDefault(); // jsdom goes nowhere
    };
    window.addEventListener("click", after, { once: true });
    link.dispatchEvent(event);
    return taken;
  }

  it("takes links of this page over, and no others", () => {
    expect(click({ href: "/gates?x=1#y" })).toBe(true);
    expect([location.path, location.query.get("x"), location.hash]).toEqual(["/gates", "1", "y"]);
    expect(click({ href: "/runs", target: "_blank" })).toBe(false);
    expect(click({ href: "/runs" }, { ctrlKey: true })).toBe(false);
    expect(click({ href: "https://example.org/" })).toBe(false);
    expect(click({ href: "/api/v1/artifacts/1" })).toBe(false);
    expect(location.path).toBe("/gates");
  });
});

describe("links to log lines", () => {
  it.each(["test", "test/2", "test/2:L12", "test/2:L12-L14", "test@1/2:L3", "test (linux, 3.12)/0"])(
    "%s is read and written alike",
    (text) => expect(formatPlace(parsePlace(text)!)).toBe(text),
  );

  it("reads nothing from nothing", () => expect(parsePlace("")).toBeNull());
});

describe("the first error of a log", () => {
  it.each([
    [["collected 3 items", "0 errors", "E   assert 1 == 2"], 2],
    [["warning: x", "error[E0308]: mismatched types"], 1],
    [["Tests: 0 failed, 3 passed", "ok"], -1],
    [["Traceback (most recent call last):"], 0],
    [["an error-free day"], -1],
    [["no errors", "bash: x: Permission denied"], 1],
  ])("of %j is line %i", (lines, line) => expect(firstError(lines)).toBe(line));
});

describe("what a run opens at", () => {
  const step = (index: number, status: string, log_bytes = 0) => ({ index, status, log_bytes }) as Step;
  const stage = (key: string, status: string, more: Partial<Stage> = {}) =>
    ({ key, status, position: 0, attempts: [{}], started_at: null, finished_at: null, ...more }) as Stage;

  it("is the stage that failed first", () => {
    const stages = [
      stage("late", "failed", { finished_at: "2026-01-01T00:02:00Z" }),
      stage("first", "failed", { finished_at: "2026-01-01T00:01:00Z" }),
      stage("on", "running"),
    ];
    expect(stageToOpen(stages)?.key).toBe("first");
  });

  it("is what happens now, then the gate, then what ran last", () => {
    const done = stage("done", "succeeded", { started_at: "2026-01-01T00:01:00Z" });
    const later = stage("later", "succeeded", { started_at: "2026-01-01T00:02:00Z" });
    const gate = stage("gate", "gated", { attempts: [] });
    expect(stageToOpen([done, gate, stage("now", "running")])?.key).toBe("now");
    expect(stageToOpen([done, later, gate])?.key).toBe("gate");
    expect(stageToOpen([later, done])?.key).toBe("later");
    expect(stageToOpen([])).toBeUndefined();
  });

  it("is the failed step, the running one, or the last that wrote", () => {
    const open = (...steps: Step[]) => stepToOpen({ steps } as Attempt, null)?.index;
    expect(open(step(0, "succeeded", 9), step(1, "failed"), step(2, "skipped"))).toBe(1);
    expect(open(step(0, "succeeded", 9), step(1, "running"))).toBe(1);
    expect(open(step(0, "succeeded", 9), step(1, "succeeded", 9), step(2, "succeeded"))).toBe(1);
    const kept = { ...step(2, "succeeded", 9), name: "keep results" };
    expect(open(step(0, "succeeded", 9), step(1, "succeeded", 9), kept)).toBe(1);
    expect(stepToOpen({ steps: [step(0, "failed"), step(1, "skipped")] } as Attempt, 1)?.index).toBe(1);
  });

  it("is the attempt asked for, else the last", () => {
    const attempts = [{ number: 1 }, { number: 2 }] as Attempt[];
    expect(attemptToOpen({ attempts } as Stage, 1)?.number).toBe(1);
    expect(attemptToOpen({ attempts } as Stage, 9)?.number).toBe(2);
  });
});

describe("rows in sight", () => {
  it("are drawn with some to spare, within the list", () => {
    expect(rowsFor(0, 400, 20_000, 20)).toEqual({ first: 0, last: 35 });
    const middle = rowsFor(10_000, 400, 20_000, 20);
    expect(middle.first).toBeLessThan(10_000);
    expect(middle.last - middle.first).toBeLessThan(60);
    expect(rowsFor(19_990, 400, 20_000, 20).last).toBe(20_000);
  });

  it.each([1000, 50_000_000])("scrolling to a line of %i shows it", (lines) => {
    for (const line of [0, Math.floor(lines / 3), lines - 20]) {
      const top = scrollTopFor(line, 400, lines, 20);
      expect(top).toBeLessThanOrEqual(MAX_HEIGHT);
      expect(topLineFor(top, 400, lines, 20)).toBeCloseTo(line, 0);
    }
  });
});

describe("excerpt", () => {
  const at = (line: number, column: number, end_line: number, end_column: number): Span => ({
    start: 0,
    end: 0,
    line,
    column,
    end_line,
    end_column,
  });

  it("underlines the text, characters beyond the basic plane counted once", () => {
    expect(excerpt("a: 1\n😀b: two\nc: 3", at(2, 2, 2, 3), 0)).toEqual([
      { number: 2, before: "😀", marked: "b", after: ": two" },
    ]);
  });

  it("marks a place between characters, and several lines", () => {
    expect(excerpt("ab", at(1, 3, 1, 3), 1)[0]).toMatchObject({ before: "ab", marked: " " });
    expect(excerpt("x:\n  a\n  b\ny", at(2, 3, 3, 4), 1).map(({ marked }) => marked)).toEqual([
      "",
      "a",
      "b",
      "",
    ]);
  });
});
