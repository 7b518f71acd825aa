import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataSource } from "typeorm";
import { nodeFileSystem } from "./indexer/file-system.js";
import { type IndexResult, indexLocation } from "./indexer/index-location.js";
import { registerDevice, registerLocation } from "./indexer/location-registry.js";
import { fileLibraryEntities } from "./models/registration.js";

/** For tests: a library without Tidemark in a temporary directory. Its identities repeat from run to run. */
export interface TestLibrary {
  readonly directory: string;
  readonly dataSource: DataSource;
  index(root: string): Promise<IndexResult>;
  close(): Promise<void>;
}

export async function openTestLibrary({ deviceId }: { readonly deviceId: string }): Promise<TestLibrary> {
  const directory = await mkdtemp(join(tmpdir(), "file-library-"));
  const dataSource = new DataSource({
    type: "better-sqlite3",
    database: join(directory, "library.sqlite"),
    entities: fileLibraryEntities,
    synchronize: true,
  });
  await dataSource.initialize();
  await registerDevice({ dataSource, deviceId, name: "test" });
  let made = 0;
  return {
    directory,
    dataSource,
    async index(root) {
      const location = await registerLocation({ dataSource, deviceId, name: "test", path: root });
      return indexLocation({
        dataSource,
        fs: nodeFileSystem,
        clock: { now: () => 1_700_000_000_000 + made++ },
        random: { bytes: (length) => Buffer.alloc(length) },
        locationId: location.id,
        root,
      });
    },
    async close() {
      await dataSource.destroy();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
