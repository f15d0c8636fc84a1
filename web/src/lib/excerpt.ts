// The lines of a source file around a mistake, with the columns to underline.
import type { Span } from "../api/types";

export interface ExcerptLine {
  number: number;
  before: string;
  marked: string;
  after: string;
}

/** The marked lines with `around` more on each side. Columns count characters from 1. */
export function excerpt(text: string, span: Span, around = 1): ExcerptLine[] {
  const lines = text.split(/\r?\n/);
  const first = Math.max(1, span.line - around);
  const last = Math.min(lines.length, Math.max(span.end_line, span.line) + around);
  const result: ExcerptLine[] = [];
  for (let number = first; number <= last; number += 1) {
    const characters = [...(lines[number - 1] ?? "")];
    let from = characters.length;
    let to = characters.length;
    if (number >= span.line && number <= span.end_line) {
      const indent = characters.findIndex((character) => character.trim() !== "");
      from = number === span.line ? span.column - 1 : Math.max(0, indent);
      to = number === span.end_line ? span.end_column - 1 : characters.length;
      if (number === span.line && to <= from) to = from + 1; // a place between characters
    }
    result.push({
      number,
      before: characters.slice(0, from).join(""),
      marked: characters.slice(from, to).join("") || (to > from ? " " : ""),
      after: characters.slice(to).join(""),
    });
  }
  return result;
}
