// A library that is simulated: its devices, the network between them, true time, and what is known of all that was
// written. What happens to it is decided elsewhere (`steps.ts`), and what must be true of it, too (`final-checks.ts`).

import { join } from "node:path";
import { logMaintenance } from "@tidemark/plugin-api";
import { physicalMs } from "../../clock/hybrid-logical-clock.js";
import type { FindingCode } from "../../kernel/diagnosis.js";
import { InMemoryNetwork } from "../../transport/in-memory.js";
import { Chance } from "./chance.js";
import { SimulatedDevice } from "./device.js";
import { drawFamilies } from "./families.js";
import { describeFrame } from "./frame-words.js";
import { Ledger } from "./ledger.js";
import type { SchemaVersion } from "./library-model.js";
import { type Mood, mischief } from "./mischief.js";
import type { FaultFamily, ProfileName } from "./profiles.js";
import { Timeline } from "./timeline.js";
import { Trace, Violation } from "./trace.js";
import { Work } from "./work.js";

export interface WorldOptions {
  readonly seed: number;
  readonly profile: ProfileName;
  readonly directory: string;
  /** Default: the seed draws it. */
  readonly size?: number;
  /** Whether write-ahead logs are emptied into their databases now and then. Default true. */
  readonly checkpoints?: boolean;
}

/** What no fault may lead to. */
const DAMAGE: ReadonlySet<FindingCode> = new Set([
  "dangling-references",
  "capture-gap",
  "records-missing",
  "records-not-deleted",
  "records-in-two-places",
  "leftovers",
  "log-damaged",
  "vectors-damaged",
]);

/** A copy of a device's database. */
export interface Backup {
  readonly device: string;
  readonly path: string;
  readonly schema: SchemaVersion;
  /** What the device was, and where its clock stood. */
  readonly origin: string | null;
  readonly hlc: number;
}

/** Whom a device dials, by their places in the list. */
interface Link {
  readonly from: string;
  readonly to: string;
}

/** How many devices there are, and how often. */
const SIZES: readonly (readonly [devices: number, weight: number])[] = [
  [2, 4],
  [3, 5],
  [4, 3],
  [5, 1],
  [6, 0.5],
  [8, 0.3],
];
const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"];

export class World {
  readonly seed: number;
  readonly trace: Trace;
  readonly timeline: Timeline;
  readonly network: InMemoryNetwork;
  readonly ledger = new Ledger();
  readonly devices: readonly SimulatedDevice[];
  /** Pairs that dial each other. */
  readonly links: readonly Link[];
  readonly families: ReadonlySet<FaultFamily>;
  readonly work: Work;
  /** The steps' own stream. */
  readonly chance: Chance;
  /** How plugins behave, by device. */
  readonly moods = new Map<string, Mood>();
  /** Whether plugins are installed at all; calm takes them away. */
  pluginsInstalled: boolean;
  /** Where processes have ended, and how often. */
  readonly crashes = new Map<string, number>();
  /** Copies of databases, the latest last. */
  readonly backups: Backup[] = [];
  /** Origins that somebody has removed, or has tried to; whoever did may know nothing of it any more. */
  readonly expelled = new Set<string>();
  /** Restored devices, and whom they have to meet before anybody else. */
  readonly #witnesses = new Map<string, string>();
  readonly #directory: string;
  #violation: Violation | null = null;
  readonly #starts = new Map<string, number>();

  constructor({ seed, profile, directory, size, checkpoints = true }: WorldOptions) {
    this.seed = seed;
    this.#directory = directory;
    this.chance = Chance.of(seed, "steps");
    const plan = Chance.of(seed, "plan");
    this.families = drawFamilies({ profile, seed, plan });
    this.pluginsInstalled = this.families.has("plugins");
    this.timeline = new Timeline({
      random: Chance.of(seed, "turns"),
      onError: (error) => this.fail(new Violation("no callback throws", (error as Error).stack ?? String(error))),
    });
    this.trace = new Trace(() => this.timeline.elapsedMs);
    this.network = new InMemoryNetwork({
      clock: this.timeline.clock(),
      random: Chance.of(seed, "network"),
      windowBytes: plan.pick([500, 5_000, 65_536]),
      redialMs: this.families.has("members") ? 5_000 : plan.pick([200, 1_000]),
      onDelivery: ({ from, to, frame }) => {
        this.trace.note(frame);
        this.trace.say(from, `-> ${to} ${describeFrame(frame)}`, "frame");
      },
    });
    const names = NAMES.slice(0, size ?? plan.weighted(SIZES));
    this.links = drawLinks(plan, names);
    if (this.families.has("members")) this.links = this.#everyPair(names);
    this.work = new Work({ chance: Chance.of(seed, "work"), devices: names });
    // Wrong clocks are set right only when their stamps have come to pass: hours, in which little should be done.
    const patient = this.families.has("clock");
    const passing = this.families.has("members");
    const settings = {
      replication: {
        pageRecords: plan.between(1, 6),
        windowBytes: plan.pick([65_536, 1_000_000]),
        requestTimeoutMs: plan.pick([5_000, 30_000]),
        retryDelayMs: plan.pick([500, 5_000]),
        heartbeatMs: patient ? 60_000 : passing ? MAX_OFFLINE_MS / 10 : plan.pick([2_000, 10_000, 60_000]),
      },
      storage: { pollMs: patient ? 60_000 : passing ? 30_000 : plan.pick([250, 5_000]) },
      ...(passing && { membership: { maxOfflineMs: patient ? 10 * MAX_OFFLINE_MS : MAX_OFFLINE_MS } }),
    };
    this.devices = names.map((name, index) => {
      const moodOf = () => this.moods.get(name) ?? "good";
      return new SimulatedDevice(
        {
          name,
          dial: this.links.filter(({ from }) => from === name).map(({ to }) => to),
          role: index === 0 ? "found" : "join",
          random: () => {
            const start = (this.#starts.get(name) ?? 0) + 1;
            this.#starts.set(name, start);
            return Chance.of(seed, `kernel ${name} ${start}`);
          },
          settings,
          schema: 1,
          checkpoints,
          plugins: () => (this.pluginsInstalled ? [mischief(moodOf)] : []),
        },
        {
          timeline: this.timeline,
          network: this.network,
          trace: this.trace,
          ledger: this.ledger,
          directory,
          otherWatches: (self) => this.devices.filter((other) => other.name !== self).map(({ watch }) => watch),
          fail: (violation) => this.fail(violation),
          onCrash: ({ where }) => this.crashes.set(where, (this.crashes.get(where) ?? 0) + 1),
        },
      );
    });
  }

  /** How long a member may be silent before it lapses. */
  get maxOfflineMs(): number {
    return this.families.has("clock") ? 10 * MAX_OFFLINE_MS : MAX_OFFLINE_MS;
  }

  /** Devices whose process runs. */
  get running(): readonly SimulatedDevice[] {
    return this.devices.filter(({ state }) => state === "running");
  }

  say(what: string): void {
    this.trace.say("", what);
  }

  fail(violation: Violation): void {
    if (this.#violation === null) this.trace.say("", `VIOLATION: ${violation.message}`);
    this.#violation ??= violation;
  }

  /** Throws what was violated where nothing could be thrown. */
  check(): void {
    if (this.#violation !== null) throw this.#violation;
  }

  /** Lets two devices reach each other, unless one of them may not be met yet. */
  connect(a: string, b: string): void {
    if (this.#mayMeet(a, b) && this.#mayMeet(b, a)) this.network.heal(a, b);
  }

  #mayMeet(name: string, other: string): boolean {
    const witness = this.#witnesses.get(name);
    if (witness === undefined || witness === other) return true;
    if (this.#isUnnoticed(name)) return false;
    this.#witnesses.delete(name);
    return true;
  }

  /** Whether it goes on as what it was before it was restored; whoever knows that it was removed, for whatever reason, does not. */
  #isUnnoticed(name: string): boolean {
    const { isReplaced, isBehindItself, knowledge } = this.device(name).watch;
    return isReplaced || (isBehindItself && !knowledge!.removals.has(knowledge!.origin));
  }

  device(name: string): SimulatedDevice {
    return this.devices.find((it) => it.name === name)!;
  }

  /** Whether it has the library, is a member that nobody has removed, and has a clock that others can follow. */
  isSound({ watch: { knowledge, isBehindItself } }: SimulatedDevice): boolean {
    if (knowledge === null || !knowledge.ready || isBehindItself) return false;
    if (physicalMs(knowledge.hlc) - this.timeline.nowMs > FOLLOWED_MS) return false;
    if (this.expelled.has(knowledge.origin)) return false;
    return this.devices.every(({ watch }) => !watch.knowledge?.removals.has(knowledge.origin));
  }

  /** Whether a restored device can be found out by this one only. */
  isNeeded({ name }: SimulatedDevice): boolean {
    for (const [restored, witness] of this.#witnesses) {
      if (witness === name && this.#isUnnoticed(restored)) return true;
    }
    return false;
  }

  /** All but those that a person has removed: they stay out. */
  get members(): readonly SimulatedDevice[] {
    return this.devices.filter(({ watch }) => {
      const origin = watch.knowledge?.origin;
      return (
        origin === undefined || !this.devices.some((it) => it.watch.knowledge?.removals.get(origin)?.kind === "removed")
      );
    });
  }

  /** Whether a restored device has not met yet whom it is to meet first. */
  isConfined({ name }: SimulatedDevice): boolean {
    return this.#witnesses.has(name) && this.#isUnnoticed(name);
  }

  get anyConfined(): boolean {
    return this.devices.some((device) => this.isConfined(device));
  }

  /** Keeps a copy of the database of a device that has stopped. */
  backUp(device: SimulatedDevice): void {
    const path = join(this.#directory, `backup.${this.backups.length}.sqlite`);
    device.copyDatabase(path);
    const { knowledge, isBehindItself } = device.watch;
    if (isBehindItself) return;
    this.trace.say(device.name, "is backed up");
    const { name, schema } = device;
    this.backups.push({ device: name, path, schema, origin: knowledge?.origin ?? null, hlc: knowledge?.hlc ?? 0 });
  }

  /** Devices that can be set back to a backup, so that whom they meet first finds them out. */
  get restorable(): readonly SimulatedDevice[] {
    if (this.families.has("clock")) return [];
    return this.devices.filter(
      (device) => !device.watch.isBehindItself && !this.isNeeded(device) && this.#lastBackup(device) !== undefined,
    );
  }

  #lastBackup(device: SimulatedDevice): Backup | undefined {
    return this.backups.findLast((backup) => backup.device === device.name && this.#witnessOf(backup) !== undefined);
  }

  /** Who has heard more of a device than anybody else, and more than its backup tells. */
  #witnessOf({ device, origin, hlc }: Backup): string | undefined {
    if (origin === null || this.device(device).watch.knowledge?.origin !== origin) return undefined;
    const heard = this.devices
      .filter(({ name, watch }) => name !== device && watch.knowledge !== null)
      .map((other) => ({ other, last: other.watch.knowledge!.vector.get(origin) ?? 0 }))
      .sort((a, b) => b.last - a.last);
    if (heard.length === 0 || heard[0]!.last <= hlc) return undefined;
    return heard.find(({ other, last }) => last === heard[0]!.last && this.isSound(other))?.other.name;
  }

  /** Sets a device that does not run back to its last backup. */
  restore(device: SimulatedDevice): void {
    const backup = this.#lastBackup(device)!;
    const witness = this.#witnessOf(backup)!;
    this.trace.say(device.name, `is restored from a backup, and meets ${witness} first`);
    device.replaceDatabase(backup.path);
    this.#witnesses.set(device.name, witness);
    for (const { name } of this.devices) {
      if (name !== device.name && name !== witness) this.network.cut(device.name, name);
    }
  }

  /** Lets time pass. */
  async wait(ms: number): Promise<void> {
    await this.timeline.run(ms);
    this.check();
  }

  /** Where devices are removed everybody dials everybody, or nobody could take their place; at first few links are up. */
  #everyPair(names: readonly string[]): readonly Link[] {
    const isUp = (a: string, b: string) =>
      this.links.some(({ from, to }) => (from === a && to === b) || (from === b && to === a));
    const pairs = names.flatMap((from, index) => names.slice(0, index).map((to) => ({ from, to })));
    for (const { from, to } of pairs) if (!isUp(from, to)) this.network.cut(from, to);
    return pairs.flatMap(({ from, to }) => [
      { from, to },
      { from: to, to: from },
    ]);
  }

  /** Starts a device, and lets it have the record that stands for it. */
  async start(device: SimulatedDevice, prepare?: Parameters<SimulatedDevice["start"]>[0]): Promise<void> {
    const first = !device.everStarted;
    const running = await device.start(prepare);
    this.check();
    if (running && first) {
      device.begin(async () => {
        for (const { sql, parameters } of this.work.firstOf(device.name)) await device.execute(sql, parameters);
      });
      await this.timeline.settle();
    }
  }

  /** One statement of the application. */
  act(device: SimulatedDevice): void {
    const { sql, parameters } = this.work.next(device.name, device.schema);
    device.begin(async () => void (await device.execute(sql, parameters)));
  }

  /** What a pruning plugin does: says what is here, and forgets what everybody has. */
  prune(device: SimulatedDevice): void {
    const maintenance = device.kernel.tidemark.services.get(logMaintenance);
    device.begin(async () => {
      try {
        await maintenance.acknowledge();
        await device.sleep(50);
        const { stamps, hiddenRecords, point } = await maintenance.prune();
        this.trace.say(device.name, `forgot ${stamps} stamps and ${hiddenRecords} hidden records, S is ${point.hlc}`);
      } catch (error) {
        if (device.state === "running") this.trace.say(device.name, `could not forget: ${(error as Error).message}`);
      }
    });
  }

  /** Lets the device's own doctor look at it; what it calls damage is one. */
  examine(device: SimulatedDevice): void {
    const { tidemark } = device.kernel;
    device.begin(async () => {
      const diagnosis = await tidemark.doctor().catch(() => null);
      const damage = diagnosis?.findings.filter(({ code, severity }) => severity === "error" && DAMAGE.has(code)) ?? [];
      if (damage.length === 0) return;
      throw new Violation("the doctor finds no damage", JSON.stringify(damage));
    });
  }

  /**
   * How far stamps are ahead of the true time, anywhere: until then, some of them are kept for later. Further ahead than
   * anybody follows, a device has to come back under a clock that begins anew.
   */
  get aheadMs(): number {
    const all = this.devices.map(({ watch }) => physicalMs(watch.knowledge?.hlc ?? 0) - this.timeline.nowMs);
    return Math.max(0, ...all.filter((ms) => ms <= FOLLOWED_MS));
  }

  async dispose(): Promise<void> {
    for (const device of this.devices) await device.dispose();
  }
}

/** Where members come and go: how long one may be silent before it lapses. */
export const MAX_OFFLINE_MS = 300_000;

/** Nobody takes a time from further ahead. */
const FOLLOWED_MS = 3_600_000;

/** A tree, so that everybody can reach everybody, and perhaps some shortcuts. Newcomers dial those who were there. */
function drawLinks(plan: Chance, names: readonly string[]): readonly Link[] {
  const shape = plan.pick(["line", "star", "any"] as const);
  const links: Link[] = [];
  for (let index = 1; index < names.length; index++) {
    const other = shape === "line" ? index - 1 : shape === "star" ? 0 : plan.below(index);
    links.push({ from: names[index]!, to: names[other]! });
    for (let third = 0; third < index; third++) {
      if (third !== other && plan.happens(0.25)) links.push({ from: names[index]!, to: names[third]! });
    }
  }
  // Two devices that dial each other get two sessions, one of which must give way.
  for (const { from, to } of links.slice()) if (plan.happens(0.15)) links.push({ from: to, to: from });
  return links;
}
