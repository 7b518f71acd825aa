// From end to end: real kernels on real files, a network in memory, time moved by hand.

import { SeededRandom, type TestKernel, type TestKernelOptions } from "@tidemark/core/testing";
import { type AnyPlugin, API_VERSION, type ApplyBatch, definePlugin, type KernelEvents } from "@tidemark/plugin-api";
import { expect, it } from "vitest";
import { fkBatching, referenceResolver } from "./index.js";
import { digestsOf, fill, TestDevices } from "./library.test-support.js";

/** Sees batches as the kernel gets them: after the plugin, which comes before it in the same order. */
function onlooker(look: (batch: ApplyBatch) => void | Promise<void>): AnyPlugin {
  return definePlugin({
    manifest: { id: "onlooker", version: "1.0.0", apiVersion: API_VERSION, dependencies: ["fk-batching"] },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap(async (batch) => await look(batch), { order: "post", timeoutMs: 60_000 });
    },
  });
}

const statsOf = (kernel: TestKernel) => kernel.tidemark.services.get(referenceResolver).stats();

const sumOf = (batches: readonly KernelEvents["batchApplied"][]) =>
  batches.reduce((sum, { referenceLookups }) => sum + referenceLookups, 0);

/** Two devices in step; `b` has dialled `a` and runs the plugin. */
async function pair(options: Partial<TestKernelOptions> & { readonly rows?: readonly string[] } = {}) {
  const { rows = [], ...rest } = options;
  const devices = new TestDevices();
  const a = await devices.start("a", { rows });
  const b = await devices.start("b", { dial: ["a"], plugins: [fkBatching], ...rest });
  await devices.settle(a, b);
  return { devices, a, b };
}

/** Holds whoever passes until it is opened. */
function gate() {
  let arrive: () => void = () => {};
  let open: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return {
    reached,
    open: () => open(),
    pass: () => {
      arrive();
      return opened;
    },
  };
}

const location = (uuid: string) => `INSERT INTO location (uuid) VALUES ('${uuid}')`;
const label = (uuid: string) => `INSERT INTO label (uuid) VALUES ('${uuid}')`;
const folder = (uuid: string, columns = "", values = "") =>
  `INSERT INTO folder (uuid${columns && `, ${columns}`}) VALUES ('${uuid}'${values && `, ${values}`})`;
const folderId = (uuid: string) => `(SELECT id FROM folder WHERE uuid = '${uuid}')`;

async function run(kernel: TestKernel, ...statements: readonly string[]): Promise<void> {
  await kernel.dataSource.transaction(async (manager) => {
    for (const statement of statements) await manager.query(statement);
  });
}

/** Folders with the identities of what they refer to. */
function foldersOf(kernel: TestKernel): Promise<unknown[]> {
  return kernel.dataSource.query(
    `SELECT f.uuid, p.uuid AS parent, t.uuid AS twin, f.label_id AS label, l.uuid AS location FROM folder f
     LEFT JOIN folder p ON p.id = f.parent_id LEFT JOIN folder t ON t.id = f.twin_id
     LEFT JOIN location l ON l.id = f.location_id ORDER BY f.uuid`,
  );
}

const TREE = [
  location("l1"),
  label("red"),
  // Parents sort after their children, so that they come later.
  folder("z-root"),
  folder("y", "parent_id, twin_id, location_id", `${folderId("z-root")}, ${folderId("z-root")}, 1`),
  folder("x", "parent_id, label_id, location_id", `${folderId("y")}, 'red', 1`),
  folder("w", "parent_id, label_id", `${folderId("x")}, 'red'`),
  // A cycle, and one that is its own twin.
  `UPDATE folder SET twin_id = ${folderId("w")} WHERE uuid = 'x'`,
  `UPDATE folder SET twin_id = ${folderId("x")} WHERE uuid = 'w'`,
  `UPDATE folder SET twin_id = id WHERE uuid = 'z-root'`,
];

const TREE_AS_READ = [
  { uuid: "w", parent: "x", twin: "x", label: "red", location: null },
  { uuid: "x", parent: "y", twin: "w", label: "red", location: "l1" },
  { uuid: "y", parent: "z-root", twin: "z-root", label: null, location: "l1" },
  { uuid: "z-root", parent: null, twin: "z-root", label: null, location: null },
];

it.each([2_000, 1])("brings trees, cycles and several references to one target, %i records a page", async (page) => {
  const { devices, a, b } = await pair({ rows: TREE, settings: { replication: { pageRecords: page } } });
  expect(await foldersOf(b)).toEqual(TREE_AS_READ);

  // The same live, all in one transaction.
  const again = TREE.slice(2).map((statement) => statement.replaceAll(/'(z-root|y|x|w)'/g, "'2-$1'"));
  const keys = await b.dataSource.query("SELECT count(*) AS n FROM folder");
  expect(keys).toEqual([{ n: 4 }]);
  await run(a, ...again);
  await devices.settle(a, b);
  expect(await foldersOf(b)).toEqual(await foldersOf(a));
  expect(await b.dataSource.query("SELECT count(*) AS n FROM folder")).toEqual([{ n: 8 }]);
  expect((await b.tidemark.status()).parked.hidden).toBe(0);
  expect(statsOf(b).missing).toBeGreaterThan(0);
  expect(b.recordedOf("catchUpFailed")).toEqual([]);
});

it("finds parents that came in an earlier slice of the same batch", async () => {
  // A chain in which every folder has the one before as its parent: more of them than fit into the first slices.
  const rows = [
    fill("folder", "uuid, parent_id", 1_500, "printf('f%05d', n), nullif(n - 1, 0)"),
    "UPDATE folder SET uuid = 'a' || uuid WHERE id % 2",
  ];
  const { a, b } = await pair({ rows });
  expect(b.recordedOf("batchApplied").filter(({ models }) => models.Folder !== undefined)).toHaveLength(1);
  expect(await foldersOf(b)).toEqual(await foldersOf(a));
  expect(sumOf(b.recordedOf("batchApplied"))).toBe(0);
});

it("asks once a batch for models whose uuid is their key, and needs no translation of the answer", async () => {
  const rows = [
    ...Array.from({ length: 5 }, (_, index) => label(`label-${index}`)),
    fill("folder", "uuid, label_id", 300, "'f' || n, 'label-' || (n % 5)"),
  ];
  const seen: ApplyBatch[] = [];
  const { a, b } = await pair({ rows, plugins: [fkBatching, onlooker((batch) => void seen.push(batch))] });
  expect(await foldersOf(b)).toEqual(await foldersOf(a));
  expect(statsOf(b)).toMatchObject({ queries: 1, references: 300, lookupsSaved: 300 });
  const references = seen.flatMap(({ operations }) => operations.flatMap((operation) => operation.references));
  expect(references).toHaveLength(300);
  for (const { identity, resolution } of references) expect(resolution).toEqual({ kind: "found", localKey: identity });
  expect(sumOf(b.recordedOf("batchApplied"))).toBe(0);
});

it("says of a target that is not here that it is missing, and takes the record when the target has come", async () => {
  const resolutions: unknown[] = [];
  const look = onlooker(({ operations }) => {
    for (const { references } of operations) for (const { resolution } of references) resolutions.push(resolution);
  });
  // `b` keeps labels and locations from coming, once.
  let withheld = true;
  const keeper = definePlugin({
    manifest: { id: "keeper", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap((batch) => {
        const kept = batch.operations.filter(({ model }) => withheld && model !== "Folder");
        return {
          ...batch,
          operations: batch.operations.filter((operation) => !kept.includes(operation)),
          deferred: kept.map(({ id }) => ({ id, reason: "not yet" })),
        };
      });
    },
  });
  const { devices, a, b } = await pair({ plugins: [fkBatching, look, keeper] });
  const seen = b.next("batchApplied", ({ models }) => models.Folder !== undefined);
  await run(a, location("l1"), label("red"), folder("f1", "location_id, label_id", "1, 'red'"));
  await seen;
  expect(resolutions).toEqual([
    { kind: "missing", identity: "red" },
    { kind: "missing", identity: "l1" },
  ]);
  expect(await foldersOf(b)).toEqual([{ uuid: "f1", parent: null, twin: null, label: null, location: null }]);
  withheld = false;
  await devices.clock.advance(3_600_000);
  await devices.settle(a, b);
  expect(await foldersOf(b)).toEqual([{ uuid: "f1", parent: null, twin: null, label: "red", location: "l1" }]);
});

it("does no harm when a target that it found is deleted before the transaction", async () => {
  let between = async (): Promise<void> => {};
  const { devices, a, b } = await pair({
    rows: [folder("f1"), folder("f2"), label("red")],
    plugins: [fkBatching, onlooker(() => between())],
  });
  between = async () => {
    between = async () => {};
    await run(b, "DELETE FROM folder WHERE uuid = 'f1'", "DELETE FROM label WHERE uuid = 'red'");
  };
  await run(
    a,
    `INSERT INTO note (uuid, folder_id) VALUES ('n1', ${folderId("f1")}), ('n2', ${folderId("f2")})`,
    `UPDATE folder SET label_id = 'red', parent_id = ${folderId("f1")} WHERE uuid = 'f2'`,
  );
  await devices.settle(a, b);
  expect(b.recordedOf("catchUpFailed")).toEqual([]);
  for (const kernel of [a, b]) {
    expect(await kernel.dataSource.query("SELECT uuid FROM note")).toEqual([{ uuid: "n2" }]);
    expect(await foldersOf(kernel)).toEqual([{ uuid: "f2", parent: null, twin: null, label: null, location: null }]);
    expect(await kernel.dataSource.query("PRAGMA foreign_key_check")).toEqual([]);
  }
});

it("does no harm when a target that it missed comes with another peer's batch before the transaction", async () => {
  const devices = new TestDevices();
  const a = await devices.start("a");
  const ofA = gate();
  const ofC = gate();
  let origins: { readonly a: string | null; readonly c: string | null } = { a: null, c: null };
  const holder = onlooker(async ({ peer, operations }) => {
    if (peer === origins.a) await ofA.pass();
    else if (operations.some(({ model }) => model === "Note")) await ofC.pass();
  });
  // What comes from `c` of folders is left for later.
  const keeper = definePlugin({
    manifest: { id: "keeper", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap((batch) => {
        const isKept = ({ model }: { readonly model: string }) => batch.peer === origins.c && model === "Folder";
        return {
          ...batch,
          operations: batch.operations.filter((operation) => !isKept(operation)),
          deferred: batch.operations.filter(isKept).map(({ id }) => ({ id, reason: "not yet" })),
        };
      });
    },
  });
  const b = await devices.start("b", { dial: ["a"], plugins: [keeper, fkBatching, holder] });
  await devices.settle(a, b);
  const c = await devices.start("c", { dial: ["b"] });
  await devices.settle(a, b, c);
  origins = { a: (await a.tidemark.status()).origin, c: (await c.tidemark.status()).origin };

  // The same folder is made on both, as by an import; the note that needs it follows on one of them.
  await run(a, folder("f1"));
  await ofA.reached;
  await devices.clock.advance(10);
  const kept = b.next("batchApplied", ({ peer }) => peer === origins.c);
  await run(c, folder("f1"));
  await kept;
  await devices.clock.advance(10);
  await run(c, `INSERT INTO note (uuid, folder_id) VALUES ('n1', ${folderId("f1")})`);
  await ofC.reached;
  expect(statsOf(b).missing).toBe(1);
  const came = b.next("batchApplied", ({ peer }) => peer === origins.a);
  ofA.open();
  await came;
  expect(await foldersOf(b)).toHaveLength(1);
  ofC.open();
  await devices.settle(a, b, c);
  for (const kernel of [a, b, c]) {
    expect(await kernel.dataSource.query("SELECT uuid FROM note")).toEqual([{ uuid: "n1" }]);
  }
  expect((await b.tidemark.status()).parked.hidden).toBe(0);
});

it("answers apps: local keys of identities and back, and says which models there are", async () => {
  const { b } = await pair({ rows: [location("l1"), location("l2"), label("red")] });
  const resolver = b.tidemark.services.get(referenceResolver);
  const outcomes = await resolver.localKeysFor({ model: "Location", identities: ["l2", "l1", "l2", "l9"] });
  expect([...outcomes.keys()]).toEqual(["l2", "l1", "l9"]);
  expect(outcomes.get("l9")).toEqual({ kind: "missing", identity: "l9" });
  const found = outcomes.get("l2");
  const [row] = await b.dataSource.query("SELECT id FROM location WHERE uuid = 'l2'");
  expect(found).toEqual({ kind: "found", localKey: row.id });
  expect(await resolver.identitiesFor({ model: "Location", keys: [row.id, 99] })).toEqual(new Map([[row.id, "l2"]]));
  expect(await resolver.localKeysFor({ model: "Label", identities: ["red", "blue"] })).toEqual(
    new Map([
      ["red", { kind: "found", localKey: "red" }],
      ["blue", { kind: "missing", identity: "blue" }],
    ]),
  );
  await expect(resolver.localKeysFor({ model: "Nothing", identities: ["x"] })).rejects.toMatchObject({
    code: "TIDEMARK_UNKNOWN_MODEL",
  });
});

it("comes to the same tables as the kernel without it, whatever the batches hold", async () => {
  const random = new SeededRandom(4_711);
  const below = (limit: number) => Math.floor(random.next() * limit);
  const devices = new TestDevices();
  const a = await devices.start("a");
  const settings = { replication: { pageRecords: 7 } };
  const b = await devices.start("b", { dial: ["a"], plugins: [fkBatching], settings });
  const c = await devices.start("c", { dial: ["a"], settings });
  await devices.settle(a, b, c);
  const any = () => `(SELECT id FROM folder ORDER BY uuid LIMIT 1 OFFSET ${below(20)})`;
  const write = (kernel: string, turn: number): string => {
    const uuid = `${kernel}-${turn}-${below(1e9)}`;
    const choices = [
      folder(uuid, "parent_id, twin_id, label_id", `${any()}, ${any()}, (SELECT uuid FROM label LIMIT 1)`),
      folder(uuid, "parent_id", any()),
      label(uuid),
      `INSERT INTO note (uuid, folder_id) SELECT '${uuid}', id FROM folder ORDER BY uuid DESC LIMIT 1`,
      `UPDATE folder SET parent_id = ${any()}, twin_id = ${any()} WHERE id = ${any()}`,
      `UPDATE note SET folder_id = coalesce(${any()}, folder_id) WHERE id % 3 = ${below(3)}`,
      `DELETE FROM folder WHERE id = ${any()}`,
      "DELETE FROM label WHERE uuid = (SELECT max(uuid) FROM label)",
    ];
    return choices[below(choices.length)]!;
  };
  for (let turn = 0; turn < 25; turn++) {
    for (const [name, kernel] of Object.entries({ a, b, c })) {
      await run(kernel, ...Array.from({ length: 1 + below(6) }, () => write(name, turn)));
    }
    await devices.clock.advance(below(3) * 50);
  }
  await devices.settle(a, b, c);
  expect(await digestsOf(b)).toEqual(await digestsOf(c));
  expect(statsOf(b).references).toBeGreaterThan(50);
  for (const kernel of [a, b, c]) {
    expect(await kernel.dataSource.query("PRAGMA foreign_key_check")).toEqual([]);
    expect(kernel.recordedOf("catchUpFailed")).toEqual([]);
  }
});
