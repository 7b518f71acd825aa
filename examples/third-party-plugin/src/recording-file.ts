// Writes the recording down: the hook times first, then the entries, one JSON object a line. A reader finds the last
// complete recording or the one before, never half of one. Fails into the logger, never into the kernel.

import { rename, writeFile } from "node:fs/promises";
import type { Logger } from "@tidemark/plugin-api";
import type { Recording } from "./recording.js";

export class RecordingFile {
  readonly #file: string;
  readonly #recording: Recording;
  readonly #logger: Logger;
  #last: Promise<void> = Promise.resolve();

  constructor({
    file,
    recording,
    logger,
  }: {
    readonly file: string;
    readonly recording: Recording;
    readonly logger: Logger;
  }) {
    this.#file = file;
    this.#recording = recording;
    this.#logger = logger;
  }

  /** Resolves when the recording, as it is when its turn comes, is in the file, or it is known that it can't be. */
  save(): Promise<void> {
    this.#last = this.#last.then(() => this.#write());
    return this.#last;
  }

  async #write(): Promise<void> {
    const lines = [
      ...this.#recording.hookTimes().map((times) => ({ kind: "hook-times", ...times })),
      ...this.#recording.entries(),
    ];
    try {
      await writeFile(`${this.#file}.part`, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
      await rename(`${this.#file}.part`, this.#file);
    } catch (error) {
      this.#logger.warn("the recording can't be written", { file: this.#file, error });
    }
  }
}
