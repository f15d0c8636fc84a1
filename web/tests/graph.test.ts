// The stage graph: nothing overlaps, lines go forward, and odd graphs still give a picture.
import { describe, expect, it } from "vitest";
import { ordered, place, visibleNeeds, type Vertex } from "../src/lib/graph";

const stages = (needs: Record<string, string[]>): Vertex[] =>
  Object.entries(needs).map(([key, list]) => ({ key, needs: list.map((stage) => ({ stage })) }));

const delivery = stages({
  lint: [],
  test: [],
  scan: [],
  build: ["lint", "test", "scan"],
  push: ["build"],
  staging: ["push"],
  smoke: ["staging"],
  production: ["smoke", "build"],
});

describe("place", () => {
  it("puts every stage right of what it needs, and none on another", () => {
    const graph = place(delivery);
    const at = new Map(graph.nodes.map((node) => [node.key, node]));
    for (const stage of delivery)
      for (const need of stage.needs) {
        const before = at.get(need.stage)!;
        expect(at.get(stage.key)!.x).toBeGreaterThanOrEqual(before.x + before.width);
      }
    for (const [index, one] of graph.nodes.entries())
      for (const other of graph.nodes.slice(index + 1)) {
        const apart =
          one.x + one.width <= other.x ||
          other.x + other.width <= one.x ||
          one.y + one.height <= other.y ||
          other.y + other.height <= one.y;
        expect(apart, `${one.key} and ${other.key}`).toBe(true);
      }
    for (const { x, y, width, height } of graph.nodes) {
      expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
      expect(x + width).toBeLessThanOrEqual(graph.width);
      expect(y + height).toBeLessThanOrEqual(graph.height);
    }
  });

  it("draws a line for each need that no other implies", () => {
    const lines = place(delivery).edges.map(({ from, to }) => `${from}>${to}`);
    expect(lines.sort()).toEqual([
      "build>push",
      "lint>build",
      "push>staging",
      "scan>build",
      "smoke>production",
      "staging>smoke",
      "test>build",
    ]);
  });

  it("makes do with nothing, one stage, unknown needs, a circle and a wide matrix", () => {
    expect(place([])).toMatchObject({ nodes: [], edges: [] });
    expect(place(stages({ only: ["gone"] })).edges).toEqual([]);
    expect(place(stages({ a: ["b"], b: ["a"] })).nodes).toHaveLength(2);
    const matrix = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`test (${n})`, ["lint"]]));
    expect(place(stages({ lint: [], ...matrix })).nodes).toHaveLength(61);
  });
});

it("leaves out needs that others imply", () => {
  expect(visibleNeeds(delivery.at(-1)!, delivery)).toEqual(["smoke"]);
  expect(visibleNeeds(delivery[3]!, delivery)).toEqual(["lint", "test", "scan"]);
});

describe("ordered", () => {
  it("lists a stage after its needs, whatever the order of the file", () => {
    const keys = ordered([...delivery].reverse()).map((stage) => stage.key);
    for (const stage of delivery)
      for (const need of stage.needs) expect(keys.indexOf(need.stage)).toBeLessThan(keys.indexOf(stage.key));
  });

  it("lists every stage of a circle once", () => {
    expect(
      ordered(stages({ a: ["b"], b: ["a"], c: [] }))
        .map(({ key }) => key)
        .sort(),
    ).toEqual(["a", "b", "c"]);
  });
});
