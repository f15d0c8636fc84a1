// The server's API as scripts use it: to set things up, and to wait for what the page then has to show.
import type { Environment, Gate, RunDetail, RunPage } from "../../src/api/types";

export class Api {
  private constructor(
    readonly base: string,
    private readonly cookie: string,
  ) {}

  static async logIn(base: string, username: string, password: string): Promise<Api> {
    const answer = await fetch(base + "/api/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json", origin: base },
      body: JSON.stringify({ username, password }),
    });
    if (!answer.ok) throw new Error(`log-in of ${username}: ${await answer.text()}`);
    return new Api(
      base,
      answer.headers
        .getSetCookie()
        .map((cookie) => cookie.split(";")[0])
        .join("; "),
    );
  }

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await fetch(`${this.base}/api/v1${path}`, {
      method,
      headers: { cookie: this.cookie, origin: this.base, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  get = <T>(path: string) => this.call<T>("GET", path);
  post = <T>(path: string, body: unknown = {}) => this.call<T>("POST", path, body);
  put = <T>(path: string, body: unknown) => this.call<T>("PUT", path, body);

  /** The run of a commit, once it is as wanted. */
  async run(sha: string, wanted: (run: RunDetail) => boolean = () => true): Promise<RunDetail> {
    return until(`the run of ${sha}`, async () => {
      const page = await this.get<RunPage>("/runs?limit=100");
      const found = page.runs.find((run) => run.sha === sha);
      if (!found) return undefined;
      const run = await this.get<RunDetail>(`/runs/${found.id}`);
      if (wanted(run)) return run;
      if (run.finished_at)
        throw new Error(`run #${run.number} of ${run.repository} is ${run.status}: ${run.reason}`);
      return undefined;
    });
  }

  /** The open gate of a commit's run. */
  async gate(sha: string): Promise<Gate> {
    const run = await this.run(sha, (one) => one.gates.some((gate) => gate.status === "open"));
    return run.gates.find((gate) => gate.status === "open")!;
  }

  async environment(repository: string, name: string): Promise<Environment> {
    const { environments } = await this.get<{ environments: Environment[] }>("/environments");
    const found = environments.find((one) => one.repository === repository && one.name === name);
    if (!found) throw new Error(`there is no environment ${name} of ${repository}`);
    return found;
  }
}

/** Asks until there is an answer. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const limit = Date.now() + 90_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > limit) throw new Error(`${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
