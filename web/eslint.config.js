// What the compiler does not see: HTML from strings, promises nobody waits for, dead keys in each blocks.
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";
import svelteConfig from "./svelte.config.js";

export default ts.config(
  { ignores: ["dist/", "node_modules/", "test-results/", "src/api/schema.ts"] },
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
  },
  {
    rules: {
      "svelte/no-at-html-tags": "error",
      "svelte/no-navigation-without-resolve": "off", // SvelteKit's rule; the router here is our own
      "svelte/prefer-svelte-reactivity": "off", // plain maps and sets are used where nothing renders from them
      "no-restricted-syntax": [
        "error",
        { selector: "MemberExpression[property.name=/^(inner|outer)HTML$/]", message: "Text nodes only." },
      ],
    },
  },
);
