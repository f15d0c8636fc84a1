// A step's log as numbered lines, over an API that knows only byte offsets.
//
// The log is read in pages of PAGE bytes. A few pages are kept (bounded), the rest is fetched again when
// somebody looks there. What is kept for every page ever seen is one number: how many newlines come before
// it ("anchor"), so that a line number leads to a page without reading from the start again. Lines that
// begin in a page belong to it, even when they end in a later one.
//
// Invariants: `bytes` only grows; `newlines` counts the newlines in exactly the first `bytes` bytes; an anchor
// never changes once it is known. Nothing here touches the page, so it is tested without one.

export const PAGE = 256 * 1024;
const PAGES_KEPT = 48; // 12 MiB
const PAGES_AT_ONCE = 8;
/** Longer lines are cut for the page; the download has all of them. */
export const LINE_BYTES = 16 * 1024;

/** Bytes from `offset`, at most `limit`; fewer only at the log's end. */
export type Read = (offset: number, limit: number, signal?: AbortSignal) => Promise<Uint8Array>;

interface Page {
  bytes: Uint8Array;
  /** Positions of the newlines in `bytes`. */
  breaks: number[];
}

export interface Hit {
  /** From 0. */
  line: number;
  /** Character positions in the line without escape sequences. */
  start: number;
  end: number;
}

export class LogBook {
  /** How many bytes of log there are, as far as is known. */
  bytes: number;
  /** How many newlines are in them. */
  newlines: number;
  private readonly pages = new Map<number, Page>();
  private readonly anchors = new Map<number, number>([[0, 0]]);
  private readonly loading = new Map<number, Promise<void>>();
  private endsOpen = false;

  constructor(
    private readonly read: Read,
    bytes: number,
    newlines: number,
  ) {
    this.bytes = bytes;
    this.newlines = newlines;
    this.endsOpen = bytes > 0 && newlines === 0;
  }

  /** How many lines there are; a last line without its newline is one. */
  get lineCount(): number {
    return this.newlines + (this.endsOpen ? 1 : 0);
  }

  /** Takes bytes that arrived live. Returns false when they do not continue what is here: then `grow` is needed. */
  append(offset: number, chunk: Uint8Array): boolean {
    if (offset > this.bytes) return false;
    const fresh = chunk.subarray(this.bytes - offset);
    let at = 0;
    while (at < fresh.length) {
      const number = Math.floor(this.bytes / PAGE);
      const start = number * PAGE;
      const take = Math.min(fresh.length - at, start + PAGE - this.bytes);
      const part = fresh.subarray(at, at + take);
      const page = this.bytes === start ? { bytes: new Uint8Array(0), breaks: [] } : this.pages.get(number);
      if (this.bytes === start) this.anchors.set(number, this.newlines);
      // A page that is not kept, or only in part, is fetched when it is looked at.
      if (page && start + page.bytes.length === this.bytes) this.keep(number, join(page, part));
      this.newlines += breaksOf(part, 0).length;
      this.bytes += take;
      at += take;
    }
    if (fresh.length > 0) this.endsOpen = fresh[fresh.length - 1] !== 10;
    return true;
  }

  /** Reads up to `end` what was missed. */
  async grow(end: number, signal?: AbortSignal): Promise<void> {
    while (this.bytes < end) {
      const offset = this.bytes;
      const chunk = await this.read(offset, Math.min(end - offset, PAGE * PAGES_AT_ONCE), signal);
      if (chunk.length === 0) return;
      if (this.bytes === offset) this.append(offset, chunk);
    }
  }

  /** Loads the last page; after it `lineCount` is exact. */
  async openEnd(signal?: AbortSignal): Promise<void> {
    if (this.bytes === 0) return;
    await this.load(Math.floor((this.bytes - 1) / PAGE), 1, signal);
  }

  /** The lines from `from` to before `to`; a line that is not at hand is null. */
  peek(from: number, to: number): (string | null)[] {
    const result: (string | null)[] = [];
    for (let line = from; line < Math.min(to, this.lineCount); line += 1) result.push(this.peekLine(line));
    return result;
  }

  /** Makes `peek` of these lines give text. `progress` is told from 0 to 1 while a far place is sought. */
  async fetchLines(
    from: number,
    to: number,
    signal?: AbortSignal,
    progress?: (done: number) => void,
  ): Promise<void> {
    let line = Math.max(0, from);
    const end = Math.min(to, this.lineCount);
    while (line < end) {
      const number = await this.seek(line, signal, progress);
      await this.load(number, 1, signal);
      const page = this.pages.get(number);
      if (page === undefined) return;
      const last = (this.anchors.get(number) ?? 0) + page.breaks.length;
      // The last line that begins here may go on in the next page.
      if (last >= line && this.peekLine(last) === null && (number + 1) * PAGE < this.bytes)
        await this.load(number + 1, 1, signal);
      if (last < line) return;
      line = last + 1;
    }
  }

  /** Goes through all lines that hold `text`, whatever its case, in order. Stops by itself after `limit` hits. */
  async search(
    text: string,
    strip: (text: string) => string,
    found: (hits: Hit[], done: number) => void,
    limit: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const wanted = text.toLowerCase();
    const decoder = new TextDecoder();
    let rest = "";
    let line = 0;
    let total = 0;
    for (let offset = 0; offset < this.bytes;) {
      const chunk = await this.read(offset, Math.min(this.bytes - offset, PAGE * PAGES_AT_ONCE), signal);
      if (chunk.length === 0) return;
      this.note(offset, line, rest, chunk);
      offset += chunk.length;
      const block = rest + decoder.decode(chunk, { stream: offset < this.bytes });
      const cut = offset < this.bytes ? block.lastIndexOf("\n") + 1 : block.length;
      rest = block.slice(cut);
      const whole = block.slice(0, cut);
      const hits = hitsIn(strip(whole), wanted, line, limit - total);
      total += hits.length;
      line += countBreaks(whole);
      found(hits, offset / this.bytes);
      if (total >= limit) return;
    }
  }

  // Anchors that a pass from the start reveals for free. `line` newlines come before `rest`, which has none.
  private note(offset: number, line: number, rest: string, chunk: Uint8Array): void {
    if (rest.includes("\n") || offset % PAGE !== 0) return;
    let before = line;
    for (let start = 0; start < chunk.length; start += PAGE) {
      this.anchors.set((offset + start) / PAGE, before);
      before += breaksOf(chunk.subarray(start, start + PAGE), 0).length;
    }
  }

  /** The page in which a line begins, found from the nearest anchors. */
  private async seek(line: number, signal?: AbortSignal, progress?: (done: number) => void): Promise<number> {
    let first: number | null = null;
    while (line > 0) {
      const lastPage = Math.max(0, Math.ceil(this.bytes / PAGE) - 1); // it grows
      let low = 0;
      let high = lastPage + 1;
      let highStart = this.newlines + 1;
      for (const [number, start] of this.anchors) {
        if ((start < line || number === 0) && number > low) low = number;
        if (start >= line && number > 0 && number < high) {
          high = number;
          highStart = start;
        }
      }
      if (high - low <= 1) return low;
      const lowStart = this.anchors.get(low) ?? 0;
      first ??= high - low;
      progress?.(1 - (high - low) / first);
      // From the nearer side. The upper side needs a page's own count to give the anchor below it.
      if (line - lowStart <= highStart - line || high > lastPage) {
        const ahead = high > lastPage && line - lowStart > highStart - line;
        if (ahead && !this.anchors.has(lastPage)) await this.load(lastPage, 1, signal);
        else await this.scan(low, Math.min(PAGES_AT_ONCE, high - low), signal);
      } else {
        const from = Math.max(low, high - PAGES_AT_ONCE);
        await this.scanBack(from, high, highStart, signal);
      }
    }
    return 0;
  }

  private async scan(from: number, count: number, signal?: AbortSignal): Promise<void> {
    let before = this.anchors.get(from) ?? 0;
    const chunk = await this.read(from * PAGE, count * PAGE, signal);
    if (chunk.length === 0) throw new Error("The log ended before the line that was looked for.");
    for (let start = 0; start < chunk.length; start += PAGE) {
      const part = chunk.subarray(start, start + PAGE);
      before += breaksOf(part, 0).length;
      if (part.length === PAGE) this.anchors.set(from + start / PAGE + 1, before);
    }
  }

  private async scanBack(from: number, to: number, startOfTo: number, signal?: AbortSignal): Promise<void> {
    const chunk = await this.read(from * PAGE, (to - from) * PAGE, signal);
    if (chunk.length < (to - from) * PAGE) throw new Error("The log is shorter than the server said.");
    let after = startOfTo;
    for (let number = to - 1; number >= from; number -= 1) {
      const start = (number - from) * PAGE;
      after -= breaksOf(chunk.subarray(start, start + PAGE), 0).length;
      this.anchors.set(number, after);
    }
  }

  private async load(number: number, tries: number, signal?: AbortSignal): Promise<void> {
    const wanted = Math.min(this.bytes - number * PAGE, PAGE);
    const page = this.pages.get(number);
    if (page && page.bytes.length >= wanted) {
      this.keep(number, page);
      return;
    }
    const running = this.loading.get(number);
    if (running) {
      await running;
      if (tries > 0) await this.load(number, tries - 1, signal);
      return;
    }
    const have = page?.bytes.length ?? 0;
    const work = this.read(number * PAGE + have, wanted - have, signal).then((chunk) => {
      const now = this.pages.get(number) ?? { bytes: new Uint8Array(0), breaks: [] };
      if (now.bytes.length !== have) return; // a live chunk came in between
      const whole = join(now, chunk);
      this.keep(number, whole);
      const end = number * PAGE + whole.bytes.length;
      if (end >= this.bytes) {
        this.endsOpen = whole.bytes[whole.bytes.length - 1] !== 10;
        if (end === this.bytes) this.anchors.set(number, this.newlines - whole.breaks.length);
      }
    });
    this.loading.set(number, work);
    try {
      await work;
    } finally {
      this.loading.delete(number);
    }
  }

  private keep(number: number, page: Page): void {
    this.pages.delete(number);
    this.pages.set(number, page);
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= PAGES_KEPT) break;
      this.pages.delete(oldest);
    }
  }

  private pageOf(line: number): number | null {
    for (const [number, page] of this.pages) {
      const start = this.anchors.get(number);
      if (start === undefined) continue;
      if ((line > start || (line === 0 && number === 0)) && line <= start + page.breaks.length) return number;
    }
    return null;
  }

  private peekLine(line: number): string | null {
    const number = this.pageOf(line);
    if (number === null) return null;
    const page = this.pages.get(number);
    if (page === undefined) return null;
    const index = line - (this.anchors.get(number) ?? 0); // the line begins after the page's break number `index`
    const begin = index === 0 ? 0 : (page.breaks[index - 1] ?? 0) + 1;
    const end = page.breaks[index];
    if (end !== undefined) return decode([page.bytes.subarray(begin, end)]);
    if (page.bytes.length < Math.min(PAGE, this.bytes - number * PAGE)) return null;
    const parts = [page.bytes.subarray(begin)];
    let length = page.bytes.length - begin;
    for (let next = number + 1; next * PAGE < this.bytes && length <= LINE_BYTES; next += 1) {
      const more = this.pages.get(next);
      if (more === undefined) return null;
      const stop = more.breaks[0];
      parts.push(more.bytes.subarray(0, stop));
      length += stop ?? more.bytes.length;
      if (stop !== undefined) break;
    }
    return decode(parts);
  }
}

function breaksOf(bytes: Uint8Array, from: number): number[] {
  const found: number[] = [];
  for (let at = bytes.indexOf(10, from); at !== -1; at = bytes.indexOf(10, at + 1)) found.push(at);
  return found;
}

function join(page: Page, more: Uint8Array): Page {
  const bytes = new Uint8Array(page.bytes.length + more.length);
  bytes.set(page.bytes);
  bytes.set(more, page.bytes.length);
  return { bytes, breaks: page.breaks.concat(breaksOf(more, 0).map((at) => at + page.bytes.length)) };
}

function decode(parts: Uint8Array[]): string {
  const decoder = new TextDecoder();
  let text = "";
  let left = LINE_BYTES;
  for (const part of parts) {
    text += decoder.decode(part.subarray(0, left), { stream: true });
    left -= part.length;
    if (left < 0) return text + " … (cut here; the download has the whole line)";
  }
  return text + decoder.decode();
}

function countBreaks(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

function hitsIn(text: string, wanted: string, firstLine: number, limit: number): Hit[] {
  const hits: Hit[] = [];
  const lower = text.toLowerCase();
  let line = firstLine;
  let lineStart = 0;
  for (let at = lower.indexOf(wanted); at !== -1 && hits.length < limit; at = lower.indexOf(wanted, at + 1)) {
    for (
      let next = lower.indexOf("\n", lineStart);
      next !== -1 && next < at;
      next = lower.indexOf("\n", lineStart)
    ) {
      line += 1;
      lineStart = next + 1;
    }
    hits.push({ line, start: at - lineStart, end: at - lineStart + wanted.length });
  }
  return hits;
}
