// Data of a page: loaded, kept while it is loaded again, with its error beside it. Reloads asked for while one is
// under way become one more afterwards, so a burst of live events costs two requests and the last one wins.
import { messageOf } from "../api/http";

export interface Resource<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly message: string | null;
  readonly loading: boolean;
  reload: () => Promise<void>;
  set: (data: T) => void;
}

/** To be called while a component starts. `load` is called again whenever what it reads before its first await changes. */
export function resource<T>(load: (signal: AbortSignal) => Promise<T>): Resource<T> {
  let data = $state.raw<T>();
  let error = $state.raw<unknown>(null);
  let loading = $state(true);
  let controller: AbortController | null = null;
  let running: Promise<void> | null = null;
  let again = false;
  let turn = 0;

  async function once(): Promise<void> {
    const mine = new AbortController();
    controller = mine;
    loading = true;
    try {
      const result = await load(mine.signal);
      if (mine.signal.aborted) return;
      data = result;
      error = null;
    } catch (problem) {
      if (!mine.signal.aborted) error = problem;
    } finally {
      if (controller === mine) loading = false;
    }
  }

  async function begin(): Promise<void> {
    const mine = ++turn;
    do {
      again = false;
      await once();
    } while (again && mine === turn);
    if (mine === turn) running = null;
  }

  function reload(): Promise<void> {
    if (running) again = true;
    else running = begin();
    return running;
  }

  $effect(() => {
    // Reads inside `load` before its first await are what this depends on.
    running = begin();
    return () => {
      turn += 1;
      running = null;
      controller?.abort();
    };
  });

  return {
    get data() {
      return data;
    },
    get error() {
      return error;
    },
    get message() {
      return error === null ? null : messageOf(error);
    },
    get loading() {
      return loading;
    },
    reload,
    set: (value) => (data = value),
  };
}
