/**
 * The order of stamps, the same on every device: by time, then by origin id. Local member numbers have no say in it,
 * because they differ from device to device.
 */
export function compareStamps(aHlc: number, aOrigin: string, bHlc: number, bOrigin: string): number {
  if (aHlc !== bHlc) return aHlc - bHlc;
  // By code unit, never by locale: a locale is a setting of the device.
  return aOrigin < bOrigin ? -1 : aOrigin > bOrigin ? 1 : 0;
}
