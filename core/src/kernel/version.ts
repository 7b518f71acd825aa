/** The version of `@tidemark/core`; the same as in its package.json. */
export const CORE_VERSION = "0.1.0";
