// Times, durations, sizes, names, statuses and rules, as people read them.
import { describe, expect, it } from "vitest";
import { rules } from "../src/lib/rules";
import { atLeast, isActive, look, progress, progressWords } from "../src/lib/status";
import { bytes, count, image, listed, quoted, shortRef } from "../src/lib/text";
import { duration, elapsed, relative, span } from "../src/lib/time";
import type { Environment } from "../src/api/types";

const NOW = Date.parse("2026-03-10T12:00:00Z");
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe("times", () => {
  it.each([
    [0, "just now"],
    [44 * SECOND, "just now"],
    [50 * SECOND, "1 min ago"],
    [89 * MINUTE, "89 min ago"],
    [2 * HOUR, "2 h ago"],
    [35 * HOUR, "35 h ago"],
    [3 * DAY, "3 d ago"],
    [-10 * SECOND, "in a moment"],
    [-5 * MINUTE, "in 5 min"],
    [-2 * DAY, "in 2 d"],
  ])("%i ms before now is %s", (ms, words) => {
    expect(relative(new Date(NOW - ms).toISOString(), NOW)).toBe(words);
  });

  it("gives a date to what is long ago, with its year when it is another one", () => {
    expect(relative("2026-01-02T12:00:00Z", NOW)).toBe("2 Jan");
    expect(relative("2024-01-02T12:00:00Z", NOW)).toBe("2 Jan 2024");
    expect(relative("no time", NOW)).toBe("no time");
  });

  it.each([
    [0, "0.0s"],
    [420, "0.4s"],
    [949, "0.9s"],
    [950, "1s"],
    [59_400, "59s"],
    [59_600, "1m 00s"],
    [185_000, "3m 05s"],
    [7_620_000, "2h 07m"],
    [3 * DAY + 4 * HOUR, "3d 4h"],
    [-5, "0.0s"],
    [NaN, "0.0s"],
  ])("%d ms last %s", (ms, words) => expect(duration(ms)).toBe(words));

  it("counts from the start to the end, or to now", () => {
    const start = new Date(NOW - 5000).toISOString();
    expect(elapsed(start, null, NOW)).toBe(5000);
    expect(elapsed(start, new Date(NOW - 2000).toISOString(), NOW)).toBe(3000);
    expect(elapsed(null, null, NOW)).toBeNull();
    // Clocks differ: never a negative duration.
    expect(elapsed(new Date(NOW + 900).toISOString(), null, NOW)).toBe(0);
  });

  it.each([
    [900, "15 minutes"],
    [86_400, "1 day"],
    [2_592_000, "30 days"],
    [90, "90 seconds"],
  ])("%i seconds are %s", (seconds, words) => expect(span(seconds)).toBe(words));
});

describe("words", () => {
  it("counts things and bytes", () => {
    expect(count(1, "run")).toBe("1 run");
    expect(count(12_000, "line")).toBe("12,000 lines");
    expect([0, 999, 4200, 1_300_000_000].map(bytes)).toEqual(["0 B", "999 B", "4.2 kB", "1.3 GB"]);
  });

  it("shortens refs and images", () => {
    expect(["refs/heads/a/b", "refs/tags/v1", "refs/pull/7/head"].map(shortRef)).toEqual(["a/b", "v1", "#7"]);
    expect(image("host:5000/team/api:2@sha256:0123456789abcdef")).toEqual({
      name: "api:2",
      digest: "0123456789ab",
    });
    expect(image("api")).toEqual({ name: "api", digest: null });
  });

  it("sets apart what is quoted", () => {
    expect(quoted("stage `a b` of `c`")).toEqual([
      { text: "stage ", code: false },
      { text: "a b", code: true },
      { text: " of ", code: false },
      { text: "c", code: true },
    ]);
    expect(quoted("a ` alone").map(({ text }) => text)).toEqual(["a ` alone"]);
    expect(quoted("`a` and `b")).toEqual([
      { text: "a", code: true },
      { text: " and `b", code: false },
    ]);
  });

  it("lists names", () => {
    expect([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(listed)).toEqual(["", "a", "a and b", "a, b and c"]);
  });
});

describe("statuses", () => {
  it("shows a status that it does not know as it is", () => {
    expect(look("being_odd")).toEqual({ word: "being odd", icon: "dot", tone: "neutral" });
  });

  it("tells runs that go on", () => {
    expect(["pending", "running", "waiting"].every(isActive)).toBe(true);
    expect(["succeeded", "failed", "cancelled", "invalid", "warned"].some(isActive)).toBe(false);
  });

  it("draws one dot for each stage, what is done first", () => {
    expect(progress({ blocked: 1, succeeded: 2, odd: 1, running: 1 })).toEqual([
      "succeeded",
      "succeeded",
      "running",
      "blocked",
      "odd",
    ]);
    expect(progressWords({ succeeded: 7, failed: 1, blocked: 1 })).toBe("7 of 9 stages succeeded, 1 failed");
    expect(progressWords({})).toBe("no stages");
  });
});

describe("roles", () => {
  it("include the rights of lower ones", () => {
    const roles = ["viewer", "developer", "release_manager", "admin"];
    for (const [have, role] of roles.entries())
      for (const [want, wanted] of roles.entries()) expect(atLeast(role, wanted)).toBe(have >= want);
  });

  it("give nobody and unknown roles nothing", () => {
    expect(atLeast(undefined, "viewer")).toBe(false);
    expect(atLeast("superuser", "viewer")).toBe(false);
  });
});

it("says an environment's rules in sentences", () => {
  const environment = {
    required_approvals: 2,
    approver_role: "release_manager",
    approvers: [],
    allow_self_approval: false,
    branches: ["main", "release/*"],
    wait_seconds: 900,
    gate_expires_seconds: 86_400,
  } as unknown as Environment;
  expect(rules(environment)).toEqual([
    "Needs 2 approvals by anybody who is at least release manager",
    "Whoever started the run or wrote the commit cannot be the only approver",
    "Gates expire after 1 day",
    "Only from main and release/*",
    "Waits 15 minutes before it deploys",
  ]);
  expect(rules({ ...environment, required_approvals: 0, branches: [], wait_seconds: 0 })).toEqual([
    "Deploys without asking",
  ]);
});
