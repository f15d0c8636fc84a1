// Every call the page makes, by name. Pages use these and nothing else to reach the server.
import { href, json, query, send } from "./http";
import type {
  AddedRepository,
  Audit,
  Deployments,
  EnrolmentToken,
  EnvironmentRules,
  Environments,
  Gate,
  Gates,
  Made,
  MadeToken,
  Me,
  NewRepository,
  NewToken,
  NewUser,
  Notes,
  Pipelines,
  Repositories,
  Repository,
  RepositoryChange,
  RunDetail,
  Runners,
  RunPage,
  Scope,
  Secrets,
  Start,
  Tokens,
  User,
  UserChange,
  Users,
  Variables,
  Verdict,
} from "./types";

const id = encodeURIComponent;

export const session = {
  get: () => json<Me>("GET", "/session"),
  create: (username: string, password: string) => json<Me>("POST", "/session", { username, password }),
  end: () => json<void>("DELETE", "/session"),
};

export interface RunFilter {
  repository?: string;
  pipeline?: string;
  status?: string;
  before?: string;
  limit?: number;
}

export const runs = {
  list: (filter: RunFilter, signal?: AbortSignal) =>
    json<RunPage>("GET", "/runs" + query({ ...filter }), undefined, signal),
  get: (run: string, signal?: AbortSignal) => json<RunDetail>("GET", `/runs/${id(run)}`, undefined, signal),
  cancel: (run: string) => json<void>("POST", `/runs/${id(run)}/cancel`, {}),
  rerun: (run: string, scope: Scope) => json<Made>("POST", `/runs/${id(run)}/rerun`, { scope }),
  start: (repository: string, reference: string, pipeline: string | null, inputs: Start["inputs"]) =>
    json<Made>("POST", `/repositories/${id(repository)}/runs`, { reference, pipeline, inputs }),
  pipelines: (repository: string, reference: string | null, signal?: AbortSignal) =>
    json<Pipelines>(
      "GET",
      `/repositories/${id(repository)}/pipelines` + query({ reference }),
      undefined,
      signal,
    ),
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
  notes: (attempt: string, signal?: AbortSignal) =>
    json<Notes>("GET", `/attempts/${id(attempt)}/notes`, undefined, signal),
  downloadUrl: (attempt: string, step: number) => href(`/attempts/${id(attempt)}/steps/${step}/log`),
};

export const artifacts = { downloadUrl: (artifact: string) => href(`/artifacts/${id(artifact)}`) };

export const gates = {
  open: (signal?: AbortSignal) => json<Gates>("GET", "/gates?status=open", undefined, signal),
  decide: (gate: string, verdict: Verdict, comment: string) =>
    json<Gate>("POST", `/gates/${id(gate)}/decision`, { verdict, comment }),
};

export const environments = {
  list: (signal?: AbortSignal) => json<Environments>("GET", "/environments", undefined, signal),
  deployments: (environment: string, signal?: AbortSignal) =>
    json<Deployments>("GET", `/environments/${id(environment)}/deployments`, undefined, signal),
  rollback: (environment: string, deployment: string) =>
    json<Made>("POST", `/environments/${id(environment)}/rollback`, { deployment }),
  freeze: (environment: string, reason: string | null) =>
    json<void>("POST", `/environments/${id(environment)}/freeze`, { reason }),
  put: (repository: string, name: string, rules: EnvironmentRules) =>
    json<void>("PUT", `/repositories/${id(repository)}/environments/${id(name)}`, rules),
};

export const repositories = {
  list: (signal?: AbortSignal) => json<Repositories>("GET", "/repositories", undefined, signal),
  create: (repository: NewRepository) => json<AddedRepository>("POST", "/repositories", repository),
  change: (repository: string, change: RepositoryChange) =>
    json<Repository>("PATCH", `/repositories/${id(repository)}`, change),
  remove: (repository: string) => json<void>("DELETE", `/repositories/${id(repository)}`),
  variables: (repository: string, signal?: AbortSignal) =>
    json<Variables>("GET", `/repositories/${id(repository)}/variables`, undefined, signal),
  putVariable: (repository: string, name: string, value: string, environment: string | null) =>
    json<void>("PUT", `/repositories/${id(repository)}/variables/${id(name)}`, { value, environment }),
  removeVariable: (repository: string, name: string, environment: string | null) =>
    json<void>("DELETE", `/repositories/${id(repository)}/variables/${id(name)}` + query({ environment })),
  secrets: (repository: string, signal?: AbortSignal) =>
    json<Secrets>("GET", `/repositories/${id(repository)}/secrets`, undefined, signal),
  putSecret: (repository: string, name: string, value: string, environment: string | null) =>
    json<void>("PUT", `/repositories/${id(repository)}/secrets/${id(name)}`, { value, environment }),
  removeSecret: (repository: string, name: string, environment: string | null) =>
    json<void>("DELETE", `/repositories/${id(repository)}/secrets/${id(name)}` + query({ environment })),
};

export const users = {
  list: (signal?: AbortSignal) => json<Users>("GET", "/users", undefined, signal),
  create: (user: NewUser) => json<User>("POST", "/users", user),
  update: (user: string, change: UserChange) => json<void>("PATCH", `/users/${id(user)}`, change),
};

export const tokens = {
  list: (signal?: AbortSignal) => json<Tokens>("GET", "/tokens", undefined, signal),
  create: (token: NewToken) => json<MadeToken>("POST", "/tokens", token),
  remove: (token: string) => json<void>("DELETE", `/tokens/${id(token)}`),
};

export const runners = {
  list: (signal?: AbortSignal) => json<Runners>("GET", "/runners", undefined, signal),
  setDisabled: (runner: string, disabled: boolean) =>
    json<void>("PATCH", `/runners/${id(runner)}`, { disabled }),
  enrolmentToken: () => json<EnrolmentToken>("POST", "/runners/enrolment-tokens", {}),
};

export const audit = {
  list: (signal?: AbortSignal) => json<Audit>("GET", "/audit", undefined, signal),
};
