// Whether somebody scrolls an element, or the browser does: it scrolls up by itself when a text gets shorter or its
// view higher, which is nobody's wish.

const RECENTLY_MS = 1000;

export interface ByHand {
  recently: () => boolean;
  /** What somebody did until now is of no consequence: they asked for another place since. */
  forget: () => void;
  stop: () => void;
}

export function byHand(element: HTMLElement): ByHand {
  const stop = new AbortController();
  const options = { passive: true, signal: stop.signal };
  let last = -Infinity;
  let held = false;
  const now = () => void (last = performance.now());
  for (const kind of ["wheel", "touchmove", "keydown"]) element.addEventListener(kind, now, options);
  element.addEventListener("pointerdown", () => (held = true), options);
  for (const kind of ["pointerup", "pointercancel"])
    window.addEventListener(
      kind,
      () => {
        if (held) now();
        held = false;
      },
      options,
    );
  return {
    recently: () => held || performance.now() - last < RECENTLY_MS,
    forget: () => (last = -Infinity),
    stop: () => stop.abort(),
  };
}
