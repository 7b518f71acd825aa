import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findingsOf } from "./findings.js";
import { type Outcome, runTwoDevices, type TwoDevicesOptions } from "./two-devices.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidemark-notes-test-"));
  return () => rm(directory, { recursive: true });
});

/** Real databases, real sockets. */
async function run(options: Partial<TwoDevicesOptions> = {}): Promise<Outcome> {
  return await runTwoDevices({
    directory,
    secret: "a secret that only tests know",
    env: {},
    tell: () => {},
    signal: AbortSignal.timeout(25_000),
    ...options,
  });
}

describe("two devices that have changed things apart", () => {
  let outcome: Outcome;
  let own: string;
  beforeAll(async () => {
    own = await mkdtemp(join(tmpdir(), "tidemark-notes-test-"));
    outcome = await run({ directory: own });
  });
  afterAll(() => rm(own, { recursive: true }));

  it("hold the same records: by Tidemark's digest, and by what TypeORM reads", () => {
    expect(outcome.models.map(({ name, laptop }) => [name, laptop.rows])).toEqual([
      ["Attachment", 2],
      ["Bookmark", 2],
      ["Device", 2],
      ["Label", 2],
      ["Note", 2],
      ["Note.labels", 3],
      ["Notebook", 2],
    ]);
    for (const { laptop, phone } of outcome.models) expect(phone).toEqual(laptop);
    expect(outcome.phone).toEqual(outcome.laptop);
  });

  it("keep edits of different columns, the later edit of one column, and a deletion that raced with an edit", () => {
    expect(
      outcome.phone.notes
        .map(({ title, text, pinned, notebook, labels }) => ({ title, text, pinned, notebook, labels }))
        .sort((one, other) => one.title.localeCompare(other.title)),
    ).toEqual([
      { title: "Lisbon in June", text: "Tram 28", pinned: false, notebook: "Journeys", labels: ["To do"] },
      {
        title: "Sourdough bread",
        text: "Flour, water, salt, and a day of patience.",
        pinned: true,
        notebook: "Kitchen",
        labels: ["Recipes", "To do"],
      },
    ]);
  });

  it("have one label of the word that both invented, in the colour that was chosen later", () => {
    expect(outcome.laptop.labels).toEqual([
      { key: "recipes", name: "Recipes", colour: "#e07a1f" },
      { key: "to-do", name: "To do", colour: "#2980b9" },
    ]);
  });

  it("have each other's attachments and bookmarks", () => {
    const attached = ({ attachments }: Outcome["laptop"]) =>
      attachments.map(({ fileName, note, sizeBytes }) => `${fileName} in ${note}: ${sizeBytes}`).sort();
    expect(attached(outcome.laptop)).toEqual([
      "crumb.jpg in Sourdough bread: 64000",
      "tram.jpg in Lisbon in June: 200000",
    ]);
    expect(outcome.laptop.bookmarks.map(({ deviceId, note, line }) => [deviceId, note, line])).toEqual([
      ["laptop", "Lisbon in June", 12],
      ["phone", "Sourdough bread", 3],
    ]);
  });

  it("have had their plugins at work", () => {
    expect(outcome.plugins).toEqual([
      expect.stringMatching(/^fk-batching resolved [1-9]\d* references on the phone with [1-9]\d* queries\.$/),
      "ack-pruning emptied both logs: each device knows that the other one has everything.",
      "metrics calls the laptop ok.",
    ]);
  });

  it("give no reason for complaint, and any difference is one", () => {
    const complaints = (of: Outcome) => findingsOf(of).flatMap(({ what, holds }) => (holds ? [] : [what]));
    const changed = (change: (outcome: Outcome) => void): readonly string[] => {
      const copy = structuredClone(outcome);
      change(copy);
      return complaints(copy);
    };
    const note = (contents: Outcome["phone"], title: string) => contents.notes.find((one) => one.title === title)!;
    const everywhere = (change: (contents: Outcome["phone"]) => void) =>
      changed(({ laptop, phone }) => [laptop, phone].forEach(change));

    expect(complaints(outcome)).toEqual([]);
    expect(changed(({ models }) => Object.assign(models[0]!.phone, { digest: "another" }))).toEqual(["All records"]);
    expect(changed(({ models }) => Object.assign(models[0]!.phone, { rows: 7 }))).toEqual(["All records"]);
    expect(changed(({ phone }) => phone.notebooks.pop())).toEqual(["All records"]);
    expect(changed(({ phone }) => Object.assign(phone.attachments[0]!, { sha256: "another" }))).toEqual([
      "tram.jpg",
      "All records",
    ]);
    expect(everywhere((contents) => Object.assign(note(contents, "Sourdough bread"), { text: "Flour" }))).toEqual([
      "Sourdough bread",
    ]);
    expect(everywhere((contents) => Object.assign(note(contents, "Lisbon in June"), { title: "Shopping" }))).toEqual([
      "Lisbon in June",
      "Shopping",
      "To do",
    ]);
    expect(everywhere(({ labels }) => labels.push({ ...labels[1]!, key: "to-do-2" }))).toEqual(["To do"]);
    expect(everywhere((contents) => note(contents, "Lisbon in June").labels.pop())).toEqual(["To do"]);
    expect(everywhere(({ attachments }) => attachments.pop())).toEqual(["tram.jpg"]);
    expect(everywhere(({ bookmarks }) => Object.assign(bookmarks[0]!, { line: 1 }))).toEqual(["Bookmarks"]);
  });
});

it("goes as well with every plugin off but the one that connects the devices", async () => {
  const outcome = await run({ env: { TIDEMARK_PLUGINS_DISABLE: "fk-batching,ack-pruning,backoff,metrics" } });
  expect(findingsOf(outcome).filter(({ holds }) => !holds)).toEqual([]);
  expect(outcome.plugins).toEqual([]);
});

it("lets an operator turn a plugin off in the overlay file, without a new build", async () => {
  const overlayFile = join(directory, "tidemark.json");
  await writeFile(overlayFile, '{ "plugins": { "metrics": false, "ack-pruning": false } }');
  const { plugins } = await run({ overlayFile });
  expect(plugins).toEqual([expect.stringContaining("fk-batching")]);
});

it("says why when nothing connects the devices", async () => {
  await expect(run({ env: { TIDEMARK_PLUGINS_DISABLE: "websocket" } })).rejects.toThrow(/websocket is turned off/);
});

it("gives up when it is told to, and says what it has waited for", async () => {
  const stop = new AbortController();
  const tell = (sentence: string) => {
    if (sentence.startsWith("The laptop")) stop.abort();
  };
  await expect(run({ signal: stop.signal, tell })).rejects.toThrow("Gave up waiting until the phone has everything");
});
