import { describe, expect, it } from "vitest";
import { pipelinePlaces } from "../src/lib/pipelines";

describe("places of pipelines", () => {
  it("names the folders, and the file where it is in none of them", () => {
    const of = (pipelines: "file" | "tidegate" | "github" | "both", pipeline_path: string) =>
      pipelinePlaces({ pipelines, pipeline_path });
    expect(of("both", ".tidegate/pipeline.yml")).toEqual([".tidegate", ".github/workflows"]);
    expect(of("both", "ci/p.yml")).toEqual(["ci/p.yml", ".tidegate", ".github/workflows"]);
    expect(of("tidegate", ".tidegate/a/b.yml")).toEqual([".tidegate/a/b.yml", ".tidegate"]);
    expect(of("github", "ci/p.yml")).toEqual([".github/workflows"]);
    expect(of("file", ".tidegate/pipeline.yml")).toEqual([".tidegate/pipeline.yml"]);
  });
});
