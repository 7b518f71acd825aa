// Kills real processes. One device lives in this process and survives; the other is a process of its own that joins,
// writes, pulls and forgets, and is killed at random moments, one time in ten while it still recovers from the last. After
// each kill its file is looked at; in the end both devices must hold the same, and all that was reported as committed.

import { type ChildProcess, fork } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { Chance } from "../simulator/chance.js";
import { emptyDatabase } from "../simulator/library-model.js";
import { TELL_BADGES_APART, Work } from "../simulator/work.js";
import type { TestKernel } from "../test-kernel.js";
import {
  type CrashTask,
  crashKernel,
  type FromDevice,
  prune,
  SURVIVOR,
  type ToDevice,
  VICTIM,
} from "./crash-kernel.js";
import { checkFile, differenceOf, tablesOf, unlogged } from "./file-checks.js";
import { AcceptingEnd } from "./process-transport.js";

/** What the process is in the middle of when it is killed. */
export type KillScene = "set-up" | "backfill" | "writes" | "pruning" | "recovery";

/** How much is to be killed. */
export interface KillRunOptions {
  readonly kills: number;
  readonly seed: number;
  /** Told now and then how far it is. */
  readonly onProgress?: (text: string) => void;
}

/** What was killed, and what came of it. */
export interface KillRunResult {
  readonly kills: Readonly<Record<KillScene, number>>;
  /** Changes that were reported as committed. */
  readonly committed: number;
  /** What went wrong; nothing, if all is well. */
  readonly problems: readonly string[];
}

/** How often each scene is killed in the life of one library. */
const LIFE: readonly (readonly [scene: Exclude<KillScene, "recovery">, kills: number])[] = [
  ["set-up", 2],
  ["backfill", 5],
  ["writes", 8],
  ["pruning", 5],
];
/** Records that a device finds when it joins, so that a backfill takes a while. */
const FOLDERS = 3_000;
const STEP_LIMIT_MS = 60_000;

// The forked process runs what was built, also when the sources are tested.
const DEVICE = fileURLToPath(new URL("./crash-device.js", import.meta.url)).replace(
  /([\\/])src([\\/]testing[\\/]crashes[\\/])/,
  "$1dist$2",
);

/** Kills processes until `kills` have died. */
export async function killRuns({ kills, seed, onProgress = () => {} }: KillRunOptions): Promise<KillRunResult> {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-kills-"));
  const done: Record<KillScene, number> = { "set-up": 0, backfill: 0, writes: 0, pruning: 0, recovery: 0 };
  const problems: string[] = [];
  let committed = 0;
  const nursery = new Nursery();
  try {
    for (let life = 0, left = kills; left > 0 && problems.length === 0; life++) {
      const library = new KilledLibrary({ seed: seed + life, directory, nursery, done });
      try {
        left -= await library.live(left);
        committed += library.committed;
        onProgress(`${kills - left} of ${kills} kills`);
      } catch (error) {
        problems.push(
          `seed ${seed + life}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      } finally {
        await library.dispose();
      }
    }
  } finally {
    nursery.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
  return { kills: done, committed, problems };
}

/** Keeps one process loaded and waiting, so that a kill costs no start-up. */
class Nursery {
  #next: Promise<ChildProcess> | null = null;

  async take(): Promise<ChildProcess> {
    const child = await (this.#next ?? this.#raise());
    this.#next = this.#raise();
    return child;
  }

  dispose(): void {
    void this.#next?.then((child) => child.kill("SIGKILL"));
  }

  #raise(): Promise<ChildProcess> {
    const child = fork(DEVICE, { serialization: "advanced", execArgv: [] });
    return new Promise((resolve, reject) => {
      child.once("message", () => resolve(child));
      child.once("exit", () => reject(new Error("a process ended before it was loaded; run `npm run build` first")));
    });
  }
}

interface LibraryOptions {
  readonly seed: number;
  readonly directory: string;
  readonly nursery: Nursery;
  readonly done: Record<KillScene, number>;
}

class KilledLibrary {
  readonly #chance: Chance;
  readonly #options: LibraryOptions;
  readonly #survivorFile: string;
  readonly #victimFile: string;
  readonly #transport = new AcceptingEnd();
  #survivor: TestKernel | null = null;
  #counter = 0;

  constructor(options: LibraryOptions) {
    this.#options = options;
    this.#chance = Chance.of(options.seed, "kills");
    this.#survivorFile = join(options.directory, `${options.seed}-survivor.sqlite`);
    this.#victimFile = join(options.directory, `${options.seed}-victim.sqlite`);
  }

  /** Changes of the killed device that were reported as committed. */
  get committed(): number {
    return this.#counter;
  }

  /** One library from its founding to the moment at which both devices are in step; returns how many were killed. */
  async live(mostKills: number): Promise<number> {
    await this.#found();
    let killed = 0;
    for (const [scene, kills] of LIFE) {
      for (let count = 0; count < kills && killed < mostKills; count++, killed++) await this.#kill(scene);
    }
    await this.#comeIntoStep();
    return killed;
  }

  async dispose(): Promise<void> {
    await this.#survivor?.dispose();
  }

  async #found(): Promise<void> {
    for (const file of [this.#survivorFile, this.#victimFile]) writeFileSync(file, await emptyDatabase(1));
    this.#survivor = await crashKernel({
      device: SURVIVOR,
      database: this.#survivorFile,
      transport: this.#transport,
      random: this.#chance,
    });
    await this.#survivor.tidemark.start();
    const { dataSource } = this.#survivor;
    const work = new Work({ chance: this.#chance, devices: [SURVIVOR, VICTIM] });
    for (const { sql, parameters } of [...work.foundation(), ...work.firstOf(SURVIVOR)]) {
      await dataSource.query(sql, [...parameters]);
    }
    await dataSource.query(
      `INSERT INTO folder (uuid, name) WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ${FOLDERS})
       SELECT printf('g%04d', i), 'folder ' || i FROM n`,
    );
    // What a device has written before it hears of any library.
    const db = new Database(this.#victimFile);
    for (const { sql, parameters } of work.firstOf(VICTIM)) db.prepare(sql).run(...parameters);
    db.prepare("UPDATE machine SET name = '0'").run();
    db.close();
  }

  async #kill(scene: Exclude<KillScene, "recovery">): Promise<void> {
    const { done } = this.#options;
    const recovery = this.#chance.happens(0.1);
    const running = await this.#start({
      writes: scene === "writes" || scene === "pruning",
      prunes: scene === "pruning",
    });
    if (recovery || scene === "set-up") await sleep(this.#chance.between(0, 60));
    else {
      await Promise.race([running.running, sleep(STEP_LIMIT_MS)]);
      await Promise.race([sleep(this.#chance.between(0, 250)), this.#workHere(running)]);
    }
    done[recovery ? "recovery" : scene] += 1;
    await running.kill();
    this.#check();
  }

  /** The surviving device writes, too, now and then. */
  async #workHere(until: { readonly ended: Promise<void> }): Promise<void> {
    const work = new Work({ chance: this.#chance, devices: [SURVIVOR, VICTIM] });
    let over = false;
    void until.ended.then(() => {
      over = true;
    });
    while (!over) {
      const { sql, parameters } = work.next(SURVIVOR, 1);
      await this.#survivor!.dataSource.query(sql, [...parameters]).catch(() => {});
      await sleep(this.#chance.between(5, 40));
    }
  }

  async #start(what: Pick<CrashTask, "writes" | "prunes">): Promise<Running> {
    const child = await this.#options.nursery.take();
    const send = (message: ToDevice) => {
      if (child.connected) child.send(message, () => {});
    };
    const running = new Running(child, () => this.#transport.attach(null));
    this.#transport.attach({ send: (message) => send({ kind: "channel", message }) });
    child.on("message", (message: FromDevice) => {
      if (message.kind === "channel") this.#transport.take(message.message);
      else if (message.kind === "committed") this.#counter = message.counter;
      else if (message.kind === "running") running.isRunning();
      else if (message.kind === "failed") running.hasFailed(message.reason);
    });
    const task = { ...what, database: this.#victimFile, seed: this.#chance.below(2 ** 31), counter: this.#counter };
    send({ kind: "go", task });
    return running;
  }

  /** Looks at a copy, so that the next process finds the file as the last one has left it. */
  #check(): void {
    const copy = `${this.#victimFile}.copy`;
    for (const end of ["", "-wal"]) {
      rmSync(`${copy}${end}`, { force: true });
      if (existsSync(`${this.#victimFile}${end}`)) copyFileSync(`${this.#victimFile}${end}`, `${copy}${end}`);
    }
    const db = new Database(copy);
    const peer = new Database(this.#survivorFile, { readonly: true });
    try {
      const problems = [...checkFile(db)];
      const counter = Number(db.prepare("SELECT name FROM machine WHERE uuid = ?").pluck().get(VICTIM));
      if (counter < this.#counter) problems.push(`change ${this.#counter} was committed, and ${counter} is the last`);
      this.#counter = counter;
      const ready = checkedReady(db);
      if (ready) problems.push(...unlogged(db, peer));
      if (problems.length > 0) throw new Error(problems.join("; "));
    } finally {
      db.close();
      peer.close();
    }
  }

  async #comeIntoStep(): Promise<void> {
    const running = await this.#start({ writes: false, prunes: true });
    await Promise.race([running.running, sleep(STEP_LIMIT_MS)]);
    const ours = new Database(this.#survivorFile, { readonly: true });
    const theirs = new Database(this.#victimFile, { readonly: true });
    let apart: string | null = "";
    try {
      for (let waitedMs = 0; waitedMs < STEP_LIMIT_MS && apart !== null; waitedMs += 100) {
        await sleep(100);
        running.check();
        await this.#survivor!.dataSource.query(TELL_BADGES_APART);
        await prune(this.#survivor!);
        apart = differenceOf(tablesOf(ours), tablesOf(theirs));
        const left = [ours, theirs].map((db) => db.prepare("SELECT count(*) FROM tidemark_stamp").pluck().get());
        if (apart === null && left.some((stamps) => stamps !== 0)) apart = `stamps are left: ${left.join(" and ")}`;
      }
      const counter = Number(ours.prepare("SELECT name FROM machine WHERE uuid = ?").pluck().get(VICTIM));
      if (apart === null && counter < this.#counter) apart = `change ${this.#counter} has not come, but ${counter}`;
      if (apart !== null) throw new Error(`the devices did not come into step: ${apart}`);
    } finally {
      ours.close();
      theirs.close();
      await running.kill();
    }
  }
}

function checkedReady(db: InstanceType<typeof Database>): boolean {
  const exists = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'tidemark_state'").get() !== undefined;
  return exists && db.prepare("SELECT ready FROM tidemark_state").pluck().get() === 1;
}

/** A process at work. */
class Running {
  readonly running: Promise<void>;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #resolve!: () => void;
  #failure: string | null = null;

  constructor(child: ChildProcess, onEnd: () => void) {
    this.#child = child;
    this.running = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.ended = new Promise((resolve) => {
      child.once("exit", () => {
        onEnd();
        resolve();
      });
    });
  }

  isRunning(): void {
    this.#resolve();
  }

  hasFailed(reason: string): void {
    this.#failure = reason;
    this.#resolve();
  }

  /** Throws what the process has reported to have failed. */
  check(): void {
    if (this.#failure !== null) throw new Error(`the device failed: ${this.#failure}`);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
    this.check();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
