// Tests in a real browser, against the server that e2e/support/global.ts starts with the binary in TIDEGATE.
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  globalSetup: "./e2e/support/global.ts",
  workers: 2,
  fullyParallel: true,
  forbidOnly: true,
  retries: 0,
  // Generous, because nothing waits for time: a slow machine only makes a test slower.
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  testIgnore: process.env.SCREENSHOTS ? [] : ["**/pictures.spec.ts"],
  use: {
    viewport: { width: 1280, height: 860 },
    contextOptions: { reducedMotion: "reduce" },
    trace: "off",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
    },
  },
});
