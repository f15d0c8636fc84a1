// What holds for every page: no barrier that axe finds, in light and dark; no sideways scrolling on a phone.
import AxeBuilder from "@axe-core/playwright";
import { everyPage, expect, settled, test } from "./support/stand";

/** Pages that together have all colours. */
const COLOURFUL = ["runs", "run-waiting", "run-failed", "run-invalid", "environment", "users"];

for (const theme of ["light", "dark"] as const)
  test(`axe finds nothing to complain about, ${theme}`, async ({ page, as, stand }) => {
    test.slow(); // axe looks at every element of twenty pages
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    const found: string[] = [];
    const look = async (name: string) => {
      await settled(page);
      const axe = new AxeBuilder({ page });
      // The theme changes colours and nothing else.
      if (theme === "dark") axe.withRules(["color-contrast"]);
      const { violations } = await axe.analyze();
      for (const { id, nodes } of violations)
        found.push(
          ...nodes.map((node) => `${name}: ${id} at ${node.target.join(" ")}: ${node.failureSummary}`),
        );
    };
    await page.goto("/runs");
    await look("login");
    await as("admin");
    for (const [name, path] of everyPage(stand)) {
      if (theme === "dark" && !COLOURFUL.includes(name)) continue;
      await page.goto(path);
      await look(name);
    }
    expect(found).toEqual([]);
  });

test("a phone never scrolls sideways, and reaches every section", async ({ page, as, stand }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await as("admin");
  for (const [name, path] of everyPage(stand)) {
    await page.goto(path);
    await settled(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width, name).toBeLessThanOrEqual(390);
  }
  await page.getByRole("link", { name: "Environments" }).click();
  await expect(page.getByRole("heading", { name: "Environments", level: 1 })).toBeVisible();
});
