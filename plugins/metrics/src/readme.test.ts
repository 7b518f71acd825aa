import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { catalogue, metricNames } from "./catalogue.js";
import { prometheusName } from "./prometheus.js";
import { metricsSettings } from "./settings.js";

const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");

/** The rows of the tables below a heading, without their padding. */
function rowsBelow(heading: string): string[][] {
  const section = readme.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .slice(1, -1)
        .split(" | ")
        .map((cell) => cell.trim()),
    );
}

const code = (text: string) => `\`${text}\``;

/** The leaves of the settings with their defaults; a threshold is one of them. */
function leaves(value: object, path = ""): [key: string, value: unknown][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, unknown][] =>
    typeof inner === "object" && inner !== null && !("degraded" in inner)
      ? leaves(inner, `${path}${key}.`)
      : [[`${path}${key}`, inner]],
  );
}

describe("the README", () => {
  it("has a row for every metric, as the catalogue has it", () => {
    expect(rowsBelow("Metrics")).toEqual(
      metricNames.map((name) => {
        const { kind, unit, attributes, description, fedBy } = catalogue[name];
        return [code(name), kind, code(unit), attributes.map(code).join(", "), description, code(fedBy)];
      }),
    );
  });

  it("has a row for every setting, with its default", () => {
    const shown = (value: unknown) =>
      typeof value === "object" && value !== null
        ? Object.values(value)
            .map((one) => code(String(one)))
            .join(", ")
        : code(JSON.stringify(value));
    expect(rowsBelow("Settings").map(([key, value]) => [key, value])).toEqual([
      ...leaves(metricsSettings.parse({ prometheus: {} })).map(([key, value]) => [code(key), shown(value)]),
    ]);
  });

  it("shows a name as Prometheus gets it", () => {
    expect(readme).toContain(code(prometheusName("db.client.connection.wait_time")));
  });
});
