// Environments: what they run, what they ran, and the way back.
import { expect, settled, test } from "./support/stand";

test("an environment goes back to an earlier deployment with two clicks", async ({ page, as, stand }) => {
  await as("rita");
  await page.goto(`/environments/${stand.environments.back}`);
  await settled(page);
  const history = page.locator("main .row");
  await expect(history.first()).toContainText("The second release");
  await expect(history.first()).toContainText("runs now");
  await page
    .getByRole("button", { name: /Roll back|Go back/ })
    .first()
    .click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("The first release");
  await dialog.getByRole("button", { name: /Roll back|Go back/ }).click();
  await expect(page).toHaveURL(/\/runs\//);
  await page.goto(`/environments/${stand.environments.back}`);
  await expect(history.first()).toContainText("rollback");
  await expect(history.first()).toContainText("Succeeded");
  await expect(history.first()).toContainText("runs now");
});

test("a frozen environment says why, and is thawed", async ({ page, as, stand }) => {
  await as("rita");
  await page.goto(`/environments/${stand.environments.production}`);
  await page.getByRole("button", { name: "Freeze" }).click();
  await page.getByLabel("Reason").fill("storm warning until Monday");
  await page
    .getByRole("dialog")
    .getByRole("button", { name: /Freeze/ })
    .click();
  await expect(page.getByText("storm warning until Monday")).toBeVisible();
  await page.getByRole("button", { name: "Unfreeze" }).click();
  await expect(page.getByText("storm warning until Monday")).toHaveCount(0);
});
