import { expect, it } from "vitest";
import { column, model, registry } from "./capture.test-support.js";
import { adaptPlan, planCapture } from "./capture-plan.js";

const device = model({ number: 1, table: "device", owner: () => [] });
const deviceId = column({ column: "deviceId", affinity: "integer", target: device });
const volume = model({
  number: 2,
  table: "volume",
  columns: ["label", { column: "deviceId", affinity: "integer", target: device }],
  owner: () => [deviceId],
});
const volumeId = column({ column: "volumeId", affinity: "integer", target: volume });
const location = model({
  number: 3,
  table: "location",
  columns: [{ column: "volumeId", affinity: "integer", target: volume }],
});
const entry = model({
  number: 4,
  table: "entry",
  columns: ["name", { column: "locationId", affinity: "integer", target: location }],
  owner: ([, locationId]) => [locationId!, volumeId, deviceId],
});

it("names the next reference of every model on an owner path, whoever owns itself by it", () => {
  const all = registry([device, volume, location, entry]);
  const hops = all.models.map((each) => [each.table, planCapture(each, all).hop]);
  expect(hops).toEqual([
    ["device", null],
    ["volume", "deviceId"],
    ["location", "volumeId"],
    ["entry", "locationId"],
  ]);
});

it("has no hop for a model that no owner path runs through", () => {
  const tag = model({ number: 5, table: "tag", columns: [{ column: "entryId", affinity: "integer", target: entry }] });
  expect(planCapture(tag, registry([entry, tag])).hop).toBeNull();
});

it("survives JSON unchanged", () => {
  const plan = planCapture(entry, registry([entry]));
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
});

it("leaves out unique keys that contain the identity, since they can only clash with the record itself", () => {
  const plan = planCapture(
    model({ table: "t", columns: ["name"], uniqueKeys: [["uuid", "name"], ["name"], ["uuid"]] }),
    registry([]),
  );
  expect(plan.uniqueKeys).toEqual([["id"], ["name"]]);
  const junction = model({
    table: "j",
    columns: [
      { column: "a", affinity: "integer", target: entry },
      { column: "b", affinity: "integer", target: entry },
      "position",
    ],
    derived: ["a", "b"],
    uniqueKeys: [
      ["b", "a"],
      ["a", "position"],
    ],
  });
  expect(planCapture(junction, registry([])).uniqueKeys).toEqual([["a", "position"]]);
});

it("takes the key columns of a derived identity as text where they hold identities", () => {
  const uuids = model({ number: 9, table: "u", key: null });
  const plan = planCapture(
    model({
      table: "j",
      columns: [
        { column: "a", affinity: "numeric", target: uuids, byIdentity: true },
        { column: "b", affinity: "integer", target: entry },
      ],
      derived: ["a", "b"],
    }),
    registry([]),
  );
  expect(plan.identity).toEqual({
    kind: "derived",
    columns: [
      { column: "a", kind: "text" },
      { column: "b", kind: "integer" },
    ],
  });
  expect(plan.key).toBeNull();
});

it("adapts to the columns that a table has, and to no table without the identity", () => {
  const plan = planCapture(entry, registry([entry]));
  expect(adaptPlan(plan, ["UUID", "Name"])).toEqual({
    ...plan,
    key: null,
    hop: null,
    columns: [{ number: 1, column: "name", affinity: "text" }],
    uniqueKeys: [],
  });
  expect(adaptPlan(plan, ["id", "name", "locationId"])).toBeNull();
});
