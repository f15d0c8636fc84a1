// Runs: the list as it changes, the graph, what a failed and an invalid run open at.
import { expect, settled, test } from "./support/stand";
import type { RunPage } from "../src/api/types";

test("the list follows what happens", async ({ page, as, api }) => {
  await as("dev");
  await page.goto("/runs?repository=harbour/long");
  await settled(page);
  const rows = page.locator("main .run");
  const before = await rows.count();
  const dev = await api("dev");
  const { runs } = await dev.get<RunPage>("/runs");
  const repository = runs.find((run) => run.repository === "harbour/long")!.repository_id;
  await dev.post(`/repositories/${repository}/runs`, { reference: "main", inputs: {} });
  await expect(rows).toHaveCount(before + 1);
  await expect(rows.first()).toContainText("Succeeded");
});

test("filters are in the address", async ({ page, as }) => {
  await as("dev");
  await page.goto("/runs?status=failed");
  await settled(page);
  await expect(page.getByRole("link", { name: "Round the heights" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Print a lot" })).toHaveCount(0);
  await page.getByRole("combobox", { name: /status/i }).selectOption({ label: "Any status" });
  await expect(page.getByRole("link", { name: "Print a lot" }).first()).toBeVisible();
  await expect(page).not.toHaveURL(/failed/);
});

test("a run shows its graph, its results, artifacts, deployments, timeline and file", async ({
  page,
  as,
  stand,
}) => {
  await as("dev");
  await page.goto(`/runs/${stand.runs.succeeded}`);
  await settled(page);
  const graph = page.getByRole("group", { name: "Stages" });
  await expect(graph.getByRole("button")).toHaveCount(5);
  const name = graph.getByText("check-the-harbour-gauges-against-the-almanac");
  const box = (await name.boundingBox())!;
  const button = (await graph.getByRole("button", { name: /^check-the-harbour/ }).boundingBox())!;
  expect(box.x + box.width).toBeLessThanOrEqual(button.x + button.width);
  await graph.getByRole("button", { name: /^test/ }).click();
  await expect(page).toHaveURL(/#test$/);
  await expect(page.getByRole("log")).toContainText("PASS high water");
  // In a colour of the theme, not in markup of the log.
  await expect(page.locator(".ansi-fg-2").first()).toHaveText("PASS");

  await page.getByRole("tab", { name: /Results/ }).click();
  await expect(page.getByText("2 tests").first()).toBeVisible();
  await page.getByRole("tab", { name: /Artifacts/ }).click();
  const download = page.waitForEvent("download");
  await page
    .getByRole("link", { name: /reports|Download/ })
    .first()
    .click();
  expect(await (await download).path()).not.toBe("");
  await page.getByRole("tab", { name: /Deployments/ }).click();
  await expect(page.getByRole("tabpanel")).toContainText("production");
  await page.getByRole("tab", { name: "Timeline" }).click();
  await expect(page.getByRole("tabpanel")).toContainText("rita approved");
  await page.getByRole("tab", { name: "Pipeline file" }).click();
  await expect(page.getByRole("tabpanel")).toContainText("deploy-production:");
});

test("a failed run opens at the line that says why", async ({ page, as, stand }) => {
  await as("dev");
  await page.goto(`/runs/${stand.runs.failed}`);
  await expect(page.getByRole("region", { name: "Stage test" })).toBeVisible();
  await expect(page.getByRole("log", { name: "Log of unit tests" })).toBeVisible();
  const line = page.locator(".row.error");
  await expect(line).toContainText("ERROR: low water came out high");
  await expect(line).toBeInViewport();
  await expect(page.getByText("exit code 3").first()).toBeVisible();
});

test("an invalid run shows all mistakes, each underlined, with what to write", async ({
  page,
  as,
  stand,
}) => {
  await as("dev");
  await page.goto(`/runs/${stand.runs.invalid}`);
  await settled(page);
  const mistakes = page.getByRole("region", { name: "Mistakes in the pipeline file" });
  await expect(mistakes.locator("mark")).toHaveText(["branchs", "10x", "tests"]);
  await expect(mistakes).toContainText("branches");
  await expect(mistakes.getByText("did you mean").first()).toBeVisible();
});

test("what is not there says so", async ({ page, as }) => {
  await as("dev");
  await page.goto("/runs/00000000-0000-4000-8000-000000000000");
  await expect(page.getByText("There is no such run")).toBeVisible();
  await page.goto("/nowhere");
  await expect(page.getByRole("link", { name: /runs/i }).first()).toBeVisible();
});
