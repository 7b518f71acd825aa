import { DataSource } from "typeorm";
import { benchEntities } from "./models.js";

/** Lets SQLite give back the pages that it does not need any more, as the plugin ack-pruning asks it to. */
export function giveSpaceBack(connection: { pragma(source: string): unknown }): void {
  connection.pragma("auto_vacuum = INCREMENTAL");
}

/** Creates a database with the application's own tables, as TypeORM makes them, and none of Tidemark's. */
export async function createSchema(
  file: string,
  prepareDatabase?: (connection: { pragma(source: string): unknown }) => void,
): Promise<void> {
  const dataSource = new DataSource({
    type: "better-sqlite3",
    database: file,
    entities: benchEntities,
    synchronize: true,
    enableWAL: true,
    ...(prepareDatabase !== undefined && { prepareDatabase }),
  });
  await dataSource.initialize();
  await dataSource.destroy();
}
