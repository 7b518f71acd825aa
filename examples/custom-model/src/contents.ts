import { createHash } from "node:crypto";
import type { DataSource } from "typeorm";
import { Attachment } from "./models/attachment.js";
import { Bookmark } from "./models/bookmark.js";
import { Device } from "./models/device.js";
import { Label } from "./models/label.js";
import { Note } from "./models/note.js";
import { Notebook } from "./models/notebook.js";

/**
 * All that a device holds, without its local keys: read with TypeORM, so that it says the same as Tidemark's digest for
 * another reason. Bytes are told by their SHA-256.
 */
export async function contentsOf({ manager }: DataSource) {
  const devices = await manager.find(Device);
  const notebooks = await manager.find(Notebook);
  const labels = await manager.find(Label);
  const notes = await manager.find(Note, { relations: { notebook: true, labels: true } });
  const attachments = await manager.find(Attachment, { relations: { note: true } });
  const bookmarks = await manager.find(Bookmark, { relations: { note: true } });
  return {
    devices: inOrder(devices.map(({ id, name }) => ({ key: id, name }))),
    notebooks: inOrder(notebooks.map(({ uuid, title }) => ({ key: uuid, title }))),
    labels: inOrder(labels.map(({ id, name, colour }) => ({ key: id, name, colour }))),
    notes: inOrder(
      notes.map(({ uuid, title, text, pinned, notebook, labels: its }) => ({
        key: uuid,
        title,
        text,
        pinned,
        notebook: notebook.title,
        labels: its.map(({ name }) => name).sort(),
      })),
    ),
    attachments: inOrder(
      attachments.map(({ id, fileName, bytes, note }) => ({
        key: id,
        fileName,
        note: note.title,
        sizeBytes: bytes.length,
        sha256: createHash("sha256").update(bytes).digest("hex"),
      })),
    ),
    bookmarks: inOrder(
      bookmarks.map(({ deviceId, line, note }) => ({
        key: `${deviceId} ${note.uuid}`,
        deviceId,
        note: note.title,
        line,
      })),
    ),
  };
}

/** What a device holds. */
export type Contents = Awaited<ReturnType<typeof contentsOf>>;

function inOrder<Item extends { readonly key: string }>(items: Item[]): Item[] {
  return items.sort((one, other) => (one.key < other.key ? -1 : 1));
}
