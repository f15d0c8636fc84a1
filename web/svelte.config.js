import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

/** Runes everywhere; accessibility warnings fail the check (package.json). */
export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: true },
};
