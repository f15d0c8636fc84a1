// A Tidegate of its own in a folder of its own: server, database and runner in one process, on a free port.
import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

export const ADMIN_PASSWORD = "correct-horse-battery";

export interface Server {
  url: string;
  folder: string;
  process: ChildProcess;
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.on("error", reject);
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address();
      listener.close(() =>
        typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

export async function startServer(binary: string): Promise<Server> {
  // The embedded database's unprivileged user has to reach it.
  const folder = mkdtempSync("/var/tmp/tidegate-browser.");
  chmodSync(folder, 0o755);
  const url = `http://127.0.0.1:${await freePort()}`;
  const log = join(folder, "server.log");
  const environment: NodeJS.ProcessEnv = { ...process.env, TIDEGATE_ADMIN_PASSWORD: ADMIN_PASSWORD };
  for (const name of ["DATABASE_URL", "TIDEGATE_CONFIG", "GIT_DIR"]) delete environment[name];
  const output = openSync(log, "w");
  const child = spawn(
    binary,
    ["up", "--listen", new URL(url).host, "--data-dir", join(folder, "data"), "--allow-file-clone"].concat([
      "--runner-name",
      "quay",
      "--slots",
      "3",
      "--grace-seconds",
      "1",
    ]),
    { cwd: folder, env: environment, stdio: ["ignore", output, output] },
  );
  closeSync(output);
  const server = { url, folder, process: child };
  const limit = Date.now() + 120_000;
  for (;;) {
    if (child.exitCode !== null || Date.now() > limit) {
      const said = readFileSync(log, "utf8").slice(-2000);
      await stopServer(server);
      throw new Error(`the server did not start:\n${said}`);
    }
    // It says so once its first administrator is there, too.
    if (readFileSync(log, "utf8").includes("is up")) return server;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function stopServer({ process: child, folder }: Server): Promise<void> {
  if (child.exitCode === null) {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
}
