// Values that people type for a manual run's inputs.

/** `true` and `3` become what they look like, as inputs are typed; quotes keep them text. */
export function typed(value: string): string | number | boolean {
  const text = value.trim();
  const quoted = /^"(.*)"$/s.exec(text);
  if (quoted) return quoted[1] ?? "";
  if (text === "true") return true;
  if (text === "false") return false;
  if (/^-?(0|[1-9]\d{0,14})(\.\d+)?$/.test(text)) return Number(text);
  return value;
}
