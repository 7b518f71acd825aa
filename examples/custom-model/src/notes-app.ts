import { createTidemark, type Tidemark, tidemarkDataSourceOptions } from "@tidemark/core";
import { websocketAddress } from "@tidemark/plugin-websocket";
import { DataSource } from "typeorm";
import { Attachment } from "./models/attachment.js";
import { Bookmark } from "./models/bookmark.js";
import { Device } from "./models/device.js";
import { Label } from "./models/label.js";
import { Note } from "./models/note.js";
import { Notebook } from "./models/notebook.js";
import { type NotesDevice, plugins, tidemarkConfig } from "./tidemark.config.js";

/**
 * The app on one device: a TypeORM data source as in any other, and Tidemark beside it. Nothing else in the app needs to
 * know that there are other devices: it reads and writes through the data source, and Tidemark sees it.
 */
export interface NotesApp {
  readonly name: string;
  readonly dataSource: DataSource;
  readonly tidemark: Tidemark;
  /** The names on the wire of all that is synced. */
  readonly models: readonly string[];
  /** Where others can dial this device; null if it does not listen. */
  readonly address: string | null;
  close(): Promise<void>;
}

/** Opens the notes in `databaseFile`, or makes them, and starts to sync. */
export async function openNotesApp({
  device,
  databaseFile,
  env = process.env,
}: {
  readonly device: NotesDevice;
  readonly databaseFile: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}): Promise<NotesApp> {
  const dataSource = new DataSource(
    tidemarkDataSourceOptions({
      type: "better-sqlite3",
      database: databaseFile,
      entities: [Device, Notebook, Note, Label, Attachment, Bookmark],
      // Convenient for an example; an app runs its migrations here.
      synchronize: true,
    }),
  );
  await dataSource.initialize();
  // `entities` is left out: the classes say themselves that they are synced.
  const tidemark = createTidemark({ dataSource, plugins, settings: tidemarkConfig(device), env });
  const models: string[] = [];
  tidemark.events.on("modelsRegistered", (registered) => models.push(...registered.models));
  try {
    await tidemark.start();
    await dataSource.getRepository(Device).save({ id: device.id, name: device.name });
  } catch (error) {
    await tidemark.stop();
    await dataSource.destroy();
    throw error;
  }
  return {
    name: device.name,
    dataSource,
    tidemark,
    models,
    address: tidemark.services.find(websocketAddress)?.url() ?? null,
    async close() {
      await tidemark.stop();
      await dataSource.destroy();
    },
  };
}
