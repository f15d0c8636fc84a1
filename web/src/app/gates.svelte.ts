// The open gates, shared by the badge in the bar and the gates page.
import { reloadOn } from "../api/events.svelte";
import { gates } from "../api/calls";
import { resource, type Resource } from "../lib/resource.svelte";
import type { Gate } from "../api/types";

/** To be called while a component starts; follows the live stream. */
export function openGates(): Resource<{ gates: Gate[] }> {
  const list = resource((signal) => gates.open(signal));
  reloadOn((event) => GATE_NEWS.test(event.kind), list.reload, 1000);
  return list;
}

// Kinds are the server's to name; gates, decisions, ends of stages and runs all may open or close one.
const GATE_NEWS = /gate|decision|run|stage|environment|deploy/;
