// Gates: who decides sees what changes and has two buttons; who pushed has none.
import { expect, settled, test } from "./support/stand";

test("a release manager sees what would change, and approves", async ({ page, as, stand }) => {
  await as("rita");
  await page.goto("/gates");
  await settled(page);
  await page.goto(`/runs/${stand.runs.approved}`);
  const gate = page.getByRole("region", { name: "Deploy to production?" });
  await expect(gate).toContainText("this is the first deployment");
  await expect(gate).toContainText("0 of 1 approval");
  await gate.getByLabel("Comment").fill("looks right");
  await gate.getByRole("button", { name: "Approve" }).click();
  await expect(page.getByText("You approved deploy-production.")).toBeVisible();
  await expect(page.locator("header .status, header").getByText("Succeeded").first()).toBeVisible();
  await expect(page.getByRole("region", { name: "Deploy to production?" })).toHaveCount(0);
  await page
    .getByRole("button", { name: /^deploy-production/ })
    .first()
    .click();
  await expect(page.getByText("approved by rita")).toContainText("looks right");
});

test("a release manager rejects, and nothing is deployed", async ({ page, as, stand }) => {
  await as("rita");
  await page.goto(`/runs/${stand.runs.rejected}`);
  const gate = page.getByRole("region", { name: "Deploy to production?" });
  await gate.getByLabel("Comment").fill("not today");
  await gate.getByRole("button", { name: "Reject" }).click();
  await expect(page.getByText("You rejected deploy-production.")).toBeVisible();
  await expect(page.getByText("Failed").first()).toBeVisible();
  await expect(page.getByRole("tab", { name: /Deployments/ })).toHaveCount(0);
});

test("what changed is told by commits, images and checks", async ({ page, as, stand }) => {
  await as("rita");
  await page.goto(`/runs/${stand.runs.waiting}`);
  const gate = page.getByRole("region", { name: "Deploy to production?" });
  for (const text of ["Round the heights", "Deploy from main only", "Name the datum of each place"])
    await expect(gate).toContainText(text);
  await expect(gate).toContainText(stand.images.older.split("@sha256:")[1]!.slice(0, 12));
  await expect(gate).toContainText(stand.images.newer.split("@sha256:")[1]!.slice(0, 12));
  await expect(gate).toContainText("2 tests passed");
});

test("who pushed may not decide, whatever the role", async ({ page, as, stand }) => {
  await as("rita");
  await page.goto(`/runs/${stand.runs.own}`);
  const gate = page.getByRole("region", { name: "Deploy to production?" });
  await expect(gate.getByRole("button", { name: "Approve" })).toBeDisabled();
  await expect(gate.getByRole("button", { name: "Reject" })).toBeDisabled();
  await expect(gate.locator(".why")).not.toBeEmpty();
});

test("a developer may look, and is told who decides", async ({ page, as, stand }) => {
  await as("dev");
  await page.goto(`/runs/${stand.runs.waiting}`);
  const gate = page.getByRole("region", { name: "Deploy to production?" });
  await expect(gate).toContainText("Rita");
  await expect(gate.getByRole("button", { name: "Approve" })).toBeDisabled();
});
