// Logging in and out, with the mouse and without it.
import { expect, test } from "./support/stand";

test("a wrong password is refused, the right one leads to where one wanted to go, and out again", async ({
  page,
  stand,
}) => {
  await page.goto("/environments");
  await expect(page.getByRole("heading", { name: "Log in to Tidegate" })).toBeVisible();
  await page.getByLabel("User name").fill("dev");
  await page.getByLabel("Password").fill("not this one");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toContainText("password");
  await expect(page.getByLabel("Password")).toHaveValue("");

  await page.getByLabel("Password").fill(stand.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("heading", { name: "Environments", level: 1 })).toBeVisible();

  await page.getByRole("button", { name: /dev/i }).click();
  await page.getByText("Log out").click();
  await expect(page.getByRole("heading", { name: "Log in to Tidegate" })).toBeVisible();
  await page.goto("/runs");
  await expect(page.getByRole("heading", { name: "Log in to Tidegate" })).toBeVisible();
});

test("the keyboard alone is enough", async ({ page, stand }) => {
  await page.goto("/runs");
  await expect(page.getByLabel("User name")).toBeFocused();
  await page.keyboard.type("dev");
  await page.keyboard.press("Tab");
  await page.keyboard.type(stand.password);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Runs", level: 1 })).toBeVisible();

  // Past the bar, to the failed run.
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("main")).toBeFocused();
  const run = page.getByRole("link", { name: "Round the heights" });
  await run.waitFor();
  for (let presses = 0; presses < 40; presses += 1) {
    if (await run.evaluate((one) => one === document.activeElement)) break;
    await page.keyboard.press("Tab");
  }
  await expect(run).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Round the heights" })).toBeVisible();

  // Another stage of the graph, and its log.
  const lint = page.getByRole("button", { name: /^lint/ }).first();
  await lint.focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("region", { name: "Stage lint" })).toBeVisible();
  await expect(page.getByRole("log")).toContainText("fine");
  await page.keyboard.press("/");
  await expect(page.getByLabel("Search this log")).toBeFocused();
  await page.keyboard.type("fine");
  await expect(page.locator(".hit-now")).toHaveText("fine");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("log")).toBeFocused();
});
