import { SyncEngine } from "../replication/sync-engine.js";
import { createTidemarkWith } from "./create-tidemark.js";

/**
 * Makes a Tidemark on a TypeORM data source. Checks at once what can be checked without the database; `start()` does the
 * rest. Throws `TIDEMARK_CONFIG_…` for settings that can't be right.
 *
 * @example
 * const tidemark = createTidemark({
 *   dataSource: new DataSource(tidemarkDataSourceOptions({ type: "better-sqlite3", database: "notes.sqlite", entities: [Note] })),
 *   entities: [{ entity: Note, ownership: { kind: "shared" } }],
 *   plugins: [websocket],
 *   settings: defineConfig({
 *     library: { id: "my-notes", secret: process.env.NOTES_SECRET, role: "found" },
 *     device: { id: "laptop", name: "Laptop" },
 *     plugins: { websocket: { settings: { listen: { port: 4711 } } } },
 *   }),
 * });
 * await tidemark.start();
 */
export const createTidemark = createTidemarkWith((deps) => new SyncEngine(deps));
