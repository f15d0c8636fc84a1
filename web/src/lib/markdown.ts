// Markdown that somebody's step wrote: a tree of what it says, never HTML. What shows it makes elements of the tree, so
// nothing that was written can become more than text, emphasis, lists, tables and links.

import { Lexer, type MarkedToken, type Token } from "marked";

/** A longer text is shown as it is. */
const LONGEST = 200_000;
/** What is nested deeper is shown as it is. */
export const DEEPEST = 12;
/** Longer paragraphs (cells, headings) are one text each: looking for emphasis takes quadratic time. */
const LONGEST_PARAGRAPH = 4_000;

/** The blocks of a text; one block of plain text where it is too long, or cannot be read. */
export function blocks(text: string): MarkedToken[] {
  const plain = [{ type: "text", raw: text, text, escaped: false }] as MarkedToken[];
  if (text.length > LONGEST) return plain;
  try {
    const lexer = new Lexer({ gfm: true });
    lexer.blockTokens(text.replace(/\r\n?/g, "\n"), lexer.tokens);
    for (const { src, tokens } of lexer.inlineQueue) {
      if (src.length <= LONGEST_PARAGRAPH) lexer.inlineTokens(src, tokens);
      else tokens.push({ type: "text", raw: src, text: src, escaped: false });
    }
    return known(lexer.tokens);
  } catch {
    return plain;
  }
}

/** Tokens as their kinds tell them apart. Without extensions there are no others. */
export function known(tokens: Token[] | undefined): MarkedToken[] {
  return (tokens ?? []) as MarkedToken[];
}

/** The address of a link that may be followed: a page or a mail, nothing that runs. */
export function safeAddress(address: string): string | null {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** Text as marked hands it on, with the few references that it leaves in it. */
export function unescaped(text: string): string {
  const names: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => names[name] ?? "");
}
