// Small words about numbers, commits, images and refs.

/** `1 run`, `3 runs`. */
export function count(number: number, word: string, plural = word + "s"): string {
  return `${number.toLocaleString("en-GB")} ${number === 1 ? word : plural}`;
}

/** `812 B`, `4.2 kB`, `1.3 GB`, in thousands. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 99.5 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

/** The first eight digits of a commit. */
export function shortSha(sha: string): string {
  return sha.slice(0, 8);
}

/** `main` of `refs/heads/main`. */
export function shortRef(reference: string): string {
  return reference.replace(/^refs\/(heads|tags)\//, "").replace(/^refs\/pull\/(\d+)\/.*$/, "#$1");
}

/** The parts of `registry/repository:tag@sha256:digest` that people tell apart. */
export function image(reference: string): { name: string; digest: string | null } {
  const [name = "", digest] = reference.split("@");
  const last = name.slice(name.lastIndexOf("/") + 1);
  return { name: last, digest: digest ? digest.replace(/^sha256:/, "").slice(0, 12) : null };
}

/** `release manager` of `release_manager`. */
export function words(value: string): string {
  return value.replaceAll("_", " ");
}

/** With a capital first letter. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `anna`, `anna and ben`, `anna, ben and cleo`. */
export function listed(names: string[]): string {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/** A sentence's parts: `code` is what stands between backticks. A backtick without a partner stays. */
export function quoted(text: string): { text: string; code: boolean }[] {
  const parts = text.split("`");
  if (parts.length % 2 === 0) parts.push(`${parts.splice(-2, 1)[0]}\`${parts.pop()}`);
  return parts
    .map((part, index) => ({ text: part, code: index % 2 === 1 }))
    .filter((part) => part.text !== "");
}
