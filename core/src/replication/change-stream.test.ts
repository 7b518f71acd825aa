import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { raiseVector } from "../storage/vectors.js";
import { ManualClock } from "../testing/manual-clock.js";
import { at, Device } from "./apply.test-support.js";
import { ChangeStream, type ChangeStreamOptions, PAGE_BYTES } from "./change-stream.js";
import type { LocalLibrary } from "./local-library.js";
import { decodeMessage, type MessageOf } from "./messages.js";

/** A device that has no kernel and serves its log; of the receiver there is only what it says. */
class Serving {
  readonly device = new Device();
  readonly clock = new ManualClock();
  readonly pages: MessageOf<"page">[] = [];
  readonly events: unknown[] = [];
  readonly errors: unknown[] = [];
  /** What the transport has not got rid of. */
  bufferedBytes = 0;
  readonly settings = { pageRecords: 100, windowBytes: 16 * 1024 * 1024 };
  /** What is committed survives a power loss once this resolves. */
  cover: () => Promise<void> = () => Promise.resolve();
  read: (read: () => unknown) => Promise<unknown> = (read) => Promise.resolve(read());

  stream(options: Partial<ChangeStreamOptions> = {}): ChangeStream {
    const { device } = this;
    const deps = {
      settings: { replication: this.settings },
      fence: { cover: () => this.cover() },
      members: device.members,
      events: { emit: (name: string, event: object) => this.events.push({ name, ...event }) },
      clock: this.clock,
    };
    const library = {
      deps,
      encodeDeps: { registry: device.registry, reader: device.reader, members: device.members },
      read: (_: string, read: (db: unknown) => unknown) => this.read(() => read(device.db)),
    };
    const stream = new ChangeStream({
      library: library as unknown as LocalLibrary,
      peer: "origin-2",
      position: 0,
      receiver: new Map(),
      send: (message) => {
        this.pages.push(decodeMessage(message) as MessageOf<"page">);
        return 42;
      },
      bufferedBytes: () => this.bufferedBytes,
      onError: (error) => this.errors.push(error),
      ...options,
    });
    stream.wake();
    return stream;
  }

  /** The records of the pages since the last call, page by page. */
  async sent(): Promise<readonly (readonly string[])[]> {
    await this.clock.settle();
    return this.pages.splice(0).map(recordsOf);
  }

  /** Records of the third member come. */
  add(time: number, ...records: readonly string[]): void {
    this.device.apply(records.map((record) => this.device.folder(record, at(time, 3))));
  }
}

function recordsOf({ records }: MessageOf<"page">): readonly string[] {
  return (records.groups as readonly { readonly r: readonly (readonly [string])[] }[]).flatMap(({ r }) =>
    r.map(([record]) => record),
  );
}

let serving: Serving;
beforeEach(() => {
  serving = new Serving();
});
afterEach(() => serving.device.db.close());

describe("a stream of changes", () => {
  it("brings what the receiver lacks, then what is new, each round with the vector at its end", async () => {
    serving.settings.pageRecords = 2;
    serving.add(10, "a", "b", "c");
    raiseVector(serving.device.db, 1, new Map([[3, 10]]));
    raiseVector(serving.device.db, 3, new Map([[2, 7]]));
    serving.stream();
    await serving.clock.settle();
    const end = {
      vector: { "origin-1": 10, "origin-3": 10 },
      vectors: { "origin-3": { "origin-2": 7 } },
      removals: [],
    };
    expect(serving.pages).toMatchObject([
      { t: "page", n: 1, records: { origins: [["origin-3", "c", "c"]] }, position: 2, end: null },
      { t: "page", n: 2, position: 3, end },
    ]);
    expect(serving.pages[1]!.end!.members.map(({ origin }) => origin)).toEqual(["origin-1", "origin-2", "origin-3"]);
    expect(await serving.sent()).toEqual([["a", "b"], ["c"]]);
    expect(serving.events).toEqual([
      { name: "pageServed", peer: "origin-2", phase: "catch-up", records: 2, bytes: 42 },
      { name: "pageServed", peer: "origin-2", phase: "catch-up", records: 1, bytes: 42 },
    ]);
  });

  it("goes on from where it is told, and brings only what the receiver's vector does not cover", async () => {
    serving.add(10, "first");
    serving.add(20, "had");
    serving.add(30, "new");
    serving.stream({ position: 1, receiver: new Map([[3, 20]]) });
    expect(await serving.sent()).toEqual([["new"]]);
  });

  it("brings nothing that the receiver has made, though its vector does not say so yet", async () => {
    serving.device.apply([serving.device.folder("theirs", at(10, 2)), serving.device.folder("other", at(10, 3))]);
    serving.stream();
    expect(await serving.sent()).toEqual([["other"]]);
  });

  it("brings all to a receiver that is not known here", async () => {
    serving.device.apply([serving.device.folder("a", at(10, 2)), serving.device.folder("b", at(10, 3))]);
    serving.stream({ peer: "origin-9" });
    expect(await serving.sent()).toEqual([["a", "b"]]);
  });

  it("passes over any number of records that the receiver has", async () => {
    serving.settings.pageRecords = 1;
    const { device } = serving;
    device.apply(Array.from({ length: 30 }, (_, n) => device.folder(`theirs${n}`, at(10, 2))));
    serving.add(20, "new");
    serving.stream();
    expect(await serving.sent()).toEqual([["new"], []]);
  });

  it("brings nothing that the receiver has acknowledged, and an acknowledgement never goes back", async () => {
    const stream = serving.stream();
    await serving.sent();
    stream.acknowledged(new Map([[3, 20]]));
    stream.acknowledged(new Map([[3, 5]]));
    serving.add(20, "known");
    serving.add(30, "new");
    stream.wake();
    expect(await serving.sent()).toEqual([["new"]]);
  });

  it("takes an end that was sent for acknowledged: with it the receiver has what the vector says", async () => {
    raiseVector(serving.device.db, 1, new Map([[3, 20]]));
    const stream = serving.stream();
    await serving.sent();
    serving.add(20, "covered");
    serving.add(30, "new");
    stream.wake();
    expect(await serving.sent()).toEqual([["new"]]);
  });

  it("sees what comes while it reads", async () => {
    const stream = serving.stream();
    await serving.sent();
    serving.add(10, "a");
    serving.read = (read) => {
      const page = read();
      serving.read = (again) => Promise.resolve(again());
      serving.add(20, "b");
      stream.wake();
      return Promise.resolve(page);
    };
    stream.wake();
    expect(await serving.sent()).toEqual([["a"], ["b"]]);
  });
});

describe("what it says without records", () => {
  it("is the vector once in the beginning, and after that nothing by itself", async () => {
    const stream = serving.stream();
    expect(await serving.sent()).toEqual([[]]);
    stream.wake();
    expect(await serving.sent()).toEqual([]);
  });

  it("is the vector when that is to be told, news or not", async () => {
    const stream = serving.stream();
    await serving.sent();
    stream.tellVector();
    expect(await serving.sent()).toEqual([[]]);
  });

  it("is as news only what was not said before, of which what the receiver has itself is no part", async () => {
    const { db } = serving.device;
    const stream = serving.stream();
    await serving.sent();
    const answers: number[] = [];
    const answer = async () => {
      stream.tellNews();
      answers.push((await serving.sent()).length);
    };
    await answer();
    raiseVector(db, 1, new Map([[3, 50]]));
    await answer();
    await answer();
    raiseVector(db, 2, new Map([[3, 50]]));
    await answer();
    raiseVector(db, 3, new Map([[3, 50]]));
    await answer();
    expect(answers).toEqual([0, 1, 0, 0, 1]);
    // Nothing is owed any more: what is read next finds nothing, and says nothing.
    raiseVector(db, 3, new Map([[3, 60]]));
    stream.wake();
    expect(await serving.sent()).toEqual([]);
  });

  it("stays the vector when news are to be told besides", async () => {
    const stream = serving.stream();
    await serving.sent();
    serving.bufferedBytes = serving.settings.windowBytes;
    stream.tellVector();
    stream.tellNews();
    serving.bufferedBytes = 0;
    stream.wake();
    expect(await serving.sent()).toEqual([[]]);
  });

  it("comes along with records all the same", async () => {
    const stream = serving.stream();
    await serving.sent();
    serving.add(10, "a");
    stream.tellNews();
    await serving.clock.settle();
    expect(serving.pages).toMatchObject([{ end: { vector: { "origin-1": 10 } } }]);
  });
});

describe("the pace", () => {
  it("is that of the receiver: no more than a window is on its way", async () => {
    serving.settings.pageRecords = 1;
    serving.settings.windowBytes = 1;
    serving.add(10, "a", "b", "c");
    const stream = serving.stream();
    expect(await serving.sent()).toEqual([["a"]]);
    expect(stream.appliedUpTo).toBe(null);
    stream.wake();
    expect(await serving.sent()).toEqual([]);
    stream.applied(1);
    expect(stream.appliedUpTo).toBe(1);
    expect(await serving.sent()).toEqual([["b"]]);
    stream.applied(2);
    expect(await serving.sent()).toEqual([["c"]]);
    stream.applied(3);
    // The page was full, so the end is one of its own.
    expect(await serving.sent()).toEqual([[]]);
    expect(stream.takesNews).toBe(false);
    stream.applied(4);
    expect([stream.takesNews, stream.appliedUpTo]).toEqual([true, 3]);
  });

  it("is that of the connection as well", async () => {
    serving.add(10, "a");
    serving.bufferedBytes = serving.settings.windowBytes;
    const stream = serving.stream();
    expect(await serving.sent()).toEqual([]);
    serving.bufferedBytes -= 1;
    stream.wake();
    expect(await serving.sent()).toEqual([["a"]]);
  });

  it("puts what comes while four live pages are on their way into the next one", async () => {
    const stream = serving.stream();
    await serving.sent();
    for (const [n, record] of ["a", "b", "c", "d", "e"].entries()) {
      serving.add(10 + n, record);
      stream.wake();
      await serving.clock.settle();
    }
    // The vector, which was the first page, is on its way, too.
    expect(await serving.sent()).toEqual([["a"], ["b"], ["c"]]);
    expect(stream.takesNews).toBe(false);
    stream.applied(2);
    expect(await serving.sent()).toEqual([["d", "e"]]);
  });

  it("lets any number of pages be on their way while the receiver catches up", async () => {
    serving.settings.pageRecords = 1;
    serving.add(10, "a", "b", "c", "d", "e", "f");
    const stream = serving.stream();
    expect(stream.takesNews).toBe(false);
    expect(await serving.sent()).toEqual([["a"], ["b"], ["c"], ["d"], ["e"], ["f"], []]);
  });

  it("does not look again for what is applied where nothing waits", async () => {
    let reads = 0;
    serving.read = (read) => {
      reads += 1;
      return Promise.resolve(read());
    };
    const stream = serving.stream();
    await serving.sent();
    stream.applied(1);
    await serving.sent();
    expect(reads).toBe(1);
  });

  it.each([2, 0, 1.5])("ends with an error where page %d is said to be applied, which is on no way", async (page) => {
    const stream = serving.stream();
    await serving.sent();
    expect(() => stream.applied(page)).toThrow(expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }));
    stream.applied(1);
    expect(() => stream.applied(1)).toThrow("never sent");
  });
});

describe("a page", () => {
  /** Folders with names of so many bytes. */
  function addLarge(time: number, bytes: number, prefix: string, count: number): void {
    const { device } = serving;
    device.apply(
      Array.from({ length: count }, (_, n) =>
        device.born("folder", `${prefix}${n}`, at(time, 3), { name: "x".repeat(bytes), parent_id: null }),
      ),
    );
  }

  it("with too many bytes is made shorter, down to one record, and longer again where records are small", async () => {
    serving.settings.pageRecords = 32;
    serving.settings.windowBytes = 100 * PAGE_BYTES;
    addLarge(10, PAGE_BYTES + 1, "huge", 1);
    addLarge(20, PAGE_BYTES / 6, "large", 8);
    addLarge(30, 1, "small", 70);
    serving.stream();
    const lengths = (await serving.sent()).map((page) => page.length);
    expect(lengths).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 7]);
  });

  it("is made shorter no more than it needs to be", async () => {
    serving.settings.pageRecords = 16;
    serving.settings.windowBytes = 100 * PAGE_BYTES;
    addLarge(10, PAGE_BYTES / 6, "large", 8);
    serving.stream();
    expect((await serving.sent()).map((page) => page.length)).toEqual([4, 4, 0]);
  });

  it("has as many bytes as it may", async () => {
    serving.settings.windowBytes = 100 * PAGE_BYTES;
    addLarge(10, PAGE_BYTES / 4, "large", 3);
    serving.stream();
    expect(await serving.sent()).toEqual([["large0", "large1", "large2"]]);
  });

  it("leaves once a power loss can't take back what it tells", async () => {
    let covered = () => {};
    serving.cover = () =>
      new Promise((resolve) => {
        covered = resolve;
      });
    serving.add(10, "a");
    const stream = serving.stream();
    expect(await serving.sent()).toEqual([]);
    covered();
    expect(await serving.sent()).toEqual([["a"]]);
    serving.add(20, "b");
    stream.wake();
    await serving.sent();
    stream.close();
    covered();
    expect(await serving.sent()).toEqual([]);
  });
});

describe("the end of a stream", () => {
  it("is told when it can't go on", async () => {
    const error = new Error("the disk is gone");
    serving.read = () => Promise.reject(error);
    serving.stream();
    await serving.sent();
    expect(serving.errors).toEqual([error]);
  });

  it("after which nothing is sent, read or told", async () => {
    const stream = serving.stream();
    await serving.sent();
    stream.applied(1);
    let reads = 0;
    let fail = () => {};
    serving.read = () => {
      reads += 1;
      return new Promise((_, reject) => {
        fail = () => reject(new Error("closed"));
      });
    };
    stream.wake();
    stream.close();
    fail();
    stream.tellVector();
    expect(await serving.sent()).toEqual([]);
    expect([reads, serving.errors, stream.appliedUpTo, stream.takesNews]).toEqual([1, [], null, false]);
  });

  it("takes back what was read and not sent", async () => {
    serving.add(10, "a");
    const stream = serving.stream();
    stream.close();
    expect(await serving.sent()).toEqual([]);
  });
});
