// Builds the page into dist/, which the server embeds. Everything is a file of its own: the server's content
// security policy allows no inline script or style and no other origin.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { svelteTesting } from "@testing-library/svelte/vite";
import { defineConfig } from "vitest/config";

const api = process.env.TIDEGATE_API ?? "http://127.0.0.1:8090";

export default defineConfig({
  plugins: [svelte(), svelteTesting()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: true,
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: { "/api": { target: api, changeOrigin: false } },
  },
  test: {
    environment: "node",
    include: ["tests/**/*.test.ts"],
  },
});
