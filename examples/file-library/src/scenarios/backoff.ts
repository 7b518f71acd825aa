import {
  type AnyPlugin,
  API_VERSION,
  type CatchUpDecision,
  definePlugin,
  type KernelEvents,
} from "@tidemark/plugin-api";
import { Tag } from "../models/tag.js";
import { remedies } from "./all-plugins.js";
import { countRows, type InProcessDevice, LibraryInProcess } from "./library-in-process.js";
import { type Check, type Figure, isEqual, isTrue, type Scenario, type ScenarioContext } from "./scenario.js";

/**
 * A peer from which nothing can be taken, again and again: how long is waited, when everything is taken anew, what a
 * success does and what a restart. On real kernels, under a clock that the scenario moves.
 */
/** In seconds, before jitter, after the first failure, the second and so on. */
const PLAIN_DELAYS_S = [10, 20, 40, 80, 160, 300, 300] as const;
const JITTER = 0.1;
/** How much later than decided an attempt may come: time passes in steps. */
const LATE_MS = 2_000;
/** Seeds of chance for the delays with jitter. */
const SEEDS: Readonly<Record<ScenarioContext["size"], number>> = { full: 25, small: 2 };

export interface Failures {
  readonly decisions: readonly CatchUpDecision[];
  readonly decidedBy: readonly string[];
  /** Time between one failure and the next, in milliseconds. */
  readonly waitsMs: readonly number[];
}

export interface BackoffFacts {
  /** Without jitter, from the first failure to the seventh. */
  readonly plain: Failures;
  /** In what phase each attempt failed. */
  readonly phases: readonly string[];
  /** After the peer was well again. */
  readonly recovered: boolean;
  readonly backfills: number;
  /** The first failure after a success. */
  readonly afterSuccess: CatchUpDecision | undefined;
  /** Two failures, a restart, and the one that followed. */
  readonly afterRestart: Failures;
  /** How many attempts were made within the wait that the restart fell into. */
  readonly attemptsInsideTheWait: number;
  /** With jitter, one run for each seed. */
  readonly jittered: readonly Failures[];
}

export const backoffScenario: Scenario = {
  number: 3,
  title: "Backoff",
  async run({ size, seed, workDirectory, clock: realClock, display }) {
    const inLibrary = async <Result>(number: number, work: (run: FailingPair) => Promise<Result>): Promise<Result> => {
      const library = new LibraryInProcess({ workDirectory, seed: number, realClock });
      try {
        return await work(new FailingPair(library, `${number}`));
      } finally {
        await library.dispose();
      }
    };
    const facts = await inLibrary(seed, withoutJitter);
    const jittered: Failures[] = [];
    for (let run = 1; run <= SEEDS[size]; run++) {
      jittered.push(await inLibrary(seed * 1_000 + run, withJitter));
      display.update({ name: "runs with jitter", unit: "runs", done: run, total: SEEDS[size] });
    }
    const all = { ...facts, jittered };
    return { checks: backoffChecks(all), figures: backoffFigures(all) };
  },
};

async function withoutJitter(pair: FailingPair): Promise<Omit<BackoffFacts, "jittered">> {
  const a = await pair.library.start(pair.names.a);
  let b = await pair.join({ jitter: 0 });
  const peer = (await a.tidemark.status()).origin!;

  pair.refuse(peer);
  await pair.write(a);
  const plain = await pair.failures(b, PLAIN_DELAYS_S.length);
  const phases = b.recordedOf("catchUpFailed").map(({ phase }) => phase);

  pair.accept(peer);
  const recovered = await pair.library.comeInStep(a, b);
  const backfills = b.recordedOf("backfillCompleted").length;

  pair.refuse(peer);
  await pair.write(a);
  const again = await pair.failures(b, PLAIN_DELAYS_S.length + 3);
  const afterSuccess = again.decisions[PLAIN_DELAYS_S.length];

  // Three failures, so 40 s are to be waited; the restart comes at once.
  await pair.library.stop(b);
  b = await pair.join({ jitter: 0 });
  await pair.library.pass(35_000);
  const attemptsInsideTheWait = b.recordedOf("catchUpFailed").length;
  const afterRestart = await pair.failures(b, 2);
  return { plain, phases, recovered, backfills, afterSuccess, afterRestart, attemptsInsideTheWait };
}

async function withJitter(pair: FailingPair): Promise<Failures> {
  const a = await pair.library.start(pair.names.a);
  const b = await pair.join({});
  pair.refuse((await a.tidemark.status()).origin!);
  await pair.write(a);
  return await pair.failures(b, PLAIN_DELAYS_S.length);
}

export function backoffChecks(facts: BackoffFacts): readonly Check[] {
  const { plain, phases, afterSuccess, afterRestart, jittered } = facts;
  const seconds = ({ decisions }: Failures) => decisions.map((decision) => delayOf(decision) / 1_000);
  const all = jittered.flatMap((run) => seconds(run).map((delay, index) => delay / PLAIN_DELAYS_S[index]!));
  return [
    isEqual("the delays before jitter, in seconds", seconds(plain), PLAIN_DELAYS_S),
    isEqual("all of them are decided by backoff", [...new Set(plain.decidedBy)], ["backoff"]),
    isTrue(
      "the kernel waits as long as it is told, and not much longer",
      plain.waitsMs.length === PLAIN_DELAYS_S.length - 1 &&
        plain.waitsMs.every((wait, index) => {
          const delay = PLAIN_DELAYS_S[index]! * 1_000;
          return wait >= delay && wait < delay + LATE_MS;
        }),
      `${plain.waitsMs.map((wait) => Math.round(wait / 1_000)).join(", ")} s`,
    ),
    isEqual(
      "after five failures in a row everything is taken anew",
      plain.decisions.map(({ action }) => action),
      ["retry", "retry", "retry", "retry", "full-backfill", "retry", "retry"],
    ),
    isEqual(
      "which is what fails from then on",
      phases.map((phase) => phase === "backfill"),
      [false, false, false, false, false, true, true],
    ),
    isTrue("once the peer is well again both hold the same", facts.recovered, facts.recovered),
    isEqual("by the full backfill, the second one", facts.backfills, 2),
    isEqual("a success begins the count anew", afterSuccess, { action: "retry", delayMs: PLAIN_DELAYS_S[0] * 1_000 }),
    isEqual("a restart does not cut a wait short", facts.attemptsInsideTheWait, 0),
    isEqual("nor does it begin the count anew", afterRestart.decisions, [
      { action: "retry", delayMs: PLAIN_DELAYS_S[3] * 1_000 },
      { action: "full-backfill", delayMs: PLAIN_DELAYS_S[4] * 1_000 },
    ]),
    isTrue(
      `with jitter every delay is within ${JITTER * 100} % of the plain one`,
      all.length === jittered.length * PLAIN_DELAYS_S.length &&
        all.every((share) => share >= 1 - JITTER && share <= 1 + JITTER),
      `${all.length} delays, from ${percent(Math.min(...all))} to ${percent(Math.max(...all))}`,
    ),
    isTrue("and chance decides which", new Set(all).size > all.length / 2, `${new Set(all).size} different shares`),
  ];
}

function backoffFigures({ jittered }: BackoffFacts): readonly Figure[] {
  return jittered.slice(0, 3).map((run, index) => ({
    name: `delays with jitter, run ${index + 1}`,
    value: `${run.decisions.map((decision) => (delayOf(decision) / 1_000).toFixed(1)).join(", ")} s`,
  }));
}

/** Two devices, one of which can refuse all that comes from the other. */
class FailingPair {
  readonly library: LibraryInProcess;
  readonly names: { readonly a: string; readonly b: string };
  readonly #refused = new Set<string>();
  #written = 0;

  constructor(library: LibraryInProcess, run: string) {
    this.library = library;
    this.names = { a: `a${run}`, b: `b${run}` };
  }

  async join(settings: { readonly jitter?: number }): Promise<InProcessDevice> {
    const b = await this.library.start(this.names.b, {
      dial: [this.names.a],
      plugins: [...remedies, this.#saboteur()],
      settings: { plugins: { backoff: { settings } } },
    });
    await this.library.until("b has joined", () => isMember(b));
    return b;
  }

  refuse(peer: string): void {
    this.#refused.add(peer);
  }

  accept(peer: string): void {
    this.#refused.delete(peer);
  }

  async write(device: InProcessDevice): Promise<void> {
    this.#written += 1;
    await device.dataSource.getRepository(Tag).insert({
      uuid: `tag-${this.#written}`,
      name: `tag ${this.#written}`,
      colour: "#1f77b4",
    });
  }

  /** Lets time pass until so many decisions have been made. */
  async failures(device: InProcessDevice, count: number): Promise<Failures> {
    const made = (): KernelEvents["catchUpDecided"][] => device.recordedOf("catchUpDecided");
    const at: number[] = [];
    const listening = device.tidemark.events.on("catchUpFailed", () => at.push(this.library.clock.monotonicMs()));
    await this.library.comesToPass(() => made().length >= count);
    listening.dispose();
    return {
      decisions: made().map(({ decision }) => decision),
      decidedBy: made().map(({ decidedBy }) => decidedBy),
      waitsMs: at.slice(1).map((time, index) => time - at[index]!),
    };
  }

  #saboteur(): AnyPlugin {
    return definePlugin({
      manifest: { id: "saboteur", version: "1.0.0", apiVersion: API_VERSION },
      activate: ({ hooks }) => {
        hooks.beforeApplyBatch.tap(({ peer }) => {
          if (this.#refused.has(peer)) throw new Error("nothing is taken from this peer at present");
        });
      },
    });
  }
}

async function isMember(device: InProcessDevice): Promise<boolean> {
  const { origin, backfill } = await device.tidemark.status();
  return origin !== null && backfill === null && (await countRows(device.dataSource, "device")) > 1;
}

function delayOf(decision: CatchUpDecision): number {
  return decision.action === "give-up" ? Number.NaN : decision.delayMs;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
