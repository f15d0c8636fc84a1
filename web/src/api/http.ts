// One place that talks HTTP: JSON in and out, errors with the server's own words, a signal when the session ended.

const PREFIX = "/api/v1";

/** What went wrong, in words for people. `status` 0: the server could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

let onSignedOut: () => void = () => {};

/** Called when the server says 401 to anything but the log-in itself. */
export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

/** The server's error body as an `ApiError`; falls back to what the status alone says. */
export function errorFrom(status: number, body: string): ApiError {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null && "error" in parsed) {
      const error = (parsed as { error: { code?: unknown; message?: unknown } }).error;
      if (typeof error?.message === "string" && error.message !== "")
        return new ApiError(status, String(error.code ?? status), error.message);
    }
  } catch {
    // Not JSON: a proxy's page, or nothing.
  }
  return new ApiError(status, String(status), describeStatus(status));
}

function describeStatus(status: number): string {
  switch (status) {
    case 401:
      return "You are not logged in, or the session has ended.";
    case 403:
      return "Your role does not allow this.";
    case 404:
      return "There is nothing here. It may have been deleted.";
    case 409:
      return "This was refused because something changed in the meantime. Look again and retry.";
    case 413:
      return "That is too large for the server.";
    case 429:
      return "Too many requests. Wait a moment.";
    case 502:
    case 503:
    case 504:
      return "The server or its database is away for the moment. It is safe to try again.";
    default:
      return status >= 500
        ? "The server failed. Its log says why."
        : `The server answered ${status}, which was not expected here.`;
  }
}

/** Sends a request; resolves for 2xx, throws `ApiError` for the rest. */
export async function send(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  headers: Record<string, string> = {},
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(PREFIX + path, {
      method,
      credentials: "same-origin",
      headers: body === undefined ? headers : { ...headers, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(
      0,
      "unreachable",
      "The server cannot be reached. Is it running, and is the network up?",
    );
  }
  if (response.ok) return response;
  const error = errorFrom(response.status, await response.text().catch(() => ""));
  if (response.status === 401 && path !== "/session") onSignedOut();
  throw error;
}

/** As `send`, with the JSON of the answer. */
export async function json<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const response = await send(method, path, body, signal);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** `?a=1&b=2` of what is set; empty when nothing is. */
export function query(params: Record<string, string | number | null | undefined>): string {
  const pairs = Object.entries(params).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  if (pairs.length === 0) return "";
  return "?" + new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
}

/** The absolute path of an API resource, for links and event streams. */
export function href(path: string): string {
  return PREFIX + path;
}

/** The words to show for anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
