// What a run's page opens at when nobody has chosen: the first thing that went wrong, else what happens now.
import type { Attempt, Stage, Step } from "../api/types";

/** The stage to open. */
export function stageToOpen(stages: Stage[]): Stage | undefined {
  const byTime = [...stages].sort(
    (a, b) => (a.finished_at ?? "9").localeCompare(b.finished_at ?? "9") || a.position - b.position,
  );
  const began = stages.filter((stage) => stage.attempts.length > 0);
  return (
    byTime.find((stage) => stage.status === "failed" && stage.attempts.length > 0) ??
    byTime.find((stage) => stage.status === "unknown" || stage.status === "failed") ??
    stages.find((stage) => stage.status === "running") ??
    stages.find((stage) => stage.status === "gated") ??
    began.reduce<Stage | undefined>(
      (last, stage) =>
        last === undefined || (stage.started_at ?? "") >= (last.started_at ?? "") ? stage : last,
      undefined,
    ) ??
    stages[0]
  );
}

/** The attempt with this number, else the last one. */
export function attemptToOpen(stage: Stage, number: number | null): Attempt | undefined {
  return (
    stage.attempts.find((attempt) => attempt.number === number) ?? stage.attempts[stage.attempts.length - 1]
  );
}

/** Steps of the runner itself, around those of the pipeline file. */
const OWN = ["set up", "keep results"];

/** The step to open: the chosen one, the failed one, the running one, else the last of the file's own that wrote. */
export function stepToOpen(attempt: Attempt, index: number | null): Step | undefined {
  const { steps } = attempt;
  const wrote = steps.filter((step) => step.log_bytes > 0);
  return (
    steps.find((step) => step.index === index) ??
    steps.find((step) => step.status === "failed") ??
    steps.find((step) => step.status === "running") ??
    wrote.findLast((step) => !OWN.includes(step.name)) ??
    wrote[wrote.length - 1] ??
    steps[0]
  );
}
