// Logs: growing while one looks, across a network that goes away, and far longer than a page.
import { expect, test } from "./support/stand";
import { Wire } from "./support/wire";
import type { Page } from "@playwright/test";

/** The numbers that the ticks in sight have, in order. */
async function ticks(page: Page): Promise<number[]> {
  const lines = await page.locator('[role="log"] .row .text').allTextContents();
  return lines
    .map((line) => Number(/^tick (\d+)$/.exec(line)?.[1] ?? NaN))
    .filter((one) => !Number.isNaN(one));
}

const last = async (page: Page) => (await ticks(page)).at(-1) ?? 0;

test("a live log grows, goes on where it was after the network dropped, and ends with the run", async ({
  page,
  as,
  stand,
}) => {
  const wire = await Wire.to(stand.url);
  try {
    await as("dev"); // the session's cookie is for the host, whatever its port
    await page.goto(`${wire.url}/runs/${stand.runs.ticking}`);
    await expect(page.getByText("live", { exact: true })).toBeVisible();
    await expect.poll(() => last(page)).toBeGreaterThan(5);
    const before = await last(page);
    await expect.poll(() => last(page)).toBeGreaterThan(before);

    wire.break();
    await expect(page.getByText("Live updates have stopped")).toBeVisible();
    const cut = await last(page);
    wire.mend();
    await expect.poll(() => last(page)).toBeGreaterThan(cut + 5);
    await expect(page.getByText("Live updates have stopped")).toHaveCount(0);
    // Nothing is missing, nothing is there twice.
    const seen = await ticks(page);
    expect(seen).toEqual(seen.map((_, index) => seen[0]! + index));
    const numbers = await page.locator('[role="log"] .row .number').allTextContents();
    expect(Number(numbers.at(-1)) - numbers.length + 1).toBe(Number(numbers[0]));

    // Whoever scrolls up stays there, the browser's own scrolling stops nothing.
    const follow = page.getByRole("button", { name: "Follow" });
    await expect(follow).toHaveAttribute("aria-pressed", "true");
    await page.getByRole("log").evaluate((log) => (log.scrollTop -= 200));
    await expect(follow).toHaveAttribute("aria-pressed", "true");
    await page.getByRole("log").hover();
    await page.mouse.wheel(0, -400);
    await expect(follow).toHaveAttribute("aria-pressed", "false");
    await follow.click();
    await expect(follow).toHaveAttribute("aria-pressed", "true");

    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Cancel the run" }).click();
    await expect(page.getByText("Cancelled").first()).toBeVisible();
    await expect(page.getByText("live", { exact: true })).toHaveCount(0);
  } finally {
    wire.close();
  }
});

test("twenty thousand lines are a few rows", async ({ page, as, stand }) => {
  await as("dev");
  await page.goto(`/runs/${stand.runs.long}#print/1`);
  const log = page.getByRole("log");
  await expect(page.getByText("20,000 lines")).toBeVisible();
  await expect(log).toContainText("this is line 1");
  expect(await log.locator(".row").count()).toBeLessThan(120);

  await page.getByRole("button", { name: "End" }).click();
  await expect(log.locator('[data-line="20000"]')).toContainText("this is line 20000");
  expect(await log.locator(".row").count()).toBeLessThan(120);

  await page.getByLabel("Search this log").fill("line 12345");
  await expect(page.locator(".hit-now")).toHaveText("line 12345");
  await expect(page.locator(".hit-now")).toBeInViewport();

  await log.locator('[data-line="12346"] .number').click();
  await expect(page).toHaveURL(/#print\/1:L12346$/);
  await page.reload();
  await expect(log.locator(".row.chosen")).toHaveText(/this is line 12346/);
  await expect(log.locator(".row.chosen")).toBeInViewport();
});

test("groups are folded to their titles, and open by hand, by a search and by an address", async ({
  page,
  as,
  stand,
}) => {
  await as("dev");
  await page.goto(`/runs/${stand.runs.succeeded}#lint/1`);
  const log = page.getByRole("log");
  const rows = log.locator(".row");
  const title = log.getByRole("button", { name: "Rules" });
  await expect(rows).toHaveText([/Rules/, /nothing to complain about/]);
  await expect(rows.last()).toHaveAttribute("data-line", "5");

  await title.click();
  await expect(title).toHaveAttribute("aria-expanded", "true");
  await expect(rows).toHaveText([/Rules/, /no trailing blanks/, /no tabs/, /nothing to complain about/]);
  await title.click();
  await expect(rows).toHaveCount(2);

  await page.getByLabel("Search this log").fill("tabs");
  await expect(page.locator(".hit-now")).toHaveText("tabs");
  await expect(page.locator(".hit-now")).toBeInViewport();

  await page.goto(`/runs/${stand.runs.succeeded}#lint/1:L2`);
  await page.reload();
  await expect(log.locator(".row.chosen")).toHaveText(/no trailing blanks/);
});

test("a log that comes when its reader has gone to another stage troubles nobody", async ({
  page,
  as,
  stand,
}) => {
  let letGo = (): void => {};
  const gone = new Promise<void>((resolve) => (letGo = resolve));
  await page.route(/\/steps\/\d+\/log\?/, async (route) => {
    const answer = await route.fetch();
    await gone;
    await route.fulfill({ response: answer });
  });
  await as("dev");
  const asked = page.waitForRequest(/\/steps\/\d+\/log\?/);
  await page.goto(`/runs/${stand.runs.failed}`); // opens the failed step, whose end is shown
  const late = (await asked).url();
  await page.getByRole("button", { name: /^lint/ }).first().click();
  await expect(page.getByRole("region", { name: "Stage lint" })).toBeVisible();
  const came = page.waitForResponse(late);
  letGo();
  await came;
  await expect(page.getByRole("log")).toContainText("fine");
});
