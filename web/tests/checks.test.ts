import { expect, test } from "vitest";
import type { Report } from "../src/api/types";
import { checkOf } from "../src/lib/checks";

const tests = { kind: "tests", passed: 1, skipped: 0, duration_ms: 5, failures: [] } as const;

test.each<[object, boolean, string]>([
  [{ ...tests, total: 3, failed: 2 }, false, "test: 2 of 3 tests failed"],
  [{ ...tests, total: 1, failed: 0 }, true, "test: 1 test passed"],
  [{ kind: "coverage", percent: 81.26 }, true, "test: 81.3 % covered"],
  [{ kind: "annotations", errors: 1, warnings: 4 }, false, "test: 1 error from its steps"],
  [{ kind: "annotations", errors: 0, warnings: 4 }, true, "test: 4 warnings from its steps"],
  [{ kind: "findings", error: 2, warning: 0 }, false, "test: 2 errors found"],
  [{ kind: "findings", error: 0, warning: 1 }, true, "test: 1 warning"],
  [{ kind: "findings", error: 0, warning: 0 }, true, "test: no findings"],
])("%j", (summary, good, text) => {
  expect(checkOf("test", { summary } as Report)).toEqual({ good, text });
});
