// A search through a whole log: hits arrive while the log is read, the first one is shown at once.
import type { Hit, LogBook } from "./logbook";

const LIMIT = 5000;

export class LogSearch {
  text = $state("");
  private hits = $state.raw<Hit[]>([]);
  private index = $state(0);
  private done = $state<number | null>(null);
  private failed = $state(false);
  private byLine = $derived.by(() => {
    const map = new Map<number, Hit[]>();
    for (const hit of this.hits) {
      const list = map.get(hit.line);
      if (list) list.push(hit);
      else map.set(hit.line, [hit]);
    }
    return map;
  });
  private controller: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly book: LogBook,
    private readonly strip: (text: string) => string,
  ) {}

  get count(): number {
    return this.hits.length;
  }

  get current(): Hit | undefined {
    return this.hits[this.index];
  }

  /** What to say beside the search field. */
  get summary(): string {
    if (this.failed) return "failed, try again";
    const searching = this.done !== null && this.done < 1 ? `, ${Math.round(this.done * 100)} %` : "";
    if (this.hits.length === 0)
      return searching === "" && this.done !== null ? "no match" : `searching${searching}`;
    const all = this.hits.length >= LIMIT ? `${LIMIT}+` : String(this.hits.length);
    return `${this.index + 1} of ${all}${searching}`;
  }

  hitsOf(line: number): Hit[] {
    return this.byLine.get(line) ?? [];
  }

  /** Searches once typing has paused. */
  soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), 220);
  }

  run(): void {
    this.stop();
    this.hits = [];
    this.index = 0;
    this.failed = false;
    this.done = null;
    if (this.text === "") return;
    const mine = new AbortController();
    this.controller = mine;
    this.done = 0;
    this.book
      .search(
        this.text,
        this.strip,
        (hits, done) => {
          if (mine.signal.aborted) return;
          if (hits.length > 0) this.hits = this.hits.concat(hits);
          this.done = done;
        },
        LIMIT,
        mine.signal,
      )
      .then(() => {
        if (!mine.signal.aborted) this.done = 1;
      })
      .catch(() => {
        if (!mine.signal.aborted) this.failed = true;
      });
  }

  /** To the next (1) or previous (-1) hit, round the ends. */
  step(by: number): void {
    const count = this.hits.length;
    if (count > 0) this.index = (this.index + by + count) % count;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.controller?.abort();
    this.controller = null;
  }
}
