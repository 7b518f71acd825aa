import type { DataSource } from "typeorm";
import { UserMetadata } from "../library/models.js";
import { nextTurn } from "../system-clock.js";

/** Gives as many rows of metadata another rating, each in a transaction of its own, as an application does. */
export async function editMetadata(dataSource: DataSource, rows: number): Promise<void> {
  const repository = dataSource.getRepository(UserMetadata);
  const { 0: count } = await dataSource.query<{ n: number }[]>('SELECT count(*) AS n FROM "user_metadata"');
  for (let index = 0; index < rows; index++) {
    await repository.update({ id: 1 + (index % count!.n) }, { rating: 1 + (Math.floor(index / count!.n) % 5) });
    if (index % 50 === 0) await nextTurn();
  }
}
