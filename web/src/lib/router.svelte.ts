// The address bar as state: path, query and hash, with links that do not reload the page.

export const location = $state({ path: "/", query: new URLSearchParams(), hash: "" });

function read(): void {
  location.path = window.location.pathname.replace(/(.)\/+$/, "$1");
  location.query = new URLSearchParams(window.location.search);
  location.hash = decodeURIComponent(window.location.hash.replace(/^#/, ""));
}

/** Goes to an address of this page. Only paths: never another origin. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  if (!to.startsWith("/") || to.startsWith("//")) to = "/";
  if (to === window.location.pathname + window.location.search + window.location.hash) return;
  const samePath = new URL(to, window.location.origin).pathname === window.location.pathname;
  window.history[options.replace ? "replaceState" : "pushState"](null, "", to);
  read();
  if (!samePath) window.scrollTo(0, 0);
}

/** Changes the hash alone, without a new entry in the history. */
export function setHash(hash: string): void {
  const { pathname, search } = window.location;
  window.history.replaceState(null, "", pathname + search + (hash === "" ? "" : "#" + encodeHash(hash)));
  location.hash = hash;
}

/** `stage/step:L12` stays readable in the address bar. */
export function encodeHash(hash: string): string {
  return encodeURIComponent(hash).replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%3D/g, "=");
}

/** Changes one query parameter; null removes it. */
export function setQuery(name: string, value: string | null): void {
  const query = new URLSearchParams(window.location.search);
  if (value === null || value === "") query.delete(name);
  else query.set(name, value);
  const text = query.toString();
  go(window.location.pathname + (text === "" ? "" : "?" + text), { replace: true });
}

/** Starts listening; called once. */
export function startRouter(): void {
  read();
  window.addEventListener("popstate", read);
  window.addEventListener("hashchange", read);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!(link instanceof HTMLAnchorElement)) return;
    if (link.target !== "" || link.hasAttribute("download") || link.origin !== window.location.origin) return;
    if (link.pathname.startsWith("/api/")) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
  });
}

/** The parameters of `pattern` (`/runs/:id`) in `path`, or null when it does not match. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (part.startsWith(":")) {
      if (value === "") return null;
      try {
        params[part.slice(1)] = decodeURIComponent(value);
      } catch {
        return null;
      }
    } else if (part !== value) return null;
  }
  return params;
}
