// Light, dark, or as the system says; remembered on this device. `public/theme.js` applies it before the first paint.

export type Theme = "system" | "light" | "dark";

const KEY = "tidegate.theme";

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

export const theme = $state<{ chosen: Theme }>({ chosen: stored() });

export function choose(value: Theme): void {
  theme.chosen = value;
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  try {
    if (value === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, value);
  } catch {
    // No storage: it lasts until the page is reloaded.
  }
}
