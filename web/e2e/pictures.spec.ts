// Pictures of every page, wide and narrow, light and dark, into the folder SCREENSHOTS; they are for people to look at.
import { join } from "node:path";
import { everyPage, settled, test } from "./support/stand";

for (const width of [1280, 390])
  for (const theme of ["light", "dark"] as const)
    test(`pictures, ${width} px, ${theme}`, async ({ page, as, stand }) => {
      await page.setViewportSize({ width, height: 860 });
      await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
      await as("rita");
      for (const [name, path] of everyPage(stand)) {
        await page.goto(path);
        await settled(page);
        await page.screenshot({
          path: join(process.env.SCREENSHOTS ?? "", `${name}-${width}-${theme}.png`),
          fullPage: true,
        });
      }
    });
