/** A record that is written after all others, so that they are there when it is. */
export const ARRIVAL = { table: "user_metadata", uuid: "f0000000-0000-4000-8000-000000000001" } as const;

export const markArrival = markerInsert(ARRIVAL.uuid);

export function markerInsert(uuid: string): string {
  return `INSERT INTO "user_metadata" ("uuid", "notes", "favourite") VALUES ('${uuid}', 'all is there', 0)`;
}
