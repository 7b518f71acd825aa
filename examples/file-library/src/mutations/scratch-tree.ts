import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { joinPath } from "../indexer/file-name.js";
import { systemCode } from "../indexer/file-system.js";
import { SeededRandom } from "./seeded-random.js";

/**
 * A small directory tree that the demo may change as it likes, so that it never has to touch anybody's own files. Holds
 * what trips up file managers: empty and large files, equal contents, links to nowhere, names in several scripts and one
 * that is not valid UTF-8.
 */
export async function buildScratchTree({
  root,
  seed,
  files,
}: {
  readonly root: string;
  /** Trees of the same seed are equal; a part of the contents is the same for all seeds. */
  readonly seed: string;
  readonly files: number;
}): Promise<void> {
  const random = new SeededRandom(`scratch tree ${seed}`);
  const directories = [root];
  await mkdir(root, { recursive: true });
  for (let i = 0; i < Math.ceil(files / 12); i++) {
    const directory = join(random.pick(directories), `${random.pick(DIRECTORY_NAMES)} ${i}`);
    await mkdir(directory, { recursive: true });
    directories.push(directory);
  }
  for (let i = 0; i < files; i++) {
    const name = `${random.pick(FILE_NAMES)} ${i}${random.pick(EXTENSIONS)}`;
    // A third of the contents is common to all devices: they must become one record each.
    const content = random.next() < 0.33 ? `shared content ${random.int(40)}\n` : `content ${i} of ${seed}\n`;
    await writeFile(join(random.pick(directories), name), content.repeat(1 + random.int(50)));
  }
  await writeFile(join(root, "empty"), "");
  await writeFile(join(root, "large.bin"), Buffer.alloc(3 * 1024 * 1024, seed));
  await unlessThere(() => symlink("nowhere/to/be/found", join(root, "dangling link")));
  try {
    await writeFile(joinPath(Buffer.from(root), Buffer.from([0x6e, 0x6f, 0x74, 0x20, 0xff, 0xfe])), "not UTF-8\n");
  } catch (error) {
    // Some file systems (APFS, NTFS) take only valid names; there is nothing to show there.
    if (systemCode(error) !== "EILSEQ" && systemCode(error) !== "EINVAL") throw error;
  }
}

async function unlessThere(create: () => Promise<void>): Promise<void> {
  try {
    await create();
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

const DIRECTORY_NAMES = ["photos", "letters", "Müller", "写真", "архив", "old & new", "a'b"];
const FILE_NAMES = ["report", "IMG", "naïve", "日記", "итог", "emoji 🗂", "draft"];
const EXTENSIONS = ["", ".txt", ".md", ".jpg", ".tar.gz"];
