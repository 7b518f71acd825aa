// Which keys a schema knows, so that a misspelt one is an error that names the right one. Standard Schema does not say;
// its JSON Schema companion does, and where a library lacks that, what the schema left of the input has to serve.

import type { StandardSchema } from "@tidemark/plugin-api";

/** As much of JSON Schema as tells keys. */
interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

/** The keys that an object may have. */
export interface KnownKeys {
  /** Whether there may be others. */
  readonly open: boolean;
  readonly names: readonly string[];
  /** What is known of the value of one of them. */
  at(name: string): KnownKeys;
}

const ANYTHING: KnownKeys = { open: true, names: [], at: () => ANYTHING };

/** `output` is what the schema made of the input, if it accepted it. */
export function knownKeysOf(schema: StandardSchema, output: unknown): KnownKeys {
  const json = jsonSchemaOf(schema);
  return json === undefined ? keysOfOutput(output) : keysOfSchema([json], json);
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** By the Standard JSON Schema interface, which zod, valibot and arktype have. */
function jsonSchemaOf(schema: StandardSchema): JsonSchema | undefined {
  const { jsonSchema } = schema["~standard"] as {
    readonly jsonSchema?: { input?: (options: object) => JsonSchema };
  };
  try {
    return jsonSchema?.input?.({ target: "draft-2020-12", libraryOptions: { unrepresentable: "any" } });
  } catch {
    // A library may refuse what JSON Schema can't say, such as a date.
    return undefined;
  }
}

function keysOfSchema(schemas: readonly JsonSchema[], root: JsonSchema): KnownKeys {
  const all = schemas.flatMap((schema) => alternatives(schema, root, 0));
  const objects = all.filter((schema) => schema.properties !== undefined || schema.additionalProperties !== undefined);
  if (objects.length === 0) return ANYTHING;
  return {
    open: objects.some(
      ({ additionalProperties = false, patternProperties }) =>
        additionalProperties !== false || patternProperties !== undefined,
    ),
    names: [...new Set(objects.flatMap(({ properties = {} }) => Object.keys(properties)))],
    at: (name) =>
      keysOfSchema(
        objects.flatMap(({ properties = {}, additionalProperties }) => {
          if (Object.hasOwn(properties, name)) return [properties[name]!];
          return typeof additionalProperties === "object" ? [additionalProperties] : [];
        }),
        root,
      ),
  };
}

/** The schema and all that it is composed of. References are followed a few levels deep: a schema may hold itself. */
function alternatives(schema: JsonSchema, root: JsonSchema, depth: number): readonly JsonSchema[] {
  if (depth > 8) return [];
  const { anyOf = [], oneOf = [], allOf = [], $ref } = schema;
  const target = $ref?.startsWith("#/$defs/") ? root.$defs?.[$ref.slice("#/$defs/".length)] : undefined;
  const parts = [...anyOf, ...oneOf, ...allOf, ...(target === undefined ? [] : [target])];
  return [schema, ...parts.flatMap((part) => alternatives(part, root, depth + 1))];
}

function keysOfOutput(output: unknown): KnownKeys {
  if (!isPlainObject(output)) return ANYTHING;
  return {
    open: false,
    names: Object.keys(output),
    at: (name) => (Object.hasOwn(output, name) ? keysOfOutput(output[name]) : ANYTHING),
  };
}
