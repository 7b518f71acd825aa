import type { EntityDeclaration } from "@tidemark/plugin-api";
import { ContentIdentity } from "./content-identity.js";
import { Device } from "./device.js";
import { Entry } from "./entry.js";
import { Location } from "./location.js";
import { Tag } from "./tag.js";
import { UserMetadata } from "./user-metadata.js";
import { Volume } from "./volume.js";

/** What TypeORM needs to know. */
export const fileLibraryEntities = [Device, Volume, Location, ContentIdentity, UserMetadata, Tag, Entry];

/**
 * What Tidemark needs to know: all there is to write for an application. References come from the relations, identities
 * are the `uuid` columns, and the junction of entries and tags comes along by itself.
 */
export const fileLibraryModels: readonly EntityDeclaration[] = [
  { entity: Device, ownership: { kind: "shared" }, isDevice: true },
  { entity: Volume, ownership: { kind: "shared" } },
  { entity: Location, ownership: { kind: "shared" } },
  { entity: ContentIdentity, ownership: { kind: "shared" } },
  { entity: UserMetadata, ownership: { kind: "shared" } },
  { entity: Tag, ownership: { kind: "shared" } },
  { entity: Entry, ownership: { kind: "device", owner: "location.volume.device" } },
];
