import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of the storage layer, with its stable code. */
export const storageErrors = {
  newerFormat: ({ found, supported }: { readonly found: number; readonly supported: number }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_NEWER_FORMAT",
      what: "The sync tables of this database can't be used",
      why: `they have format ${found}, and this version of Tidemark knows formats up to ${supported}`,
      advice: "Update the application to the version that last opened this database, or a newer one",
      details: { found, supported },
    }),
};
