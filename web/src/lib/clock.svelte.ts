// One clock for all relative times and running durations, ticking each second while the page is looked at.

export const clock = $state({ now: Date.now() });

export function startClock(): void {
  setInterval(() => {
    if (document.visibilityState === "visible") clock.now = Date.now();
  }, 1000);
  document.addEventListener("visibilitychange", () => (clock.now = Date.now()));
}
