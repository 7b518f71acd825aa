import { isDeepStrictEqual } from "node:util";
import type { Contents } from "./contents.js";
import type { Outcome } from "./two-devices.js";

/** What should have come of the changes that two people made without knowing of each other, and whether it has. */
export interface Finding {
  readonly what: string;
  readonly outcome: string;
  readonly holds: boolean;
}

export function findingsOf({ models, laptop, phone }: Outcome): readonly Finding[] {
  const both = (holds: (contents: Contents) => boolean): boolean => holds(laptop) && holds(phone);
  const noteCalled = (title: string) => (contents: Contents) => contents.notes.find((note) => note.title === title);
  const bread = noteCalled("Sourdough bread");
  const lisbon = noteCalled("Lisbon in June");
  const labelled = (note: typeof bread) => (contents: Contents) => note(contents)?.labels.includes("To do") === true;
  return [
    {
      what: "Sourdough bread",
      outcome: "got its title on the laptop and its text on the phone: both stayed",
      holds: both((contents) => bread(contents)?.text === "Flour, water, salt, and a day of patience."),
    },
    {
      what: "Lisbon in June",
      outcome: "was renamed on both: the later name stands",
      holds: both((contents) => lisbon(contents) !== undefined && contents.notes.length === 2),
    },
    {
      what: "Shopping",
      outcome: "was deleted on the laptop and edited on the phone: it is deleted",
      holds: both((contents) => noteCalled("Shopping")(contents) === undefined),
    },
    {
      what: "To do",
      outcome: "was invented on both: it is one label, and on both notes",
      holds: both(
        (contents) =>
          contents.labels.filter(({ name }) => name === "To do").length === 1 &&
          labelled(bread)(contents) &&
          labelled(lisbon)(contents),
      ),
    },
    {
      what: "tram.jpg",
      outcome: "came from the phone, crumb.jpg from the laptop: both have the bytes of both",
      holds:
        isDeepStrictEqual(laptop.attachments, phone.attachments) &&
        both(
          ({ attachments }) =>
            sizeOf(attachments, "tram.jpg") === 200_000 && sizeOf(attachments, "crumb.jpg") === 64_000,
        ),
    },
    {
      what: "Bookmarks",
      outcome: "are each device's own, and known to the other",
      holds: both(({ bookmarks }) => lineOf(bookmarks, "laptop") === 12 && lineOf(bookmarks, "phone") === 3),
    },
    {
      what: "All records",
      outcome: "are the same on both, by Tidemark's digest and by what TypeORM reads",
      holds: models.every((model) => isDeepStrictEqual(model.laptop, model.phone)) && isDeepStrictEqual(laptop, phone),
    },
  ];
}

function sizeOf(attachments: Contents["attachments"], name: string): number | undefined {
  return attachments.find(({ fileName }) => fileName === name)?.sizeBytes;
}

function lineOf(bookmarks: Contents["bookmarks"], device: string): number | undefined {
  return bookmarks.find(({ deviceId }) => deviceId === device)?.line;
}
