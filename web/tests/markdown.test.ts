// @vitest-environment jsdom
import { render } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";
import { safeAddress } from "../src/lib/markdown";
import Markdown from "../src/parts/Markdown.svelte";

function html(text: string): HTMLElement {
  return render(Markdown, { text }).container;
}

describe("what a step wrote", () => {
  it("is shown as what Markdown makes of it", () => {
    const shown = html(
      "# Tests\n\n- [x] **all** `a < b` pass\n- two\n\n|a|b|\n|-|-|\n|1|2|\n\n[log](https://ci.example/1)",
    );
    expect(shown.querySelector("h3")?.textContent).toBe("Tests");
    expect(shown.querySelectorAll("li")).toHaveLength(2);
    expect(shown.querySelector("code")?.textContent).toBe("a < b");
    expect(shown.querySelectorAll("td")).toHaveLength(2);
    expect(shown.querySelector("a")?.getAttribute("href")).toBe("https://ci.example/1");
  });

  it("never becomes HTML of its own", () => {
    const bad = [
      "<script>alert(1)</script>",
      '<img src=x onerror="alert(1)">',
      "[x](javascript:alert(1))",
      "![x](data:text/html,boo)",
      "a <b onclick=x>b</b> c",
      "<details><summary>s</summary>t</details>",
    ];
    for (const text of bad) {
      const shown = html(text);
      for (const element of shown.querySelectorAll("*")) {
        expect(["DIV", "P", "PRE", "CODE"]).toContain(element.tagName);
        for (const attribute of element.getAttributeNames()) expect(attribute).toBe("class");
      }
    }
    expect(html("<script>alert(1)</script>").textContent).toContain("<script>");
  });

  it("may be nested as deep as it likes", () => {
    expect(html("> ".repeat(500) + "deep").textContent).toContain("deep");
    expect(html("*a".repeat(500)).textContent).toBeTruthy();
    expect(html("[".repeat(500)).textContent).toContain("[");
  });

  it("is plain text where a paragraph is too long to look for emphasis in", () => {
    const long = "a_".repeat(50_000);
    const shown = html(`*before*\n\n${long}\n\n*after*`);
    expect(shown.querySelectorAll("em")).toHaveLength(2);
    expect(shown.textContent).toContain(long);
  });

  it("links to pages and mail only", () => {
    expect(safeAddress("https://a.example/x?y")).toBe("https://a.example/x?y");
    expect(safeAddress("mailto:a@b.example")).toBe("mailto:a@b.example");
    for (const bad of ["javascript:x", "JaVaScRiPt:x", "data:text/html,x", "/runs", "vbscript:x", ""]) {
      expect(safeAddress(bad)).toBeNull();
    }
  });
});
