// What each status looks like and means: a word, an icon, a tone. Colour is never the only sign.

import type { Deployment } from "../api/types";
import { shortSha } from "./text";

export type Tone = "neutral" | "active" | "good" | "warn" | "bad" | "wait";
export type StatusIcon =
  | "dot"
  | "clock"
  | "spinner"
  | "check"
  | "warning"
  | "cross"
  | "slash"
  | "skip"
  | "gate"
  | "question"
  | "undo"
  | "code";

export interface Look {
  word: string;
  icon: StatusIcon;
  tone: Tone;
}

const LOOKS: Record<string, Look> = {
  pending: { word: "Pending", icon: "clock", tone: "neutral" },
  blocked: { word: "Blocked", icon: "dot", tone: "neutral" },
  queued: { word: "Queued", icon: "clock", tone: "neutral" },
  gated: { word: "At the gate", icon: "gate", tone: "wait" },
  waiting: { word: "Waiting", icon: "gate", tone: "wait" },
  running: { word: "Running", icon: "spinner", tone: "active" },
  succeeded: { word: "Succeeded", icon: "check", tone: "good" },
  warned: { word: "Warned", icon: "warning", tone: "warn" },
  failed: { word: "Failed", icon: "cross", tone: "bad" },
  skipped: { word: "Skipped", icon: "skip", tone: "neutral" },
  cancelled: { word: "Cancelled", icon: "slash", tone: "neutral" },
  invalid: { word: "Invalid file", icon: "code", tone: "bad" },
  unknown: { word: "Unknown", icon: "question", tone: "warn" },
  lost: { word: "Runner lost", icon: "question", tone: "warn" },
  open: { word: "Open", icon: "gate", tone: "wait" },
  approved: { word: "Approved", icon: "check", tone: "good" },
  rejected: { word: "Rejected", icon: "cross", tone: "bad" },
  expired: { word: "Expired", icon: "clock", tone: "neutral" },
  voided: { word: "Voided", icon: "slash", tone: "neutral" },
  deploying: { word: "Deploying", icon: "spinner", tone: "active" },
  verifying: { word: "Verifying", icon: "spinner", tone: "active" },
  rolled_back: { word: "Rolled back", icon: "undo", tone: "warn" },
};

/** How a status is shown; a word this page does not know yet is shown as it is. */
export function look(status: string): Look {
  return LOOKS[status] ?? { word: status.replaceAll("_", " "), icon: "dot", tone: "neutral" };
}

/** What a deployment brought: its commit, or where a rollback went back to (its run is about the commit it undid). */
export function deploymentTitle(deployment: Deployment): string {
  if (deployment.rollback_of) return `Back to ${shortSha(deployment.sha)}`;
  return deployment.title || `run #${deployment.run_number}`;
}

/** Whether a run in this status still changes by itself. */
export function isActive(status: string): boolean {
  return status === "pending" || status === "running" || status === "waiting";
}

/** Stage statuses in the order in which progress dots show them. */
export const PROGRESS_ORDER = [
  "succeeded",
  "warned",
  "failed",
  "unknown",
  "cancelled",
  "running",
  "gated",
  "queued",
  "blocked",
  "skipped",
];

/** One status per stage of a run's counts, finished ones first. */
export function progress(counts: Record<string, number>): string[] {
  const known = PROGRESS_ORDER.flatMap((status) => Array<string>(counts[status] ?? 0).fill(status));
  const others = Object.entries(counts).filter(([status]) => !PROGRESS_ORDER.includes(status));
  return known.concat(others.flatMap(([status, number]) => Array<string>(number).fill(status)));
}

/** `7 of 9 stages done, 1 failed`: the dots in words. */
export function progressWords(counts: Record<string, number>): string {
  const all = Object.values(counts).reduce((sum, number) => sum + number, 0);
  if (all === 0) return "no stages";
  const of = (...statuses: string[]) => statuses.reduce((sum, status) => sum + (counts[status] ?? 0), 0);
  const parts = [`${of("succeeded", "warned")} of ${all} stages succeeded`];
  for (const status of ["failed", "unknown", "running", "gated", "cancelled", "skipped"]) {
    const number = counts[status] ?? 0;
    if (number > 0) parts.push(`${number} ${look(status).word.toLowerCase()}`);
  }
  return parts.join(", ");
}

const ROLES = ["viewer", "developer", "release_manager", "admin"];

/** Whether a role includes another's rights. */
export function atLeast(role: string | undefined, wanted: string): boolean {
  return role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(wanted) && ROLES.includes(role);
}
