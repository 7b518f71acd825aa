// Devices of one library with the plugin in them, for tests: real kernels on real files, a network in memory, a clock
// that the test moves, and a way to hold up the opening of readers, so that others have to wait.

import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  RecordingLogger,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import { Column, Entity, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { type MetricsReader, type MetricsSettings, metrics, metricsReader } from "./index.js";

@Entity()
export class Machine {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
export class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", unique: true }) name!: string;
}

@Entity()
export class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
}

export interface Device extends TestKernel {
  readonly name: string;
  readonly logger: RecordingLogger;
  readonly reader: MetricsReader;
}

/** Holds up whoever opens a reader while it is shut. */
export class Gate {
  #opened: (() => void) | undefined;
  #open: Promise<void> = Promise.resolve();

  shut(): void {
    this.#open = new Promise((resolve) => {
      this.#opened = resolve;
    });
  }

  open(): void {
    this.#opened?.();
    this.#open = Promise.resolve();
  }

  readonly prepareDatabase = (): Promise<void> => this.#open;
}

type DeviceOptions = Partial<TestKernelOptions> & {
  readonly metrics?: MetricsSettings;
  readonly gate?: Gate;
};

export class TestLibrary {
  readonly clock = new ManualClock();
  readonly network = new InMemoryNetwork({ clock: this.clock, random: new SeededRandom(1) });
  readonly #kernels: TestKernel[] = [];

  async device(name: string, { metrics: own = {}, gate, settings, plugins = [], ...rest }: DeviceOptions = {}) {
    const logger = new RecordingLogger();
    const kernel = await createTestKernel({
      device: name,
      entities: [Machine, Folder, Note],
      declarations: [
        { entity: Machine, isDevice: true, ownership: { kind: "device", owner: "" } },
        { entity: Folder, ownership: { kind: "shared" } },
        { entity: Note, ownership: { kind: "shared" } },
      ],
      clock: this.clock,
      network: this.network,
      logger,
      plugins: [metrics, ...plugins],
      settings: { ...settings, plugins: { metrics: { settings: own } } },
      ...(gate !== undefined && { dataSourceOptions: { prepareDatabase: gate.prepareDatabase } as object }),
      ...rest,
    });
    this.#kernels.push(kernel);
    await kernel.tidemark.start();
    const device: Device = { ...kernel, name, logger, reader: kernel.tidemark.services.get(metricsReader) };
    return device;
  }

  async restart(device: Device, options: DeviceOptions = {}): Promise<Device> {
    await this.shutDown(device);
    return await this.device(device.name, { database: device.database, ...options });
  }

  async shutDown(device: Device): Promise<void> {
    await device.tidemark.stop();
    if (device.dataSource.isInitialized) await device.dataSource.destroy();
  }

  /** Lets time pass until it holds. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (let turn = 0; turn < 100; turn++) {
      if (await holds()) return;
      await this.clock.advance(300);
    }
    throw new Error(`it did not come to pass that ${what}`);
  }

  /** Lets time pass until the devices hold the same folders and notes, and have told each other. */
  async inStep(...devices: readonly Device[]): Promise<void> {
    await this.until("the devices are in step", async () => {
      const digests = await Promise.all(
        devices.map(async ({ tidemark }) =>
          JSON.stringify([await tidemark.digest("Folder"), await tidemark.digest("Note")]),
        ),
      );
      return new Set(digests).size === 1;
    });
    await this.clock.advance(1_000);
  }

  async dispose(): Promise<void> {
    for (const kernel of this.#kernels.reverse()) await kernel.dispose();
  }
}
