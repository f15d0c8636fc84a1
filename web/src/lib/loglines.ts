// Words that mark where a failed log goes wrong, and the addresses of lines (`test/2:L12-L14`).

const ERROR =
  /(^|[^\w-])(error|errors|failed|failure|fatal|panic|panicked|exception|traceback|assertionerror|not ok|denied|refused|unhealthy)(?![\w-])|^E\s{2,}|✗|✘|❌/i;
const HARMLESS = /\b(0|no) (error|failure)s?\b|\b(0|no) failed\b|failed[=:] ?0\b|errors?[=:] ?0\b/i;

/** The index of the first line that reads like an error, or -1. */
export function firstError(lines: string[]): number {
  return lines.findIndex((line) => ERROR.test(line) && !HARMLESS.test(line));
}

/** A place in a run's logs. Lines count from 1. */
export interface Place {
  stage: string;
  step: number | null;
  /** The attempt's number, when it is not the last. */
  attempt: number | null;
  from: number | null;
  to: number | null;
}

/** Reads `stage`, `stage/2`, `stage/2:L12`, `stage/2:L12-L14`, with `stage@1/2` for the first attempt. */
export function parsePlace(hash: string): Place | null {
  const match = /^(.+?)(?:@(\d+))?(?:\/(\d+))?(?::L(\d+)(?:-L(\d+))?)?$/.exec(hash);
  if (!match?.[1]) return null;
  const number = (text: string | undefined) => (text === undefined ? null : Number(text));
  return {
    stage: match[1],
    attempt: number(match[2]),
    step: number(match[3]),
    from: number(match[4]),
    to: number(match[5]) ?? number(match[4]),
  };
}

/** The reverse of `parsePlace`. */
export function formatPlace(place: Place): string {
  let text = place.stage;
  if (place.attempt !== null) text += `@${place.attempt}`;
  if (place.step !== null) text += `/${place.step}`;
  if (place.from !== null) text += `:L${place.from}`;
  if (place.from !== null && place.to !== null && place.to !== place.from) text += `-L${place.to}`;
  return text;
}
