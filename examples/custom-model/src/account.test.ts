import { expect, it } from "vitest";
import { accountOf } from "./account.js";
import type { Outcome } from "./two-devices.js";

const nothing = { devices: [], notebooks: [], labels: [], notes: [], attachments: [], bookmarks: [] };
const digest = (of: string, rows: number) => ({ model: "Note", rows, digest: of.repeat(64) });
const outcome: Outcome = {
  models: [{ name: "Note", laptop: digest("a", 2), phone: digest("b", 3) }],
  laptop: nothing,
  phone: nothing,
  plugins: [],
};
const paint = (style: string, text: string) => (style === "bold" ? text : `<${style}>${text}</${style}>`);

it("marks what is not as it should be, and says so at the end", () => {
  const findings = [
    { what: "Bread", outcome: "is on both", holds: true },
    { what: "All records", outcome: "are the same", holds: false },
  ];
  expect(accountOf({ outcome, findings, paint })).toBe(
    `What became of it
  <green>yes</green>  Bread        is on both
  <red>NO </red>  All records  are the same

Records, laptop and phone
  Note    2   3  <red>differ</red>

<red>Not as it should be: All records.</red>`,
  );
});
