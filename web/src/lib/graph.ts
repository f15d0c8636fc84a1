// Where the stage graph's boxes and lines are: dagre's layered layout, left to right, as plain numbers.
import { graphlib, layout } from "@dagrejs/dagre";

export interface GraphNode {
  key: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface GraphEdge {
  from: string;
  to: string;
  /** An SVG path. */
  path: string;
}

export interface GraphLayout {
  width: number;
  height: number;
  nodes: GraphNode[];
  edges: GraphEdge[];
}

interface Point {
  x: number;
  y: number;
}

interface Box extends Point {
  width: number;
  height: number;
}

export interface Vertex {
  key: string;
  needs: { stage: string }[];
}

export const NODE_HEIGHT = 52;
const RANK_GAP = 20;

/** How wide a stage's box is: enough for its name and for what is below it ("1m 30s · failed"), within limits. */
export function widthOf(key: string): number {
  return Math.round(Math.min(264, Math.max(138, key.length * 8.3 + 54)));
}

/** Lays the stages out; unknown needs are ignored, so a page never fails over a graph. */
export function place(stages: Vertex[]): GraphLayout {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 12, ranksep: RANK_GAP, marginx: 2, marginy: 2 });
  graph.setDefaultEdgeLabel(() => ({}));
  const keys = new Set(stages.map((stage) => stage.key));
  const widths = columnWidths(stages);
  for (const { key } of stages) graph.setNode(key, { width: widths.get(key), height: NODE_HEIGHT });
  for (const stage of stages) {
    for (const need of visibleNeeds(stage, stages)) if (keys.has(need)) graph.setEdge(need, stage.key);
  }
  layout(graph);
  const nodes = stages.map((stage) => {
    const { x, y, width, height } = graph.node(stage.key) as Box;
    return { key: stage.key, x: x - width / 2, y: y - height / 2, width, height };
  });
  const edges = graph.edges().map(({ v, w }) => {
    const { points } = graph.edge(v, w) as { points: Point[] };
    const from = graph.node(v) as Box;
    const to = graph.node(w) as Box;
    const start = from.x + from.width / 2;
    const end = to.x - to.width / 2;
    // Lines leave at the right and arrive at the left; bends around the stages between are kept.
    const bends = end - start <= 2 * RANK_GAP ? [] : points.slice(1, -1);
    const between = bends.filter(({ x }) => x > start && x < end);
    return { from: v, to: w, path: smooth([{ x: start, y: from.y }, ...between, { x: end, y: to.y }]) };
  });
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return { width: Math.ceil(width) || 0, height: Math.ceil(height) || 0, nodes, edges };
}

/** One width for all stages that are equally far from the start, so that columns look like columns. */
function columnWidths(stages: Vertex[]): Map<string, number> {
  const depths = new Map<string, number>();
  const widest = new Map<number, number>();
  for (const stage of ordered(stages)) {
    const depth = Math.max(-1, ...stage.needs.map((need) => depths.get(need.stage) ?? -1)) + 1;
    depths.set(stage.key, depth);
    widest.set(depth, Math.max(widest.get(depth) ?? 0, widthOf(stage.key)));
  }
  return new Map([...depths].map(([key, depth]) => [key, widest.get(depth) ?? 0]));
}

/** Needs that no other need of the stage already implies: fewer lines, the same order. */
export function visibleNeeds(stage: Vertex, stages: Vertex[]): string[] {
  const byKey = new Map(stages.map((one) => [one.key, one]));
  const direct = stage.needs.map((need) => need.stage);
  const implied = new Set<string>();
  const visit = (key: string) => {
    for (const need of byKey.get(key)?.needs ?? []) {
      if (!implied.has(need.stage)) {
        implied.add(need.stage);
        visit(need.stage);
      }
    }
  };
  for (const key of direct) visit(key);
  return direct.filter((key) => !implied.has(key));
}

/** A line through the points that is level at each of them. */
function smooth(points: Point[]): string {
  const round = (value: number) => Math.round(value * 10) / 10;
  let path = "";
  let last: Point | undefined;
  for (const point of points) {
    if (last === undefined) path = `M${round(point.x)},${round(point.y)}`;
    else {
      const middle = round((last.x + point.x) / 2);
      path += ` C${middle},${round(last.y)} ${middle},${round(point.y)} ${round(point.x)},${round(point.y)}`;
    }
    last = point;
  }
  return path;
}

/** Stages in an order in which every stage comes after its needs; file order otherwise. For the narrow list. */
export function ordered<T extends Vertex>(stages: T[]): T[] {
  const done = new Set<string>();
  const keys = new Set(stages.map((stage) => stage.key));
  const result: T[] = [];
  let left = [...stages];
  while (left.length > 0) {
    const ready = left.filter((stage) =>
      stage.needs.every((need) => done.has(need.stage) || !keys.has(need.stage)),
    );
    const next = ready.length > 0 ? ready : left;
    for (const stage of next) {
      done.add(stage.key);
      result.push(stage);
    }
    left = left.filter((stage) => !done.has(stage.key));
  }
  return result;
}
