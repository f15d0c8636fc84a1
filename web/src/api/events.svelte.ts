// The live stream of what happens to runs, shared by the whole page: one connection, however many parts listen.
//
// The browser resumes a dropped stream by Last-Event-ID by itself; when it gives up (the server answered with an
// error) we connect again with `?after=`, slower each time. A hidden tab lets its stream go, because a browser
// allows only six connections to a server for all tabs together, and catches up when it is looked at.
import { href, query } from "./http";
import type { RunEvent } from "./types";

type Listener = (event: RunEvent | null) => void;

/** `live` once connected; `away` when the stream has been down long enough that people should know. */
export const stream = $state<{ state: "off" | "connecting" | "live" | "away" }>({ state: "off" });

const listeners = new Set<Listener>();
let source: EventSource | null = null;
let last: number | null = null;
let wait = 500;
let retry: ReturnType<typeof setTimeout> | undefined;
let patience: ReturnType<typeof setTimeout> | undefined;
let wanted = false;
let connectedBefore = false;

/** Calls back for each event; with null when events may have been missed, so that everything is loaded again. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(event: RunEvent | null): void {
  for (const listener of [...listeners]) listener(event);
}

function connect(): void {
  clearTimeout(retry);
  source?.close();
  source = new EventSource(href("/events") + query({ after: last }));
  if (stream.state === "off") stream.state = "connecting";
  source.onopen = () => {
    wait = 500;
    clearTimeout(patience);
    patience = undefined;
    stream.state = "live";
    if (connectedBefore) tell(null);
    connectedBefore = true;
  };
  const take = (message: MessageEvent<string>) => {
    try {
      const event = JSON.parse(message.data) as RunEvent;
      last = Math.max(last ?? 0, event.seq);
      tell(event);
    } catch {
      tell(null);
    }
  };
  source.addEventListener("event", take);
  source.onmessage = take;
  source.onerror = () => {
    // Short breaks are nobody's business.
    patience ??= setTimeout(() => (stream.state = "away"), 2500);
    if (source?.readyState === EventSource.CLOSED) {
      clearTimeout(retry);
      retry = setTimeout(connect, wait);
      wait = Math.min(wait * 2, 10_000);
    }
  };
}

function disconnect(): void {
  clearTimeout(retry);
  clearTimeout(patience);
  patience = undefined;
  source?.close();
  source = null;
  stream.state = "off";
}

/** Starts the stream after log-in. */
export function startEvents(): void {
  if (wanted) return;
  wanted = true;
  connect();
}

/** Ends it after log-out. */
export function stopEvents(): void {
  wanted = false;
  connectedBefore = false;
  last = null;
  disconnect();
}

/** Tries again now, when a person asks for it. */
export function retryEvents(): void {
  if (wanted) connect();
}

let hidden: ReturnType<typeof setTimeout> | undefined;
document.addEventListener("visibilitychange", () => {
  if (!wanted) return;
  clearTimeout(hidden);
  if (document.visibilityState === "hidden") hidden = setTimeout(disconnect, 30_000);
  else if (source === null) connect();
});

/** Runs `action` at most once per `ms`, the last time after the last call. */
export function throttled(action: () => void, ms: number): { call: () => void; stop: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = false;
  const fire = () => {
    due = false;
    action();
    timer = setTimeout(() => {
      timer = undefined;
      if (due) fire();
    }, ms);
  };
  return {
    call: () => {
      if (timer === undefined) fire();
      else due = true;
    },
    stop: () => clearTimeout(timer),
  };
}

/** While the calling component lives: reloads after events that `about` accepts, and after a gap. */
export function reloadOn(about: (event: RunEvent) => boolean, reload: () => unknown, ms = 400): void {
  $effect(() => {
    const gentle = throttled(() => void reload(), ms);
    const stop = listen((event) => {
      if (event === null || about(event)) gentle.call();
    });
    return () => {
      stop();
      gentle.stop();
    };
  });
}
