// Who is logged in. Everything else on the page waits until this is known.
import { startEvents, stopEvents } from "../api/events.svelte";
import { ApiError, messageOf, whenSignedOut } from "../api/http";
import { session as calls } from "../api/calls";
import type { User } from "../api/types";
import { atLeast } from "../lib/status";

export const session = $state<{ user: User | null; known: boolean; problem: string | null }>({
  user: null,
  known: false,
  problem: null,
});

function begin(user: User): void {
  session.user = user;
  session.known = true;
  session.problem = null;
  startEvents();
}

/** Asks the server who we are. */
export async function resume(): Promise<void> {
  session.problem = null;
  try {
    begin((await calls.get()).user);
  } catch (error) {
    session.user = null;
    if (error instanceof ApiError && error.status === 401) session.known = true;
    else session.problem = messageOf(error);
  }
}

export async function logIn(username: string, password: string): Promise<void> {
  begin((await calls.create(username, password)).user);
}

export async function logOut(): Promise<void> {
  await calls.end();
  ended();
}

function ended(): void {
  session.user = null;
  session.known = true;
  stopEvents();
}

/** Whether the person's role includes `role`. */
export function may(role: string): boolean {
  return atLeast(session.user?.role, role);
}

whenSignedOut(ended);
