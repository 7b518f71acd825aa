import { describe, expect, it } from "vitest";
import { NO_FIGURES } from "./figures.js";
import { parseMessage, parseRequest, parseResult } from "./messages.js";

const invalid = (why: string) => expect.objectContaining({ code: "FILE_LIBRARY_INVALID_MESSAGE", why });
const refusalOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

describe("messages between the demo and its devices", () => {
  it("take what they should", () => {
    const request = { id: 1, kind: "index", root: "/", label: "l", skip: [], maxFiles: null };
    expect(parseRequest(request)).toBe(request);
    const message = { kind: "progress", task: "t", unit: "files", done: 1, total: 2 };
    expect(parseMessage(message, "A")).toBe(message);
    expect(parseResult("offline", undefined, "A")).toBeNull();
    const report = { records: 1, plugins: ["metrics"], figures: NO_FIGURES };
    expect(parseResult("report", report, "A")).toBe(report);
  });

  it.each([
    ["nothing", undefined, "its kind is missing"],
    ["an unknown kind", { kind: "format" }, 'its kind is "format"'],
    ["the name of an inherited property", { kind: "toString" }, 'its kind is "toString"'],
    ["a missing id", { kind: "status" }, "status.id is not a number"],
    ["a wrong type", { id: 1, kind: "scratch", root: 5, seed: "", files: 1 }, "scratch.root is not a string"],
    ["no number", { id: 1, kind: "scratch", root: "", seed: "", files: Number.NaN }, "scratch.files is not a number"],
    ["half a setup", { id: 1, kind: "open", setup: { name: "A" } }, "open.setup.deviceId is not a string"],
  ])("refuse %s", (_, value, why) => {
    expect(refusalOf(() => parseRequest(value))).toEqual(invalid(why));
  });

  it("refuse results of another shape", () => {
    expect(refusalOf(() => parseResult("status", { idle: true }, "A"))).toEqual(
      invalid("the result of status.readyPeers is not a number"),
    );
    const report = { records: 1, plugins: [], figures: { ...NO_FIGURES, log: 7 } };
    expect(refusalOf(() => parseMessage({ kind: "report", report }, "A"))).toEqual(
      invalid("report.report.figures.log is not an object"),
    );
  });
});
