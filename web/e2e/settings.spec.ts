// Settings: repositories, secrets, people, tokens, runners and the audit trail; and what a viewer is not offered.
import { expect, settled, test } from "./support/stand";
import { Api } from "./support/api";

test("an administrator adds a repository and keeps a secret that nobody reads again", async ({
  page,
  as,
}) => {
  await as("admin");
  await page.goto("/repositories");
  await page.getByRole("button", { name: "Add a repository" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("harbour/buoys");
  await dialog.getByLabel("Clone address").fill("https://git.example.org/harbour/buoys.git");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  // The webhook's secret is shown this once.
  await expect(dialog).toContainText("/webhook");
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "harbour/buoys" }).first().click();
  await expect(page.getByRole("heading", { name: "harbour/buoys" })).toBeVisible();

  const value = "s3cr3t-of-the-harbour";
  const secrets = page.getByRole("region", { name: "Secrets" });
  await secrets.getByRole("button", { name: "Add" }).click();
  await dialog.getByLabel("Name").fill("NPM_TOKEN");
  await dialog.getByLabel("Value").fill(value);
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(secrets).toContainText("NPM_TOKEN");
  await page.reload();
  await expect(secrets).toContainText("NPM_TOKEN");
  expect(await page.content()).not.toContain(value);

  await page.goto("/settings/audit");
  await expect(page.locator("main")).toContainText("NPM_TOKEN");
  expect(await page.content()).not.toContain(value);
});

test("an administrator adds somebody, who can log in until disabled", async ({ page, as, stand }) => {
  await as("admin");
  await page.goto("/settings/users");
  await page.getByRole("button", { name: "Add a user" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("User name").fill("nils");
  await dialog.getByLabel("Full name").fill("Nils");
  await dialog.getByLabel("Role").selectOption("developer");
  await dialog.getByLabel("Password").fill("a-password-for-nils");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  const row = page.getByRole("row", { name: /nils/ });
  await expect(row.getByLabel("Role of nils")).toHaveValue("developer");
  await Api.logIn(stand.url, "nils", "a-password-for-nils");
  await row.getByRole("button", { name: "Disable" }).click();
  await expect(row.getByRole("button", { name: "Enable" })).toBeVisible();
  await expect(Api.logIn(stand.url, "nils", "a-password-for-nils")).rejects.toThrow();
});

test("a token works until it is revoked", async ({ page, as, stand }) => {
  await as("dev");
  await page.goto("/settings/tokens");
  await page.getByRole("button", { name: "Create a token" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("for the cron job");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  const dialog = page.getByRole("dialog", { name: "Your new token" });
  const value = (await dialog.locator("code").textContent())!.trim();
  const headers = { authorization: `Bearer ${value}` };
  const ask = async () => (await fetch(`${stand.url}/api/v1/session`, { headers })).status;
  expect(await ask()).toBe(200);
  await dialog.getByRole("button", { name: "Done" }).click();
  const row = page.getByRole("row", { name: /for the cron job/ });
  await row.getByRole("button", { name: "Revoke" }).click();
  await expect(row).toHaveCount(0);
  expect(await ask()).toBe(401);
});

test("runners are listed with what they can do", async ({ page, as }) => {
  await as("admin");
  await page.goto("/settings/runners");
  await settled(page);
  await expect(page.getByRole("row", { name: /quay/ })).toBeVisible();
  await expect(page.getByRole("row", { name: /quay/ })).toContainText("docker");
  await page
    .getByRole("button", { name: /Enrol|Add/ })
    .first()
    .click();
  await expect(page.getByRole("dialog")).toContainText("tidegate runner");
});

test("a viewer sees everything and is offered nothing", async ({ page, as, stand }) => {
  await as("vera");
  const harmless =
    /^(Account of|Search|Copy|Previous match|Next match|Wrap|End|Follow|Theme|Light|Dark|System|Use)/;
  for (const path of [
    "/runs",
    "/gates",
    `/runs/${stand.runs.waiting}`,
    `/runs/${stand.runs.failed}`,
    "/environments",
    `/environments/${stand.environments.back}`,
    "/repositories",
    `/repositories/${stand.repositories.tides}`,
    "/settings/runners",
  ]) {
    await page.goto(path);
    await settled(page);
    const buttons = page.locator(
      "main .button:not(.icon):visible:enabled, main header button:visible:enabled",
    );
    const names = (await buttons.allTextContents()).map((one) => one.trim());
    expect(
      names.filter((name) => name !== "" && !harmless.test(name) && !/^(All|Open|Runs)/.test(name)),
      path,
    ).toEqual([]);
  }
  await page.goto("/settings/users");
  await expect(page.getByRole("button", { name: /Add/ })).toHaveCount(0);
});
