// What the reports of a run's stages say, in one short sentence each, for whoever decides at a gate.
import type { Report } from "../api/types";
import { count } from "./text";

export interface Check {
  good: boolean;
  text: string;
}

export function checkOf(stage: string, { summary }: Report): Check {
  const check = (good: boolean, text: string): Check => ({ good, text: `${stage}: ${text}` });
  switch (summary.kind) {
    case "tests":
      return summary.failed > 0
        ? check(false, `${summary.failed} of ${count(summary.total, "test")} failed`)
        : check(true, `${count(summary.total, "test")} passed`);
    case "coverage":
      return check(true, `${summary.percent.toFixed(1)} % covered`);
    case "annotations":
      return summary.errors > 0
        ? check(false, `${count(summary.errors, "error")} from its steps`)
        : check(true, `${count(summary.warnings, "warning")} from its steps`);
    default:
      if (summary.error > 0) return check(false, `${count(summary.error, "error")} found`);
      return check(true, summary.warning > 0 ? count(summary.warning, "warning") : "no findings");
  }
}
