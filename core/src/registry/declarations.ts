import type { EntityDeclaration, EntityOptions, EntityTarget } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import { isEntityTarget, nameOfEntity } from "./entity-target.js";
import { registryErrors } from "./errors.js";
import { nearestOf } from "./nearest.js";
import { BY_DECORATOR, declarationsOf } from "./synced.js";

/**
 * Collects what is to be synced, by calls and by decorators, and closes when the data source opens. What a declaration
 * says is only checked for its shape here; `resolve.ts` holds it against the tables.
 */
export class EntityDeclarations {
  readonly #declarations = new Map<EntityTarget, { readonly declaration: EntityDeclaration; readonly by: string }>();
  #frozen: readonly EntityDeclaration[] | null = null;

  /**
   * Adds an entity. `by` says who registers it, for messages. Throws `TIDEMARK_REGISTRY_FROZEN` after {@link freeze},
   * `TIDEMARK_REGISTRY_DOUBLED` for an entity that is registered already, `TIDEMARK_REGISTRY_OPTION` for options of the
   * wrong shape. The options are copied: changing them later has no effect.
   */
  register(entity: EntityTarget, options: EntityOptions, by = "the application"): void {
    if (!isEntityTarget(entity)) throw registryErrors.missingEntity({ from: `The registration by ${by}` });
    const name = nameOfEntity(entity);
    if (this.#frozen !== null) throw registryErrors.frozen({ entity: name, by });
    const earlier = this.#declarations.get(entity);
    if (earlier !== undefined) throw registryErrors.doubled({ entity: name, first: earlier.by, second: by });
    checkOptions(name, options);
    this.#declarations.set(entity, { declaration: copyOf(entity, options), by });
  }

  /** Adds the entities of an initialized data source that carry `@Synced`. Throws as {@link register} does. */
  registerDecorated(dataSource: DataSource): void {
    for (const { entity, ...options } of declarationsOf(dataSource)) this.register(entity, options, BY_DECORATOR);
  }

  /** Ends registration and returns what was registered, in order. May be called again. */
  freeze(): readonly EntityDeclaration[] {
    this.#frozen ??= Object.freeze([...this.#declarations.values()].map(({ declaration }) => declaration));
    return this.#frozen;
  }
}

/** What each option must be. `undefined` is always fine but for the ownership. */
const CHECKS: Readonly<
  Record<keyof EntityOptions, { readonly is: (value: unknown) => boolean; readonly expected: string }>
> = {
  ownership: {
    is: (value) =>
      isObject(value) && (value.kind === "shared" || (value.kind === "device" && typeof value.owner === "string")),
    expected: 'one of { kind: "shared" } and { kind: "device", owner: "volume.device" }',
  },
  name: { is: isName, expected: "a text that is not empty" },
  identity: { is: isName, expected: "the name of a property" },
  references: {
    is: (value) =>
      isObject(value) && Object.values(value).every((reference) => isObject(reference) && "to" in reference),
    expected: "an object such as { parentId: { to: Entry } }",
  },
  exclude: { is: (value) => Array.isArray(value) && value.every(isName), expected: "a list of property names" },
  wireNames: {
    is: (value) => isObject(value) && Object.values(value).every(isName),
    expected: 'an object such as { title: "name" }',
  },
  isDevice: { is: (value) => typeof value === "boolean", expected: "true or false" },
  afterBackfill: { is: (value) => typeof value === "function", expected: "a function" },
};

function checkOptions(entity: string, options: EntityOptions): void {
  if (!isObject(options) || options.ownership === undefined) {
    throw registryErrors.invalidOption({
      entity,
      option: "ownership",
      why: "it is missing, and nothing says who may change the records",
      advice: `Write ${CHECKS.ownership.expected}`,
    });
  }
  for (const [option, value] of Object.entries(options)) {
    // An `EntityDeclaration` is its own options.
    if (option === "entity") continue;
    if (!Object.hasOwn(CHECKS, option)) {
      const nearest = nearestOf(option, Object.keys(CHECKS));
      throw registryErrors.invalidOption({
        entity,
        option,
        why: "there is no such option",
        advice:
          nearest === undefined ? `The options are ${Object.keys(CHECKS).join(", ")}` : `Did you mean "${nearest}"?`,
      });
    }
    const { is, expected } = CHECKS[option as keyof EntityOptions];
    if (value !== undefined && !is(value)) {
      throw registryErrors.invalidOption({
        entity,
        option,
        why: "its value has the wrong shape",
        advice: `Write ${expected}`,
      });
    }
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function copyOf(entity: EntityTarget, options: EntityOptions): EntityDeclaration {
  const { ownership, references, exclude, wireNames, ...rest } = options;
  return Object.freeze({
    ...rest,
    entity,
    ownership: Object.freeze({ ...ownership }),
    ...(references && {
      references: Object.freeze(
        Object.fromEntries(Object.entries(references).map(([property, { to }]) => [property, Object.freeze({ to })])),
      ),
    }),
    ...(exclude && { exclude: Object.freeze([...exclude]) }),
    ...(wireNames && { wireNames: Object.freeze({ ...wireNames }) }),
  });
}
