import Table from "cli-table3";

/** A table without colours of its own, and without frames that break when copied. `alignment`: a letter per column. */
export function plainTable(head: readonly string[], alignment: string): Table.Table {
  return new Table({
    head: [...head],
    colAligns: [...alignment].map((letter) => (letter === "r" ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
}
