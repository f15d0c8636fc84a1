// Every call the page makes, by name. Pages use these and nothing else to reach the server.
import { href, json, query, send } from "./http";
import type {
  ApiToken,
  AuditEntry,
  CreatedRepository,
  Deployment,
  Environment,
  EnvironmentRules,
  Gate,
  Me,
  NewRepository,
  Repository,
  Role,
  RunDetail,
  Runner,
  RunSummary,
  SecretName,
  User,
} from "./types";

const id = encodeURIComponent;

export const session = {
  get: () => json<Me>("GET", "/session"),
  create: (username: string, password: string) => json<Me>("POST", "/session", { username, password }),
  end: () => json<void>("DELETE", "/session"),
};

export interface RunFilter {
  repository?: string;
  status?: string;
  before?: string;
  limit?: number;
}

export const runs = {
  list: (filter: RunFilter, signal?: AbortSignal) =>
    json<{ runs: RunSummary[]; next: string | null }>(
      "GET",
      "/runs" + query({ ...filter }),
      undefined,
      signal,
    ),
  get: (run: string, signal?: AbortSignal) => json<RunDetail>("GET", `/runs/${id(run)}`, undefined, signal),
  cancel: (run: string) => json<void>("POST", `/runs/${id(run)}/cancel`, {}),
  rerun: (run: string, scope: "all" | "failed") =>
    json<{ id: string }>("POST", `/runs/${id(run)}/rerun`, { scope }),
  start: (repository: string, reference: string, inputs: Record<string, unknown>) =>
    json<{ id: string }>("POST", `/repositories/${id(repository)}/runs`, { reference, inputs }),
  settle: (stage: string, succeeded: boolean) =>
    json<void>("POST", `/stages/${id(stage)}/settle`, { succeeded }),
};

export const logs = {
  /** Raw bytes of a step's log from `offset`, at most `limit`. */
  read: async (attempt: string, step: number, offset: number, limit: number, signal?: AbortSignal) => {
    const path = `/attempts/${id(attempt)}/steps/${step}/log` + query({ offset, limit });
    const response = await send("GET", path, undefined, signal);
    return new Uint8Array(await response.arrayBuffer());
  },
  streamUrl: (attempt: string, step: number, offset: number) =>
    href(`/attempts/${id(attempt)}/steps/${step}/log/stream`) + query({ offset }),
  downloadUrl: (attempt: string, step: number) => href(`/attempts/${id(attempt)}/steps/${step}/log`),
};

export const artifacts = { downloadUrl: (artifact: string) => href(`/artifacts/${id(artifact)}`) };

export const gates = {
  open: (signal?: AbortSignal) => json<{ gates: Gate[] }>("GET", "/gates?status=open", undefined, signal),
  decide: (gate: string, verdict: "approve" | "reject", comment: string) =>
    json<Gate>("POST", `/gates/${id(gate)}/decision`, { verdict, comment }),
};

export const environments = {
  list: (signal?: AbortSignal) =>
    json<{ environments: Environment[] }>("GET", "/environments", undefined, signal),
  deployments: (environment: string, signal?: AbortSignal) =>
    json<{ deployments: Deployment[] }>(
      "GET",
      `/environments/${id(environment)}/deployments`,
      undefined,
      signal,
    ),
  rollback: (environment: string, deployment: string) =>
    json<{ id: string }>("POST", `/environments/${id(environment)}/rollback`, { deployment }),
  freeze: (environment: string, reason: string | null) =>
    json<void>("POST", `/environments/${id(environment)}/freeze`, { reason }),
  put: (repository: string, name: string, rules: EnvironmentRules) =>
    json<void>("PUT", `/repositories/${id(repository)}/environments/${id(name)}`, rules),
};

export const repositories = {
  list: (signal?: AbortSignal) =>
    json<{ repositories: Repository[] }>("GET", "/repositories", undefined, signal),
  create: (repository: NewRepository) => json<CreatedRepository>("POST", "/repositories", repository),
  remove: (repository: string) => json<void>("DELETE", `/repositories/${id(repository)}`),
  secrets: (repository: string, signal?: AbortSignal) =>
    json<{ secrets: SecretName[] }>("GET", `/repositories/${id(repository)}/secrets`, undefined, signal),
  putSecret: (repository: string, name: string, value: string, environment: string | null) =>
    json<void>("PUT", `/repositories/${id(repository)}/secrets/${id(name)}`, { value, environment }),
  removeSecret: (repository: string, name: string, environment: string | null) =>
    json<void>("DELETE", `/repositories/${id(repository)}/secrets/${id(name)}` + query({ environment })),
};

export const users = {
  list: (signal?: AbortSignal) => json<{ users: User[] }>("GET", "/users", undefined, signal),
  create: (user: { username: string; display_name: string; role: Role; password: string }) =>
    json<User>("POST", "/users", user),
  update: (
    user: string,
    change: { role?: Role; disabled?: boolean; display_name?: string; password?: string },
  ) => json<void>("PATCH", `/users/${id(user)}`, change),
};

export const tokens = {
  list: (signal?: AbortSignal) => json<{ tokens: ApiToken[] }>("GET", "/tokens", undefined, signal),
  create: (name: string, expires_in_days: number | null) =>
    json<{ id: string; token: string }>("POST", "/tokens", { name, expires_in_days }),
  remove: (token: string) => json<void>("DELETE", `/tokens/${id(token)}`),
};

export const runners = {
  list: (signal?: AbortSignal) => json<{ runners: Runner[] }>("GET", "/runners", undefined, signal),
  setDisabled: (runner: string, disabled: boolean) =>
    json<void>("PATCH", `/runners/${id(runner)}`, { disabled }),
  enrolmentToken: () => json<{ token: string }>("POST", "/runners/enrolment-tokens", {}),
};

export const audit = {
  list: (signal?: AbortSignal) => json<{ entries: AuditEntry[] }>("GET", "/audit", undefined, signal),
};
