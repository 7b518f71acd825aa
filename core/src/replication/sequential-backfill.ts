import type { BackfillPage, BackfillRange, BackfillScheduler, BackfillWork } from "@tidemark/plugin-api";
import { without } from "./backfill-ranges.js";

/** The kernel's own scheduler, plain: page after page from one peer, in the order of the levels, one ahead. */
export const sequentialBackfill: BackfillScheduler = {
  async run(work) {
    const peer = work.peers()[0]!;
    const fetch = (range: BackfillRange) => work.fetch({ peer, range });
    let range = firstOpen(work, null);
    let fetched = range === null ? null : fetch(range);
    while (fetched !== null) {
      const page = await fetched;
      range = firstOpen(work, page);
      // The next page travels while this one is applied.
      const ahead = range !== null && work.maxConcurrency > 1 ? fetch(range) : null;
      ahead?.catch(() => {}); // Awaited when its turn comes; until then its failure is nobody's.
      await work.apply(page);
      fetched = ahead ?? (range === null ? null : fetch(range));
    }
  },
};

/** What is to be fetched next, when `page` is taken to be here already. */
function firstOpen(work: BackfillWork, page: BackfillPage | null): BackfillRange | null {
  for (const model of work.levels.flat()) {
    const open = work.open(model).map(({ after, upTo }) => [after, upTo] as const);
    const [first] = page?.model === model ? without(open, [page.after, page.upTo]) : open;
    if (first !== undefined) return { model, after: first[0], upTo: first[1] };
  }
  return null;
}
