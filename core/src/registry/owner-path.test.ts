import type { EntityDeclaration } from "@tidemark/plugin-api";
import { EntitySchema } from "typeorm";
import { expect, test } from "vitest";
import { bareEntity, entity, openSource, refusal, resolveFrom, shared } from "./data-source.test-support.js";

const toOne = (target: string, further = {}) => ({ type: "many-to-one" as const, target, ...further });

const DEVICE = bareEntity("Device", { columns: { id: { type: "varchar", primary: true }, name: { type: "text" } } });
const VOLUME = entity("Volume", {
  relations: { device: toOne("Device"), entries: { type: "one-to-many", target: "Entry", inverseSide: "volume" } },
});
const ENTRY = entity("Entry", {
  columns: { title: { type: "text", nullable: true }, volumeRef: { type: "integer", nullable: true } },
  relations: { parent: toOne("Entry"), volume: toOne("Volume", { inverseSide: "entries" }) },
});
const ENTITIES = [DEVICE, VOLUME, ENTRY];

const DEVICE_DECLARATION: EntityDeclaration = {
  entity: "Device",
  ownership: { kind: "device", owner: "" },
  isDevice: true,
};
const owned = (name: string, owner: string, options = {}): EntityDeclaration => ({
  entity: name,
  ownership: { kind: "device", owner },
  ...options,
});

test("an owner path becomes the reference columns from record to record", async () => {
  const declarations = [DEVICE_DECLARATION, owned("Volume", "device"), owned("Entry", "volume.device")];
  const registry = resolveFrom(await openSource(ENTITIES), ...declarations);
  const [volume, entry] = ["Volume", "Entry"].map((name) => registry.byName.get(name)!);
  expect(entry!.ownership).toEqual({
    kind: "device",
    path: [entry!.columnByName.get("volume"), volume!.columnByName.get("device")],
  });
  expect(registry.deviceModel).toBe(registry.byName.get("Device"));
});

test("the device model owns itself: its path is empty", async () => {
  const registry = resolveFrom(await openSource([DEVICE]), DEVICE_DECLARATION);
  expect(registry.deviceModel).toMatchObject({ isDevice: true, ownership: { kind: "device", path: [] } });
});

test("the device model may be shared", async () => {
  const registry = resolveFrom(await openSource([DEVICE]), shared("Device", { isDevice: true }));
  expect(registry.deviceModel).toMatchObject({ isDevice: true, ownership: { kind: "shared" } });
});

test("a step may be a reference declared by hand, and follow self-references", async () => {
  const entry = owned("Entry", "parent.parent.volumeRef.device", { references: { volumeRef: { to: "Volume" } } });
  const registry = resolveFrom(await openSource(ENTITIES), DEVICE_DECLARATION, owned("Volume", "device"), entry);
  const { ownership } = registry.byName.get("Entry")!;
  expect(ownership.kind === "device" && ownership.path.map(({ name }) => name)).toEqual([
    "parent",
    "parent",
    "volumeRef",
    "device",
  ]);
});

test("a step may be a relation in an embedded object", async () => {
  const place = new EntitySchema({ name: "Place", columns: {}, relations: { device: toOne("Device") } });
  const file = entity("File", { embeddeds: { place: { schema: place } } });
  const registry = resolveFrom(await openSource([DEVICE, file]), DEVICE_DECLARATION, owned("File", "place.device"));
  const { ownership } = registry.byName.get("File")!;
  expect(ownership.kind === "device" && ownership.path.map(({ name }) => name)).toEqual(["place.device"]);
});

test.each([
  [
    "a step that nobody knows",
    "volumme.device",
    "TIDEMARK_REGISTRY_OWNER_STEP",
    /Entry has no property "volumme".*Did you mean "volume"\?/,
  ],
  [
    "a second step that nobody knows",
    "volume.devise",
    "TIDEMARK_REGISTRY_OWNER_STEP",
    /Volume has no property "devise".*Did you mean "device"\?/,
  ],
  ["no step at all", "", "TIDEMARK_REGISTRY_OWNER_STEP", /Entry has no property ""/],
  [
    "an ordinary column",
    "title.device",
    "TIDEMARK_REGISTRY_OWNER_NOT_A_REFERENCE",
    /"title" of Entry is not a reference/,
  ],
  [
    "the other side of a relation",
    "volume.entries",
    "TIDEMARK_REGISTRY_OWNER_NOT_A_REFERENCE",
    /"entries" of Volume is the other side/,
  ],
  ["an end before the device", "volume", "TIDEMARK_REGISTRY_OWNER_END", /ends at Volume, and must end at Device/],
  [
    "a step beyond the device",
    "volume.device.name",
    "TIDEMARK_REGISTRY_OWNER_NOT_A_REFERENCE",
    /"name" of Device is not a reference/,
  ],
])("%s in an owner path is refused", async (_, owner, code, message) => {
  const source = await openSource(ENTITIES);
  const error = refusal(source, DEVICE_DECLARATION, owned("Volume", "device"), owned("Entry", owner));
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.details).toMatchObject({ entity: "Entry", owner });
});

test("an excluded reference can't be a step", async () => {
  const entry = owned("Entry", "volume.device", { exclude: ["volume"] });
  const error = refusal(await openSource(ENTITIES), DEVICE_DECLARATION, owned("Volume", "device"), entry);
  expect(error.code).toBe("TIDEMARK_REGISTRY_OWNER_NOT_A_REFERENCE");
});

test("an owner path without a device model is refused", async () => {
  const error = refusal(await openSource(ENTITIES), shared("Device"), owned("Volume", "device"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_NO_DEVICE");
  expect(error.advice).toContain("isDevice: true");
});

test("two device models are refused", async () => {
  const error = refusal(
    await openSource(ENTITIES),
    DEVICE_DECLARATION,
    shared("Volume", { isDevice: true, exclude: ["device"] }),
  );
  expect(error.code).toBe("TIDEMARK_REGISTRY_TWO_DEVICES");
});

test("an owner path of the device model itself is refused", async () => {
  const device = owned("Device", "device", { isDevice: true });
  expect(refusal(await openSource([DEVICE]), device).code).toBe("TIDEMARK_REGISTRY_DEVICE_OWNER");
});

test("a device model with a derived identity is refused", async () => {
  const laptop = bareEntity("Laptop", {
    columns: { machineId: { type: "integer", primary: true } },
    relations: { machine: { type: "one-to-one", target: "Machine", joinColumn: { name: "machineId" } } },
  });
  const source = await openSource([entity("Machine"), laptop]);
  const error = refusal(source, shared("Machine"), shared("Laptop", { isDevice: true }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_DEVICE_IDENTITY");
});
