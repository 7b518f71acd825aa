// Brings the advice of several plugins together: for each field, the most careful one wins.

import type { PoolAdvice } from "@tidemark/plugin-api";

interface Field {
  readonly least: number;
  readonly whole: boolean;
  /** Whether `a` is more careful than `b`. */
  readonly moreCareful: (a: number, b: number) => boolean;
}

const smallest = (a: number, b: number): boolean => a < b;
const longest = (a: number, b: number): boolean => a > b;

const FIELDS: Readonly<Record<keyof PoolAdvice, Field>> = {
  maxSliceRecords: { least: 1, whole: true, moreCareful: smallest },
  pauseMs: { least: 0, whole: false, moreCareful: longest },
  maxConcurrency: { least: 1, whole: true, moreCareful: smallest },
};

const NAMES = Object.keys(FIELDS) as readonly (keyof PoolAdvice)[];

/** Why `answer` is no advice; `undefined` when it is. Advice without a single field is advice. */
export function faultOfAdvice(answer: unknown): string | undefined {
  if (typeof answer !== "object" || answer === null) return "it is not an object";
  for (const name of NAMES) {
    const value = (answer as PoolAdvice)[name] as unknown;
    if (value === undefined) continue;
    const { least, whole } = FIELDS[name];
    const fits =
      typeof value === "number" && Number.isFinite(value) && value >= least && (!whole || Number.isInteger(value));
    if (!fits) return `\`${name}\` must be a ${whole ? "whole " : ""}number, ${least} or more`;
  }
  return undefined;
}

/** The most careful value of each field, and the plugins it came from: of equals, the first. */
export function mostCareful(answers: readonly { readonly pluginId: string; readonly advice: PoolAdvice }[]): {
  readonly advice: PoolAdvice;
  readonly advisedBy: string[];
} {
  const advice: { -readonly [Name in keyof PoolAdvice]: number } = {};
  const advisers = new Map<keyof PoolAdvice, string>();
  for (const { pluginId, advice: offered } of answers) {
    for (const name of NAMES) {
      const value = offered[name];
      const best = advice[name];
      if (value === undefined || (best !== undefined && !FIELDS[name].moreCareful(value, best))) continue;
      advice[name] = value;
      advisers.set(name, pluginId);
    }
  }
  return { advice, advisedBy: [...new Set(advisers.values())] };
}
