import { expect, test } from "vitest";
import { fold, hiding, rowOf } from "../src/lib/loggroups";

const log = ["a", "##[group]one", "1", "2", "##[endgroup]", "b", "##[group]two", "3", "##[group]three", "4"];

test("groups that have ended are folded, the one that goes on is open, marks of ends are not shown", () => {
  const folded = fold(log, new Map());
  expect(folded.lines).toEqual([0, 1, 5, 6, 8, 9]);
  expect([...folded.groups.values()].map(({ head, next, open }) => [head, next, open])).toEqual([
    [1, 5, false],
    [6, 8, false],
    [8, 10, true],
  ]);
});

test("people open and close them", () => {
  const chosen = new Map([
    [1, true],
    [8, false],
  ]);
  expect(fold(log, chosen).lines).toEqual([0, 1, 2, 3, 5, 6, 8]);
});

test("a line has a row, and a hidden one a group that hides it", () => {
  const folded = fold(log, new Map());
  expect([0, 1, 5, 9].map((line) => rowOf(folded, line))).toEqual([0, 1, 2, 5]);
  expect(rowOf(folded, 3)).toBe(1);
  expect(hiding(folded, 3)?.head).toBe(1);
  expect(hiding(folded, 1)).toBeUndefined();
  expect(hiding(folded, 9)).toBeUndefined();
});

test("an end without a beginning is nothing, and no log is no line", () => {
  expect(fold(["##[endgroup]", "x"], new Map()).lines).toEqual([1]);
  expect(fold([], new Map()).lines).toEqual([]);
  expect(rowOf(fold([], new Map()), 4)).toBe(0);
});
