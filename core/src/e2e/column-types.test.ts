import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { expectSameTable, shared, TestLibrary } from "./library.test-support.js";

enum Mood {
  Calm = "calm",
  Wild = "wild",
}

@Entity()
class Everything {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "blob", nullable: true }) bytes!: Buffer | null;
  @Column({ type: "integer", nullable: true }) whole!: number | null;
  @Column({ type: "bigint", nullable: true }) big!: string | null;
  @Column({ type: "real", nullable: true }) real!: number | null;
  @Column({ type: "text", nullable: true }) text!: string | null;
  @Column({ type: "datetime", nullable: true }) at!: Date | null;
  @Column({ type: "simple-json", nullable: true }) json!: unknown;
  @Column({ type: "simple-array", nullable: true }) list!: string[] | null;
  @Column({ type: "simple-enum", enum: Mood, nullable: true }) mood!: Mood | null;
  @Column({ type: "boolean", nullable: true }) flag!: boolean | null;
  @Column({ type: "decimal", precision: 20, scale: 6, nullable: true }) amount!: number | null;
  @Column({
    type: "text",
    nullable: true,
    transformer: {
      to: (value: bigint | null | undefined) => (value == null ? null : `0x${value.toString(16)}`),
      from: (value: string | null) => (value === null ? null : BigInt(value)),
    },
  })
  transformed!: bigint | null;
}

// The table is made by hand, because TypeORM always gives a column a type.
@Entity({ name: "loose" })
class Loose {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "text", nullable: true }) anything!: unknown;
}

const library = { current: new TestLibrary({ entities: [], declarations: [] }) };
afterEach(() => library.current.dispose());

function newLibrary(): TestLibrary {
  library.current = new TestLibrary({ entities: [Everything], declarations: shared(Everything) });
  return library.current;
}

const SQL_VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bytes: {
    empty: "x''",
    nuls: "x'00ff00'",
    all: `x'${Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0")).join("")}'`,
    large: "randomblob(1048576)",
    text: "'text in a blob column'",
    number: "17",
    real: "17.0",
  },
  whole: {
    max: "9223372036854775807",
    min: "-9223372036854775808",
    safe: "9007199254740991",
    unsafe: "9007199254740993",
    negative: "-9007199254740993",
    zero: "0",
    real: "1.5",
    hugeReal: "1e300",
    infinity: "1e999",
    text: "'not a number'",
    blob: "x'31'",
  },
  big: { max: "9223372036854775807", min: "-9223372036854775808", odd: "1234567890123456789" },
  real: {
    sum: "0.1 + 0.2",
    smallest: "5e-324",
    largest: "1.7976931348623157e308",
    infinity: "1.8e308",
    minusInfinity: "-1.8e308",
    minusZero: "-0.0",
    beyond: "CAST(9007199254740993 AS REAL)",
    integral: "5",
    third: "1.0/3",
    text: "'abc'",
    blob: "x'00'",
    huge: "1e22",
  },
  text: {
    empty: "''",
    null: "NULL",
    astral: "'😀 𝒳 \u{10FFFF}'",
    nul: "'a' || char(0) || 'b'",
    nulOnly: "char(0)",
    replacement: "'\uFFFD'",
    invalid: "CAST(x'ff41fe' AS TEXT)",
    truncated: "CAST(x'41f09f98' AS TEXT)",
    surrogate: "CAST(x'eda080' AS TEXT)",
    quotes: "'it''s \"quoted\" \\ back'",
    controls: "char(1, 9, 10, 13, 27, 127, 133, 8232)",
    bom: "char(65279) || 'x'",
    digits: "'007'",
    blob: "x'ff'",
    proto: "'__proto__'",
  },
  amount: { plain: "12345.678901", digits: "'99999999999999.123456'", whole: "12", text: "'12abc'" },
  flag: { yes: "1", no: "0", two: "2", text: "'true'" },
};

function inserts(table: string, prefix: string, values: typeof SQL_VALUES): string[] {
  return Object.entries(values).flatMap(([column, cases]) =>
    Object.entries(cases).map(
      ([name, sql]) => `INSERT INTO "${table}" (uuid, "${column}") VALUES ('${prefix}-${column}-${name}', ${sql})`,
    ),
  );
}

it("carries every value of every storage class bit for bit, by backfill, by creation and by edit", async () => {
  const devices = newLibrary();
  const a = await devices.device("a");
  for (const sql of inserts("everything", "backfill", SQL_VALUES)) await a.dataSource.query(sql);
  const b = await devices.device("b", { dial: ["a"] });
  await devices.settle(a, b);
  const cases = Object.values(SQL_VALUES).flatMap((values) => Object.values(values)).length;
  expect(expectSameTable([a, b], "everything").size).toBe(cases);

  for (const sql of inserts("everything", "live", SQL_VALUES)) await a.dataSource.query(sql);
  await devices.settle(a, b);
  expect(expectSameTable([a, b], "everything").size).toBe(2 * cases);

  // Edits by b: each record of a column takes the value of the next case.
  for (const [column, values] of Object.entries(SQL_VALUES)) {
    const names = Object.keys(values);
    for (const [index, name] of names.entries()) {
      const next = values[names[(index + 1) % names.length]!]!;
      await b.dataSource.query(`UPDATE everything SET "${column}" = ${next} WHERE uuid = 'live-${column}-${name}'`);
    }
  }
  await devices.settle(a, b);
  const rows = expectSameTable([a, b], "everything");
  expect(rows.get("live-real-sum")!.real!.quoted).toBe("4.9406564584124654e-324");
  expect(rows.get("live-whole-max")!.whole!.quoted).toBe("-9223372036854775808");
  expect(rows.get("live-text-replacement")!.text).toMatchObject({ type: "text", hex: "FF41FE" });
  expect(rows.get("live-text-empty")!.text!.type).toBe("null");
  expect(rows.get("live-text-null")!.text!.quoted).toBe("'😀 𝒳 \u{10FFFF}'");
});

it("carries what TypeORM makes of dates, JSON, arrays, enums, booleans, decimals and transformed values", async () => {
  const devices = newLibrary();
  const { a, b } = await devices.pair();
  const entity = {
    uuid: "typed",
    bytes: Buffer.from([0, 1, 255]),
    whole: -7,
    big: "9007199254740991",
    real: 0.1 + 0.2,
    text: "grüße 🌊",
    at: new Date("2026-02-03T04:05:06.789Z"),
    json: { deep: [1, null, { "": "é" }], nul: "a\u0000b" },
    list: ["x", "y z"],
    mood: Mood.Wild,
    flag: true,
    amount: 12.25,
    transformed: 2n ** 70n,
  };
  await a.dataSource.getRepository(Everything).save({ ...entity });
  await a.dataSource.getRepository(Everything).save({ uuid: "nulls" });
  await devices.settle(a, b);
  expectSameTable([a, b], "everything");
  const arrived = await b.dataSource.getRepository(Everything).findOneByOrFail({ uuid: "typed" });
  const { id: _, ...values } = arrived;
  expect(values).toEqual(
    await a.dataSource.getRepository(Everything).findOneByOrFail({ uuid: "typed" }).then(withoutId),
  );
  expect(values).toMatchObject({
    at: entity.at,
    json: entity.json,
    list: entity.list,
    transformed: entity.transformed,
  });

  await b.dataSource
    .getRepository(Everything)
    .update(
      { uuid: "typed" },
      { json: { other: true }, mood: Mood.Calm, flag: false, at: new Date(0), transformed: 5n },
    );
  await devices.settle(a, b);
  expectSameTable([a, b], "everything");
  expect(await a.dataSource.getRepository(Everything).findOneByOrFail({ uuid: "typed" })).toMatchObject({
    json: { other: true },
    mood: Mood.Calm,
    flag: false,
    at: new Date(0),
    transformed: 5n,
    text: entity.text,
  });
});

function withoutId({ id: _, ...values }: Everything): Omit<Everything, "id"> {
  return values;
}

const LOOSE_VALUES = {
  integer: "5",
  real: "5.0",
  text: "'5'",
  blob: "x'35'",
  null: "NULL",
  empty: "''",
  emptyBlob: "x''",
  beyond: "9007199254740993",
  max: "9223372036854775807",
  realBeyond: "CAST(9007199254740992 AS REAL)",
  third: "1.0/3",
  infinity: "9e999",
  invalid: "CAST(x'c328' AS TEXT)",
  huge: "1e300",
};

it("tells 5, 5.0, '5' and x'35' apart in a column without affinity", async () => {
  const devices = new TestLibrary({ entities: [Loose], declarations: shared(Loose) });
  library.current = devices;
  const table =
    "CREATE TABLE loose (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, uuid varchar NOT NULL UNIQUE, anything)";
  const options = {
    synchronize: false,
    before: async ({ dataSource }: { dataSource: { query(sql: string): Promise<unknown> } }) => {
      await dataSource.query(table);
    },
  };
  const a = await devices.device("a", options);
  for (const sql of inserts("loose", "backfill", { anything: LOOSE_VALUES })) await a.dataSource.query(sql);
  const b = await devices.device("b", { dial: ["a"], ...options });
  await devices.settle(a, b);
  for (const sql of inserts("loose", "live", { anything: LOOSE_VALUES })) await b.dataSource.query(sql);
  await devices.settle(a, b);
  const names = Object.keys(LOOSE_VALUES) as (keyof typeof LOOSE_VALUES)[];
  for (const [index, name] of names.entries()) {
    const next = LOOSE_VALUES[names[(index + 1) % names.length]!];
    await a.dataSource.query(`UPDATE loose SET anything = ${next} WHERE uuid = 'live-anything-${name}'`);
  }
  await devices.settle(a, b);
  const rows = expectSameTable([a, b], "loose");
  expect(rows.get("live-anything-integer")!.anything).toMatchObject({ type: "real", quoted: "5.0" });
  expect(rows.get("backfill-anything-integer")!.anything).toMatchObject({ type: "integer", quoted: "5" });
  expect(rows.get("live-anything-real")!.anything).toMatchObject({ type: "text", quoted: "'5'" });
  expect(rows.get("live-anything-text")!.anything!.type).toBe("blob");
});
