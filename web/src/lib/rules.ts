// An environment's rules in sentences.
import type { Environment } from "../api/types";
import { count, listed, words } from "./text";
import { span } from "./time";

export function rules(environment: Environment): string[] {
  const list: string[] = [];
  if (environment.required_approvals === 0) list.push("Deploys without asking");
  else {
    const who =
      environment.approvers.length > 0
        ? listed(environment.approvers)
        : `anybody who is at least ${words(environment.approver_role)}`;
    list.push(`Needs ${count(environment.required_approvals, "approval")} by ${who}`);
    list.push(
      environment.allow_self_approval
        ? "Whoever started the run may approve it"
        : "Whoever started the run or wrote the commit cannot be the only approver",
    );
    list.push(`Gates expire after ${span(environment.gate_expires_seconds)}`);
  }
  if (environment.branches.length > 0) list.push(`Only from ${listed(environment.branches)}`);
  if (environment.wait_seconds > 0) list.push(`Waits ${span(environment.wait_seconds)} before it deploys`);
  return list;
}
