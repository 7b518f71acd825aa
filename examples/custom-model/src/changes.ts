import { randomBytes } from "node:crypto";
import type { DataSource } from "typeorm";
import { Attachment } from "./models/attachment.js";
import { Bookmark } from "./models/bookmark.js";
import { Label } from "./models/label.js";
import { Note } from "./models/note.js";
import { Notebook } from "./models/notebook.js";

/** What the two people of the example write, as any TypeORM application would: nothing in here knows of Tidemark. */

/** Before the phone is there. */
export async function firstNotes({ manager }: DataSource): Promise<void> {
  const [kitchen, journeys] = await manager.save(Notebook, [{ title: "Kitchen" }, { title: "Journeys" }]);
  const recipes = await manager.save(Label.of({ name: "Recipes", colour: "#e07a1f" }));
  const [bread] = await manager.save(Note, [
    { title: "Bread", text: "Flour, water, salt.", notebook: kitchen!, labels: [recipes], pinned: true },
    { title: "Shopping", text: "Milk", notebook: kitchen! },
    { title: "Lisbon", text: "Tram 28", notebook: journeys! },
  ]);
  await manager.save(
    Object.assign(new Attachment(), { fileName: "crumb.jpg", bytes: randomBytes(64_000), note: bread! }),
  );
}

/** On the laptop, while the phone is away. */
export async function laptopAlone({ manager }: DataSource, deviceId: string): Promise<void> {
  await manager.update(Note, { title: "Bread" }, { title: "Sourdough bread" });
  await manager.update(Note, { title: "Lisbon" }, { title: "Lisbon in May" });
  await manager.delete(Note, { title: "Shopping" });
  await manager.save(Label.of({ name: "To do", colour: "#c0392b" }));
  const lisbon = await manager.findOneByOrFail(Note, { title: "Lisbon in May" });
  await manager.createQueryBuilder().relation(Note, "labels").of(lisbon).add("to-do");
  await manager.save(Bookmark, { deviceId, noteId: lisbon.id, line: 12 });
}

/** On the phone, at the same time. */
export async function phoneAlone({ manager }: DataSource, deviceId: string): Promise<void> {
  const bread = await manager.findOneByOrFail(Note, { title: "Bread" });
  await manager.update(Note, { id: bread.id }, { text: "Flour, water, salt, and a day of patience." });
  await manager.update(Note, { title: "Shopping" }, { text: "Milk, yeast" });
  await manager.save(Label.of({ name: "To do", colour: "#2980b9" }));
  await manager.createQueryBuilder().relation(Note, "labels").of(bread).add("to-do");
  const lisbon = await manager.findOneByOrFail(Note, { title: "Lisbon" });
  await manager.update(Note, { id: lisbon.id }, { title: "Lisbon in June" });
  await manager.save(
    Object.assign(new Attachment(), { fileName: "tram.jpg", bytes: randomBytes(200_000), note: lisbon }),
  );
  await manager.save(Bookmark, { deviceId, noteId: bread.id, line: 3 });
}
