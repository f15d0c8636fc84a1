// @vitest-environment jsdom
// Data of a page: loaded once, again on demand, bursts made one, errors beside what was there.
import { flushSync } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/http";
import { resource, type Resource } from "../src/lib/resource.svelte";

/** A load that ends when told to. */
function loads() {
  const waiting: {
    resolve: (value: string) => void;
    reject: (error: unknown) => void;
    signal: AbortSignal;
  }[] = [];
  const load = vi.fn(
    (signal: AbortSignal) =>
      new Promise<string>((resolve, reject) => waiting.push({ resolve, reject, signal })),
  );
  return { waiting, load };
}

let stop = () => {};
function start(load: (signal: AbortSignal) => Promise<string>): Resource<string> {
  let made!: Resource<string>;
  stop = $effect.root(() => {
    made = resource(load);
  });
  flushSync();
  return made;
}
afterEach(() => stop());

const settled = () => new Promise((resolve) => setTimeout(resolve));

describe("resource", () => {
  it("loads by itself", async () => {
    const { waiting, load } = loads();
    const one = start(load);
    expect([one.loading, one.data]).toEqual([true, undefined]);
    waiting[0]!.resolve("a");
    await settled();
    expect([one.loading, one.data, one.error]).toEqual([false, "a", null]);
  });

  it("makes one reload of many that are asked for meanwhile", async () => {
    const { waiting, load } = loads();
    const one = start(load);
    const asked = [one.reload(), one.reload(), one.reload()];
    waiting[0]!.resolve("a");
    await settled();
    expect(load).toHaveBeenCalledTimes(2);
    waiting[1]!.resolve("b");
    await Promise.all(asked);
    expect(one.data).toBe("b");
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("keeps what it has when a reload fails, and says why", async () => {
    const { waiting, load } = loads();
    const one = start(load);
    waiting[0]!.resolve("a");
    await settled();
    const again = one.reload();
    waiting[1]!.reject(new ApiError(503, "away", "The server is away."));
    await again;
    expect([one.data, one.message, one.loading]).toEqual(["a", "The server is away.", false]);
    const third = one.reload();
    waiting[2]!.resolve("b");
    await third;
    expect([one.data, one.message]).toEqual(["b", null]);
  });

  it("loads anew when what it depends on changes, and forgets the older answer", async () => {
    let id = $state("1");
    const { waiting, load } = loads();
    const seen: string[] = [];
    const one = start((signal) => {
      seen.push(id);
      return load(signal);
    });
    id = "2";
    flushSync();
    expect(seen).toEqual(["1", "2"]);
    expect(waiting[0]!.signal.aborted).toBe(true);
    waiting[1]!.resolve("new");
    waiting[0]!.resolve("old");
    await settled();
    expect(one.data).toBe("new");
  });
});
