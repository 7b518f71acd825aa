import type { DataSource } from "typeorm";
import { Device } from "../models/device.js";
import { Location } from "../models/location.js";
import { Volume } from "../models/volume.js";
import { uuidV5 } from "./uuid.js";

/** This device's own records: itself, its volume, and a location for each indexed directory. Safe to repeat. */

export async function registerDevice({
  dataSource,
  deviceId,
  name,
}: {
  readonly dataSource: DataSource;
  readonly deviceId: string;
  readonly name: string;
}): Promise<void> {
  const devices = dataSource.getRepository(Device);
  const known = await devices.findOneBy({ uuid: deviceId });
  if (known === null) await devices.insert({ uuid: deviceId, name });
}

/** The location of `path` on this device, created where it is missing. */
export async function registerLocation({
  dataSource,
  deviceId,
  name,
  path,
}: {
  readonly dataSource: DataSource;
  readonly deviceId: string;
  readonly name: string;
  readonly path: string;
}): Promise<Location> {
  const volumeUuid = uuidV5({ namespace: deviceId, name: "volume" });
  const locationUuid = uuidV5({ namespace: volumeUuid, name: path });
  return dataSource.transaction(async (manager) => {
    const device = await manager.findOneByOrFail(Device, { uuid: deviceId });
    let volume = await manager.findOneBy(Volume, { uuid: volumeUuid });
    volume ??= await manager.save(Volume, { uuid: volumeUuid, name: `Disk of ${device.name}`, device });
    const location = await manager.findOneBy(Location, { uuid: locationUuid });
    return location ?? (await manager.save(Location, { uuid: locationUuid, name, path, volume }));
  });
}
