// What global.ts prepared, and the ways of the tests to the page.
import { test as base, expect, type Page } from "@playwright/test";
import { Api } from "./api";

export interface Stand {
  url: string;
  password: string;
  adminPassword: string;
  runs: Record<
    "succeeded" | "failed" | "invalid" | "waiting" | "approved" | "rejected" | "own" | "ticking" | "long",
    string
  >;
  environments: Record<"production" | "back", string>;
  repositories: Record<"tides", string>;
  images: Record<"older" | "newer", string>;
}

export type Person = "admin" | "rita" | "dev" | "vera";

interface Given {
  stand: Stand;
  /** Logs a person in without the form. */
  as: (person: Person) => Promise<void>;
  api: (person: Person) => Promise<Api>;
}

/** A page that may not report errors of its own, and the stand it looks at. */
export const test = base.extend<Given>({
  stand: async ({}, use) => use(JSON.parse(process.env.TIDEGATE_STAND ?? "null") as Stand),
  baseURL: async ({ stand }, use) => use(stand.url),
  page: async ({ page }, use) => {
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) problems.push(message.text());
    });
    await use(page);
    expect(problems).toEqual([]);
  },
  as: async ({ page, stand }, use) =>
    use(async (person) => {
      const data = { username: person, password: passwordOf(stand, person) };
      const answer = await page.request.post(`${stand.url}/api/v1/session`, {
        data,
        headers: { origin: stand.url },
      });
      expect(answer.ok()).toBe(true);
    }),
  api: async ({ stand }, use) => use((person) => Api.logIn(stand.url, person, passwordOf(stand, person))),
});

function passwordOf(stand: Stand, person: Person): string {
  return person === "admin" ? stand.adminPassword : stand.password;
}

/** Every page there is, with something on it. */
export function everyPage({ runs, environments, repositories }: Stand): [name: string, path: string][] {
  return [
    ["runs", "/runs"],
    ["run-succeeded", `/runs/${runs.succeeded}`],
    ["run-waiting", `/runs/${runs.waiting}`],
    ["run-failed", `/runs/${runs.failed}`],
    ["run-invalid", `/runs/${runs.invalid}`],
    ["run-results", `/runs/${runs.succeeded}?tab=results`],
    ["run-artifacts", `/runs/${runs.succeeded}?tab=artifacts`],
    ["run-deployments", `/runs/${runs.succeeded}?tab=deployments`],
    ["run-timeline", `/runs/${runs.succeeded}?tab=timeline`],
    ["run-source", `/runs/${runs.succeeded}?tab=source`],
    ["gates", "/gates"],
    ["environments", "/environments"],
    ["environment", `/environments/${environments.production}`],
    ["repositories", "/repositories"],
    ["repository", `/repositories/${repositories.tides}`],
    ["tokens", "/settings/tokens"],
    ["runners", "/settings/runners"],
    ["users", "/settings/users"],
    ["audit", "/settings/audit"],
    ["nowhere", "/nowhere"],
  ];
}

/** Waits until the page has its data and nothing moves any more. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator("h1").first()).toBeVisible();
  await expect(page.locator('.loading, [aria-busy="true"]')).toHaveCount(0);
}

export { expect };
