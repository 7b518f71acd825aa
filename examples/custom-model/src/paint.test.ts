import { PassThrough } from "node:stream";
import { WriteStream } from "node:tty";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { paintFor } from "./paint.js";

/** What of a terminal decides about colours: of the environment, which build servers fill as they like, NO_COLOR alone. */
const terminal = () =>
  Object.assign(new PassThrough(), {
    isTTY: true,
    getColorDepth: () =>
      WriteStream.prototype.getColorDepth({ TERM: "xterm-256color", NO_COLOR: process.env.NO_COLOR }),
  });

beforeEach(() => {
  vi.stubEnv("FORCE_COLOR", undefined);
  vi.stubEnv("NO_COLOR", undefined);
});
afterEach(() => vi.unstubAllEnvs());

it("sets texts off on a terminal", () => {
  expect(paintFor(terminal())("green", "fine")).toBe("\u001b[32mfine\u001b[39m");
});

it("leaves them as they are where there is no terminal, or where NO_COLOR is set", () => {
  expect(paintFor(new PassThrough())("green", "fine")).toBe("fine");
  vi.stubEnv("NO_COLOR", "1");
  expect(paintFor(terminal())("green", "fine")).toBe("fine");
});
