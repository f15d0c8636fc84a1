// Which page belongs to which address. The first match wins.
import type { Component } from "svelte";
import { match } from "../lib/router.svelte";
import Audit from "../pages/settings/Audit.svelte";
import Environment from "../pages/Environment.svelte";
import Environments from "../pages/Environments.svelte";
import GatePage from "../pages/GatePage.svelte";
import Gates from "../pages/Gates.svelte";
import NotFound from "../pages/NotFound.svelte";
import Repositories from "../pages/Repositories.svelte";
import Repository from "../pages/Repository.svelte";
import Run from "../pages/run/Run.svelte";
import Runners from "../pages/settings/Runners.svelte";
import Runs from "../pages/Runs.svelte";
import Tokens from "../pages/settings/Tokens.svelte";
import Users from "../pages/settings/Users.svelte";

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Page = Component<any>;

const ROUTES: [pattern: string, page: Page, section: string][] = [
  ["/", Runs, "runs"],
  ["/runs", Runs, "runs"],
  ["/runs/:id", Run, "runs"],
  ["/gates", Gates, "gates"],
  ["/gates/:id", GatePage, "gates"],
  ["/environments", Environments, "environments"],
  ["/environments/:id", Environment, "environments"],
  ["/repositories", Repositories, "repositories"],
  ["/repositories/:id", Repository, "repositories"],
  ["/settings", Tokens, "settings"],
  ["/settings/tokens", Tokens, "settings"],
  ["/settings/runners", Runners, "settings"],
  ["/settings/users", Users, "settings"],
  ["/settings/audit", Audit, "settings"],
];

export interface Found {
  page: Page;
  params: Record<string, string>;
  section: string;
  /** Changes when the page must start anew. */
  key: string;
}

export function find(path: string): Found {
  for (const [pattern, page, section] of ROUTES) {
    const params = match(pattern, path);
    if (params) return { page, params, section, key: pattern + JSON.stringify(params) };
  }
  return { page: NotFound, params: {}, section: "", key: path };
}
