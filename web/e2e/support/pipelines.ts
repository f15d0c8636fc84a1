// The pipeline files of the tests. All run in a small image that scripts/images makes, and reach no network.
import { createHash } from "node:crypto";

export const PATH = ".tidegate/pipeline.yml";
const IMAGE = "tidegate-test/busybox:1";

const head = (name: string) => `name: ${name}
on:
  push: {branches: [main]}
  manual: {}
defaults: {image: "${IMAGE}"}
stages:
`;

/** An image reference that exists nowhere; the deployments of these tests only print it. */
export function image(version: string): string {
  const digest = createHash("sha256").update(version).digest("hex");
  return `registry.example.org/harbour/tides@sha256:${digest}`;
}

const deploy = (version: string, needs: string) => `
  deploy-production:
    needs: ${needs}
    deploy:
      environment: production
      image: "${image(version)}"
      command: {image: "${IMAGE}", run: echo "now $TIDEGATE_IMAGE"}
  smoke-production:
    needs: [deploy-production]
    smoke:
      environment: production
      commands: {image: "${IMAGE}", run: echo healthy}
`;

const junit = `<testsuite name="tides" tests="2"><testcase classname="tides" name="high water"/><testcase classname="tides" name="low water"/></testsuite>`;

/** Checks, then a deployment behind the gate of production. */
export const delivery = (version: string) => `${head("delivery")}
  lint:
    run: |
      echo "##[group]Rules"
      echo "no trailing blanks"
      echo "no tabs"
      echo "##[endgroup]"
      echo nothing to complain about
  test:
    run:
      - name: unit tests
        run: |
          mkdir -p reports
          printf '\\033[32mPASS\\033[0m high water\\n\\033[32mPASS\\033[0m low water\\n'
          echo '${junit}' > reports/junit.xml
    reports: [{junit: reports/junit.xml}]
    artifacts: [{name: reports, paths: ["reports/**"]}]
  check-the-harbour-gauges-against-the-almanac: {needs: [lint], run: "echo they agree"}
${deploy(version, "[test, check-the-harbour-gauges-against-the-almanac]")}`;

/** Nothing but a deployment behind a gate. */
export const gateOnly = (version: string) => head("release") + deploy(version, "[]");

/** A step that fails in the middle of its log, after one that does not. */
export const failing = `${head("delivery")}
  lint: {run: "echo fine"}
  test:
    run:
      - {name: prepare, run: echo ready}
      - name: unit tests
        run: |
          i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "case $i passed"; done
          printf '\\033[31mERROR\\033[0m: low water came out \\033[1mhigh\\033[0m\\n'
          i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo "context $i"; done
          exit 3
      - {name: clean up, run: echo never}
  package: {needs: [test], run: "echo never"}
`;

/** Three mistakes: a key, a duration, and a stage that is not there. */
export const invalid = `name: delivery
on:
  push: {branchs: [main]}
stages:
  test:
    image: ${IMAGE}
    timeout: 10x
    run: echo hello
  package:
    image: ${IMAGE}
    needs: [tests]
    run: echo hello
`;

/** Counts until it is cancelled. */
export const ticking = `${head("ticking")}
  tick:
    timeout: 10m
    run: i=0; while :; do i=$((i+1)); echo "tick $i"; sleep 0.1; done
`;

/** Twenty thousand lines at once. */
export const long = `${head("long")}
  print: {run: "seq 1 20000 | sed 's/^/this is line /'"}
`;
