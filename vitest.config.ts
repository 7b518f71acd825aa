import { defineConfig } from "vitest/config";

// Tests run on the sources: the custom export condition maps every workspace package to its `src`.
export default defineConfig({
  resolve: { conditions: ["tidemark-source"] },
  ssr: { resolve: { conditions: ["tidemark-source"] } },
  test: {
    include: [
      "{plugin-api,core,plugins/*,examples/{custom-model,file-library},bench}/src/**/*.test.ts",
      "tools/**/*.test.ts",
    ],
    // better-sqlite3 is a native module that does not like being loaded by several worker threads.
    pool: "forks",
    // All cores: by default one is kept free, and of two that is half.
    maxWorkers: "100%",
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
