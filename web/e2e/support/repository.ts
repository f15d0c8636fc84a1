// A repository on disk that the server knows: a bare one whose hook tells of pushes, and a clone to commit in.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AddedRepository } from "../../src/api/types";
import type { Api } from "./api";

export class Repository {
  id = "";

  constructor(
    private readonly folder: string,
    readonly name: string,
  ) {}

  private get bare(): string {
    return join(this.folder, `${this.name}.git`);
  }

  private get clone(): string {
    return join(this.folder, this.name);
  }

  /** Makes it, here and on the server. */
  static async make(api: Api, binary: string, folder: string, name: string): Promise<Repository> {
    const repository = new Repository(folder, name);
    mkdirSync(repository.clone, { recursive: true });
    repository.git(folder, "init", "--quiet", "--bare", "--initial-branch=main", repository.bare);
    repository.git(repository.clone, "init", "--quiet", "--initial-branch=main");
    repository.git(repository.clone, "remote", "add", "origin", repository.bare);
    const added = await api.post<AddedRepository>("/repositories", {
      full_name: name,
      forge: "git",
      clone_url: pathToFileURL(repository.bare).href,
      default_branch: "main",
      pipeline_path: ".tidegate/pipeline.yml",
    });
    repository.id = added.id;
    const secret = join(repository.bare, "webhook.secret");
    writeFileSync(secret, added.webhook_secret, { mode: 0o600 });
    const hook = join(repository.bare, "hooks/post-receive");
    const words = [binary, "hook", "post-receive", "--url", added.webhook_url, "--secret-file", secret];
    writeFileSync(
      hook,
      `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} --repository ${name}\n`,
    );
    chmodSync(hook, 0o755);
    return repository;
  }

  /** Commits files and pushes them; gives the commit. */
  push(pusher: string, title: string, files: Record<string, string> = {}): string {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.clone, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    this.git(this.clone, "add", "--all");
    const author = [`user.name=${pusher}`, `user.email=${pusher}@example.org`].flatMap((one) => ["-c", one]);
    this.git(this.clone, ...author, "commit", "--quiet", "--allow-empty", "--message", title);
    this.git(this.clone, "push", "--quiet", "origin", "main", { TIDEGATE_PUSHER: pusher });
    return this.git(this.clone, "rev-parse", "HEAD").trim();
  }

  private git(place: string, ...words: (string | Record<string, string>)[]): string {
    const extra = words.filter((word) => typeof word === "object");
    return execFileSync(
      "git",
      words.filter((word) => typeof word === "string"),
      {
        cwd: place,
        encoding: "utf8",
        env: Object.assign(
          {},
          process.env,
          { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" },
          ...extra,
        ),
      },
    );
  }
}
