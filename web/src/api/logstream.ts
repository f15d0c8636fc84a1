// A step's log as it grows: the stream's chunks go into the log book; whatever does not fit is read again as bytes.
//
// Races: a chunk may repeat bytes that are known (after a reconnect) or come after a gap; `LogBook.append` cuts the
// one and refuses the other, and then the range is read. Text that was not UTF-8 changed its length on the way,
// which shows in the chunk's end offset, so those bytes are read as they are, too.
import { logs } from "./calls";
import type { LogEvent } from "./types";
import type { LogBook } from "../lib/logbook";

/** Follows until the step has ended or the returned function is called. */
export function followLog(
  attempt: string,
  step: number,
  book: LogBook,
  changed: () => void,
  ended: () => void,
): () => void {
  const stop = new AbortController();
  const encoder = new TextEncoder();
  let source: EventSource | null = null;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let wait = 500;
  let order: Promise<unknown> = Promise.resolve();

  function take(message: MessageEvent<string>): void {
    order = order
      .then(async () => {
        const event = JSON.parse(message.data) as LogEvent;
        const bytes = encoder.encode(event.text);
        const end = message.lastEventId === "" ? event.offset + bytes.length : Number(message.lastEventId);
        const exact = event.offset + bytes.length === end && !event.text.includes("\ufffd");
        if (!(exact && book.append(event.offset, bytes))) await book.grow(end, stop.signal);
        changed();
      })
      .catch((error: unknown) => {
        if (!stop.signal.aborted) console.warn("log stream:", error);
      });
  }

  function connect(): void {
    source = new EventSource(logs.streamUrl(attempt, step, book.bytes));
    source.onopen = () => (wait = 500);
    source.onmessage = take;
    source.addEventListener("log", take);
    source.addEventListener("end", () => {
      source?.close();
      void order.then(ended);
    });
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      retry = setTimeout(connect, wait);
      wait = Math.min(wait * 2, 10_000);
    };
  }

  connect();
  return () => {
    stop.abort();
    clearTimeout(retry);
    source?.close();
  };
}
