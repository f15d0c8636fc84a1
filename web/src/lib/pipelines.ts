// Which files of a repository are pipelines, in words.

import type { Repository, WhichPipelines } from "../api/types";

export const WHICH: { value: WhichPipelines; words: string }[] = [
  { value: "both", words: "Those in .tidegate and .github/workflows" },
  { value: "tidegate", words: "Those in .tidegate" },
  { value: "github", words: "Those in .github/workflows" },
  { value: "file", words: "Only one file" },
];

const NATIVE = ".tidegate";
const WORKFLOWS = ".github/workflows";

/** Where the pipelines of a repository are: folders, and its own file where that is in none of them. */
export function pipelinePlaces(repository: Pick<Repository, "pipelines" | "pipeline_path">): string[] {
  const folders: Record<WhichPipelines, string[]> = {
    file: [],
    tidegate: [NATIVE],
    github: [WORKFLOWS],
    both: [NATIVE, WORKFLOWS],
  };
  const places = folders[repository.pipelines] ?? [];
  if (repository.pipelines === "github") return places;
  const folder = repository.pipeline_path.replace(/\/[^/]*$/, "");
  return places.includes(folder) ? places : [repository.pipeline_path, ...places];
}
