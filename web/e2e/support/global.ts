// Starts a server, and gives it people, repositories and a history, before all tests; ends it after them.
import { resolve } from "node:path";
import type { RunDetail } from "../../src/api/types";
import { Api, until } from "./api";
import { delivery, failing, gateOnly, image, invalid, long, PATH, ticking } from "./pipelines";
import { Repository } from "./repository";
import { ADMIN_PASSWORD, startServer, stopServer } from "./server";
import type { Stand } from "./stand";

const PEOPLE = { dev: "developer", rita: "release_manager", vera: "viewer" };
const PASSWORD = "a-password-for-tests";

export default async function start(): Promise<() => Promise<void>> {
  const binary = resolve(process.env.TIDEGATE ?? "../target/debug/tidegate");
  const server = await startServer(binary);
  try {
    const stand = await furnish(binary, server.url, server.folder);
    process.env.TIDEGATE_STAND = JSON.stringify(stand);
    return async () => {
      await stopTicking(stand);
      await stopServer(server);
    };
  } catch (error) {
    await stopServer(server);
    throw error;
  }
}

/** Ends the run that goes on by itself: a runner that is stopped leaves what it is at to the next one. */
async function stopTicking({ url, runs }: Stand): Promise<void> {
  const admin = await Api.logIn(url, "admin", ADMIN_PASSWORD);
  const ticking = () => admin.get<RunDetail>(`/runs/${runs.ticking}`);
  if ((await ticking()).finished_at) return;
  await admin.post(`/runs/${runs.ticking}/cancel`);
  await until("the end of the run that counts", async () => (await ticking()).finished_at ?? undefined);
}

async function furnish(binary: string, url: string, folder: string): Promise<Stand> {
  const admin = await Api.logIn(url, "admin", ADMIN_PASSWORD);
  for (const [username, role] of Object.entries(PEOPLE))
    await admin.post("/users", { username, role, display_name: capital(username), password: PASSWORD });
  const rita = await Api.logIn(url, "rita", PASSWORD);

  const make = async (name: string, approvals: number) => {
    const repository = await Repository.make(admin, binary, folder, name);
    await admin.put(`/repositories/${repository.id}/environments/production`, {
      url: "http://tides.example.org",
      required_approvals: approvals,
      approver_role: "release_manager",
      approvers: [],
      allow_self_approval: false,
      branches: ["main"],
      wait_seconds: 0,
      gate_expires_seconds: 86_400,
    });
    return repository;
  };
  const approve = async (sha: string) => {
    const gate = await rita.gate(sha);
    await rita.post(`/gates/${gate.id}/decision`, { verdict: "approve", comment: "the almanac agrees" });
    return (await rita.run(sha, (run) => run.status === "succeeded")).id;
  };

  // A repository for each test that changes something; and one with a history, which tests only read.
  const tides = await make("harbour/tides", 1);
  const approved = (await make("harbour/approved", 1)).push("dev", "Approve me", { [PATH]: gateOnly("1") });
  const rejected = (await make("harbour/rejected", 1)).push("dev", "Reject me", { [PATH]: gateOnly("1") });
  const own = (await make("harbour/own", 1)).push("rita", "Mine", { [PATH]: gateOnly("1") });
  const ticks = (await make("harbour/ticking", 0)).push("dev", "Count", { [PATH]: ticking });
  const lines = (await make("harbour/long", 0)).push("dev", "Print a lot", { [PATH]: long });
  const back = await make("harbour/back", 0);
  const older = back.push("dev", "The first release", { [PATH]: gateOnly("1") });
  await rita.run(older, (run) => run.status === "succeeded");
  const newer = back.push("dev", "The second release", { [PATH]: gateOnly("2") });
  await rita.run(newer, (run) => run.status === "succeeded");

  const first = tides.push("dev", "Answer how high the water stands", { [PATH]: delivery("1") });
  const succeeded = await approve(first);
  const bad = tides.push("dev", "Round the heights", { [PATH]: failing });
  const wrong = tides.push("dev", "Deploy from main only", { [PATH]: invalid });
  const open = tides.push("dev", "Name the datum of each place in the answer", { [PATH]: delivery("2") });
  return {
    url,
    password: PASSWORD,
    adminPassword: ADMIN_PASSWORD,
    runs: {
      succeeded,
      failed: (await rita.run(bad, (run) => run.status === "failed")).id,
      invalid: (await rita.run(wrong, (run) => run.status === "invalid")).id,
      waiting: (await rita.gate(open)).run_id,
      approved: (await rita.gate(approved)).run_id,
      rejected: (await rita.gate(rejected)).run_id,
      own: (await rita.gate(own)).run_id,
      ticking: (await rita.run(ticks, (run) => run.status === "running")).id,
      long: (await rita.run(lines, (run) => run.status === "succeeded")).id,
    },
    environments: {
      production: (await rita.environment("harbour/tides", "production")).id,
      back: (await rita.environment("harbour/back", "production")).id,
    },
    repositories: { tides: tides.id },
    images: { older: image("1"), newer: image("2") },
  };
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
