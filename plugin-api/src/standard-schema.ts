/**
 * The Standard Schema interface, version 1 (https://standardschema.dev), reduced to what Tidemark reads. It is copied
 * here, as its authors recommend, so that this package needs no dependency. zod 4, valibot and arktype implement it.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What validation yields: a value, or what is wrong. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong with a value, and where. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema accepts. */
export type SchemaInput<S> = S extends StandardSchema<infer Input, unknown> ? Input : unknown;
/** What a schema yields, defaults filled in. */
export type SchemaOutput<S> = S extends StandardSchema<unknown, infer Output> ? Output : unknown;
