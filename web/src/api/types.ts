// The shapes of the HTTP API. They come from the server's own description (schema.ts, made from openapi.json by
// `npm run generate`); where it says only "a string", the words that the page tells apart are named here.
// Times are RFC 3339 strings, ids are UUIDs.
import type { components } from "./schema";

type Schemas = components["schemas"];

/** What the server answers has every field: one without a value is null, not absent. */
type Answer<T> = T extends (infer Item)[]
  ? Answer<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Answer<Exclude<T[Key], undefined>> }
    : T;

/** A schema with some fields told more exactly. A field that the server no longer has does not compile. */
type Exactly<Name extends keyof Schemas, Fields extends Partial<Record<keyof Schemas[Name], unknown>>> = Omit<
  Answer<Schemas[Name]>,
  keyof Fields
> &
  Fields;

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
export type EventKind =
  | "push"
  | "tag"
  | "pull_request"
  | "schedule"
  | "manual"
  | "release"
  | "dispatch"
  | "upstream"
  | "forge"
  | "rollback";
export type Forge = "github" | "git";
export type WhichPipelines = "file" | "tidegate" | "github" | "both";
export type Role = Schemas["Role"];
export type Verdict = Schemas["Verdict"];

// People and their tokens.
export type User = Exactly<"User", { role: Role }>;
export type Me = Exactly<"Me", { user: User }>;
export type Users = Exactly<"Users", { users: User[] }>;
export type NewUser = Schemas["NewUser"];
export type UserChange = Schemas["UserChange"];
export type NewPassword = Schemas["NewPassword"];
export type ApiToken = Answer<Schemas["Token"]>;
export type Tokens = Answer<Schemas["Tokens"]>;
export type NewToken = Schemas["NewToken"];
export type MadeToken = Schemas["MadeToken"];
export type Made = Schemas["Made"];

// Runs.
export type RunSummary = Exactly<"RunSummary", { status: RunStatus; event_kind: EventKind }>;
export type RunPage = Exactly<"RunPage", { runs: RunSummary[] }>;
export type Start = Omit<Schemas["Start"], "inputs"> & { inputs: Record<string, unknown> };
export type Scope = Schemas["Scope"];
export type Step = Exactly<"Step", { status: StepStatus }>;
export type Attempt = Exactly<"Attempt", { status: AttemptStatus; steps: Step[] }>;
export type Report = Answer<Schemas["Report"]>;
export type TestsSummary = Extract<Report["summary"], { kind: "tests" }>;
export type CoverageSummary = Extract<Report["summary"], { kind: "coverage" }>;
export type AnnotationsSummary = Extract<Report["summary"], { kind: "annotations" }>;
export type Notes = Schemas["Notes"];
export type FindingsSummary = Extract<Report["summary"], { kind: "findings" }>;
export type Stage = Exactly<"Stage", { status: StageStatus; verb: Verb; attempts: Attempt[] }>;
export type Artifact = Answer<Schemas["Artifact"]>;
export type RunDetail = Omit<
  Exactly<
    "RunDetail",
    { diagnostics: Diagnostic[]; stages: Stage[]; gates: Gate[]; deployments: Deployment[] }
  >,
  keyof RunSummary
> &
  RunSummary;

/** A mistake in a pipeline file; the server hands the language's own words on without describing them. */
export interface Diagnostic {
  code: string;
  severity: "error" | "warning";
  message: string;
  file: string;
  span: Span;
  help: string | null;
  related: { span: Span; message: string }[];
}

export interface Span {
  start: number;
  end: number;
  line: number;
  column: number;
  end_line: number;
  end_column: number;
}

// Gates, environments and what they run.
export type Decision = Exactly<"Decision", { role: Role; verdict: Verdict }>;
export type Commit = Schemas["Commit"];
export type Gate = Exactly<"Gate", { status: GateStatus; decisions: Decision[] }>;
export type Gates = Exactly<"Gates", { gates: Gate[] }>;
export type Deployment = Exactly<"Deployment", { status: DeploymentStatus }>;
export type Deployments = Exactly<"Deployments", { deployments: Deployment[] }>;
export type Environment = Exactly<
  "Environment",
  { approver_role: Role; current: Deployment | null; in_progress: Deployment | null }
>;
export type Environments = Exactly<"Environments", { environments: Environment[] }>;
/** What `PUT /repositories/{id}/environments/{name}` takes; the page always sends all of it. */
export type EnvironmentRules = Exactly<"Rules", { approver_role: Role }>;

// Repositories, runners, the audit trail.
export type Repository = Exactly<"Repository", { forge: Forge; pipelines: WhichPipelines }>;
export type Repositories = Exactly<"Repositories", { repositories: Repository[] }>;
export type NewRepository = Schemas["NewRepository"];
export type RepositoryChange = Schemas["RepositoryChange"];
export type PipelineInput = Answer<Schemas["PipelineInput"]>;
export type Pipelines = Answer<Schemas["Pipelines"]>;
export type Variable = Answer<Schemas["Variable"]>;
export type Variables = Answer<Schemas["Variables"]>;
export type AddedRepository = Schemas["Added"];
export type SecretName = Answer<Schemas["SecretName"]>;
export type Secrets = Answer<Schemas["Secrets"]>;
export type Runner = Answer<Schemas["Runner"]>;
export type Runners = Answer<Schemas["Runners"]>;
export type EnrolmentToken = Schemas["EnrolmentToken"];
export type AuditEntry = Answer<Schemas["AuditEntry"]>;
export type Audit = Answer<Schemas["Audit"]>;

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
