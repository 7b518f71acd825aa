import { DataSource } from "typeorm";
import { benchEntities } from "./models.js";

/** Creates a database with the application's own tables, as TypeORM makes them, and none of Tidemark's. */
export async function createSchema(file: string): Promise<void> {
  const dataSource = new DataSource({
    type: "better-sqlite3",
    database: file,
    entities: benchEntities,
    synchronize: true,
    enableWAL: true,
  });
  await dataSource.initialize();
  await dataSource.destroy();
}
