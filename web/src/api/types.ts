// The shapes of the HTTP API, as the page uses them. Times are RFC 3339 strings, ids are UUIDs.

export type RunStatus =
  "pending" | "running" | "waiting" | "succeeded" | "warned" | "failed" | "cancelled" | "invalid";
export type StageStatus =
  | "blocked"
  | "gated"
  | "queued"
  | "running"
  | "succeeded"
  | "warned"
  | "failed"
  | "skipped"
  | "cancelled"
  | "unknown";
export type AttemptStatus = "running" | "succeeded" | "failed" | "cancelled" | "lost";
export type StepStatus = "pending" | "running" | "succeeded" | "failed" | "skipped" | "cancelled";
export type GateStatus = "open" | "approved" | "rejected" | "expired" | "voided";
export type DeploymentStatus = "deploying" | "verifying" | "succeeded" | "failed" | "rolled_back" | "unknown";
export type Verb = "run" | "build" | "push" | "deploy" | "smoke";
export type Role = "viewer" | "developer" | "release_manager" | "admin";
export type EventKind = "push" | "tag" | "pull_request" | "schedule" | "manual" | "rollback";

export interface User {
  id: string;
  username: string;
  display_name: string;
  role: Role;
  disabled?: boolean;
  created_at?: string;
}

export interface Me {
  user: User;
}

export interface RunSummary {
  id: string;
  number: number;
  repository: string;
  pipeline: string;
  status: RunStatus;
  reason: string | null;
  event_kind: EventKind;
  sha: string;
  reference: string;
  title: string;
  actor: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  stage_counts: Record<string, number>;
}

export interface Span {
  start: number;
  end: number;
  line: number;
  column: number;
  end_line: number;
  end_column: number;
}

export interface Diagnostic {
  code: string;
  severity: "error" | "warning";
  message: string;
  file: string;
  span: Span;
  help: string | null;
  related: { span: Span; message: string }[];
}

export interface Step {
  index: number;
  name: string;
  status: StepStatus;
  exit_code: number | null;
  duration_ms: number | null;
  started_at: string | null;
  log_bytes: number;
  log_lines: number;
}

export interface Attempt {
  id: string;
  number: number;
  status: AttemptStatus;
  reason: string | null;
  exit_code: number | null;
  runner: { id: string; name: string } | null;
  started_at: string;
  finished_at: string | null;
  steps: Step[];
}

export interface TestFailure {
  suite: string;
  name: string;
  message: string;
}

export interface FindingItem {
  rule: string;
  level: string;
  message: string;
  file: string | null;
  line: number | null;
}

export interface TestsSummary {
  kind: "tests";
  total: number;
  failed: number;
  skipped: number;
  duration_ms: number;
  failures: TestFailure[];
}

export interface CoverageSummary {
  kind: "coverage";
  lines: number;
  covered: number;
  percent: number;
}

export interface FindingsSummary {
  kind: "findings";
  error: number;
  warning: number;
  note: number;
  items: FindingItem[];
}

export interface Report {
  kind: string;
  path: string;
  summary: TestsSummary | CoverageSummary | FindingsSummary;
}

export interface Stage {
  id: string;
  key: string;
  name: string;
  verb: Verb;
  status: StageStatus;
  reason: string | null;
  needs: { stage: string; accepts: string }[];
  position: number;
  environment: string | null;
  outputs: Record<string, string>;
  rollback_of: string | null;
  queued_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  attempts: Attempt[];
  reports: Report[];
}

export interface Artifact {
  id: string;
  stage: string;
  name: string;
  size: number;
  sha256: string;
  created_at: string;
  expires_at: string | null;
}

export interface Decision {
  username: string;
  role: Role;
  verdict: "approve" | "reject";
  comment: string;
  at: string;
}

export interface Commit {
  sha: string;
  title: string;
  author: string;
}

export interface Gate {
  id: string;
  run_id: string;
  run_number: number;
  repository: string;
  stage: string;
  environment: { id: string; name: string; url: string | null };
  status: GateStatus;
  reason: string | null;
  sha: string;
  image: string;
  required_approvals: number;
  decisions: Decision[];
  created_at: string;
  ready_at: string;
  expires_at: string;
  may_approve: { allowed: boolean; reason: string | null };
  approvers: { username: string; display_name: string }[];
  changes: {
    current_image: string | null;
    current_sha: string | null;
    new_image: string;
    new_sha: string;
    commits: Commit[] | null;
    current_deployed_at: string | null;
  };
}

export interface Deployment {
  id: string;
  environment: string;
  run_id: string;
  run_number: number;
  stage_id?: string;
  image: string;
  previous_image: string | null;
  rollback_of: string | null;
  status: DeploymentStatus;
  reason: string | null;
  actor: string;
  sha: string;
  title: string;
  created_at: string;
  finished_at: string | null;
}

export interface RunDetail extends RunSummary {
  diagnostics: Diagnostic[];
  source_path: string;
  source_text: string | null;
  rerun_of: string | null;
  stages: Stage[];
  gates: Gate[];
  artifacts: Artifact[];
  deployments: Deployment[];
}

export interface Environment {
  id: string;
  repository: string;
  name: string;
  url: string | null;
  required_approvals: number;
  approver_role: Role;
  approvers: string[];
  allow_self_approval: boolean;
  branches: string[];
  wait_seconds: number;
  gate_expires_seconds: number;
  frozen_reason: string | null;
  current: Deployment | null;
  in_progress: Deployment | null;
}

/** What `PUT /repositories/{id}/environments/{name}` takes. */
export interface EnvironmentRules {
  url: string | null;
  required_approvals: number;
  approver_role: Role;
  approvers: string[];
  allow_self_approval: boolean;
  branches: string[];
  wait_seconds: number;
  gate_expires_seconds: number;
}

export interface Repository {
  id: string;
  full_name: string;
  forge: "github" | "git";
  clone_url: string;
  default_branch: string;
  pipeline_path: string;
  created_at?: string;
}

export interface NewRepository {
  full_name: string;
  forge: "github" | "git";
  clone_url: string;
  default_branch: string;
  pipeline_path: string;
  clone_token?: string;
}

export interface CreatedRepository {
  id: string;
  webhook_url: string;
  webhook_secret: string;
}

export interface SecretName {
  name: string;
  environment: string | null;
  updated_at: string;
  updated_by: string;
}

export interface ApiToken {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
  expires_at: string | null;
}

export interface Runner {
  id: string;
  name: string;
  labels: string[];
  version: string;
  enrolled_at: string;
  last_seen_at: string | null;
  free_slots: number;
  disabled: boolean;
}

export interface AuditEntry {
  seq: number;
  at: string;
  actor: string;
  action: string;
  subject: string;
  detail: unknown;
}

/** What the event stream sends. */
export interface RunEvent {
  seq: number;
  run_id: string;
  stage: string | null;
  kind: string;
  message: string;
  detail: unknown;
  at: string;
}

/** What a step's log stream sends; `offset` is where `text` begins. */
export interface LogEvent {
  offset: number;
  text: string;
  lines: number;
}
