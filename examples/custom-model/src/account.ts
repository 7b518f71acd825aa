import type { Finding } from "./findings.js";
import type { Paint } from "./paint.js";
import type { Outcome } from "./two-devices.js";

/** The account of a run, in words. */
export function accountOf({
  outcome,
  findings,
  paint,
}: {
  readonly outcome: Outcome;
  readonly findings: readonly Finding[];
  readonly paint: Paint;
}): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const nameWidth = Math.max(...outcome.models.map(({ name }) => name.length));
  const failed = findings.filter(({ holds }) => !holds);
  return [
    paint("bold", "What became of it"),
    ...findings.map(
      ({ what, outcome: words, holds }) =>
        `  ${holds ? paint("green", "yes") : paint("red", "NO ")}  ${what.padEnd(width)}  ${words}`,
    ),
    "",
    paint("bold", "Records, laptop and phone"),
    ...outcome.models.map(({ name, laptop, phone }) => {
      const digest = laptop.digest === phone.digest ? paint("dim", laptop.digest.slice(0, 12)) : paint("red", "differ");
      return `  ${name.padEnd(nameWidth)}  ${String(laptop.rows).padStart(3)} ${String(phone.rows).padStart(3)}  ${digest}`;
    }),
    "",
    ...(outcome.plugins.length === 0
      ? []
      : [paint("bold", "Plugins"), ...outcome.plugins.map((line) => `  ${line}`), ""]),
    failed.length === 0
      ? paint("green", "In step: both devices hold exactly the same records.")
      : paint("red", `Not as it should be: ${failed.map(({ what }) => what).join(", ")}.`),
  ].join("\n");
}
