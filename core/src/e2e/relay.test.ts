import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectSameTable, TestLibrary } from "./library.test-support.js";

// Any member passes on what it has of any other, so whoever is away keeps nobody from anything.

@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Disk {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) label!: string;
  @ManyToOne(() => Machine, { nullable: false }) machine!: Machine;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Machine, Disk],
    declarations: [
      { entity: Machine, ownership: { kind: "shared" }, isDevice: true },
      { entity: Disk, ownership: { kind: "device", owner: "machine" } },
    ],
  });
});
afterEach(() => library.dispose());

const disks = ({ dataSource }: TestKernel) => dataSource.getRepository(Disk);

it("brings what a device made and owns to one that never meets it, by way of a third one, while the owner is off", async () => {
  const owner = await library.device("owner");
  const machine = await owner.dataSource.getRepository(Machine).save({ uuid: "owner" });
  await disks(owner).save([
    { uuid: "kept", label: "before", machine },
    { uuid: "gone", label: "before", machine },
  ]);
  const between = await library.device("between", { dial: ["owner"] });
  const far = await library.device("far", { dial: ["between"] });
  await library.settle(owner, between, far);
  library.network.cut("between", "far");
  await disks(owner).update({ uuid: "kept" }, { label: "after" });
  await disks(owner).delete({ uuid: "gone" });
  await disks(owner).save({ uuid: "new", label: "new", machine });
  await library.settle(owner, between);
  await owner.tidemark.stop();
  library.network.heal("between", "far");
  await library.settle(between, far);
  expect((await disks(far).find({ order: { uuid: "ASC" } })).map(({ uuid, label }) => [uuid, label])).toEqual([
    ["kept", "after"],
    ["new", "new"],
  ]);
  expectSameTable([between, far], "disk", { local: ["id", "machineId"] });
});
