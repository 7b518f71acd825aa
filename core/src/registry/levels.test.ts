import fc from "fast-check";
import { expect, test } from "vitest";
import { levelsOf } from "./levels.js";

type Graph = readonly (readonly number[])[];

function levels(graph: Graph): readonly number[] {
  const found = levelsOf({ nodes: graph.keys(), targetsOf: (node) => graph[node]! });
  return graph.map((_, node) => found.get(node)!);
}

test("a chain of references rises by one a step", () => {
  expect(levels([[], [0], [1, 0]])).toEqual([0, 1, 2]);
});

test("a self-reference is no step", () => {
  expect(levels([[0], [1, 0]])).toEqual([0, 1]);
});

test("nodes in a circle share one level, above all that any of them refers to", () => {
  expect(levels([[], [2, 0], [3], [1], [2]])).toEqual([0, 1, 1, 1, 2]);
});

test("a chain longer than the call stack is fine", () => {
  const length = 200_000;
  const graph = Array.from({ length }, (_, node) => (node === 0 ? [] : [node - 1]));
  expect(levels(graph.toReversed().map((targets) => targets.map((target) => length - 1 - target)))[0]).toBe(length - 1);
});

test("levels are the longest paths of the condensed graph, whatever the graph and its order", () => {
  const graphs = fc
    .integer({ min: 1, max: 9 })
    .chain((size) => fc.array(fc.array(fc.nat(size - 1), { maxLength: 4 }), { minLength: size, maxLength: size }));
  fc.assert(
    fc.property(graphs, (graph) => {
      expect(levels(graph)).toEqual(byDefinition(graph));
    }),
    { numRuns: 1_000 },
  );
});

/** The definition, without any cleverness: two nodes are one if each reaches the other; then the longest path. */
function byDefinition(graph: Graph): readonly number[] {
  const reaches = graph.map((_, from) => {
    const seen = new Set([from]);
    for (const node of seen) for (const target of graph[node]!) seen.add(target);
    return seen;
  });
  const isOne = (a: number, b: number) => reaches[a]!.has(b) && reaches[b]!.has(a);
  const longest = (node: number): number => {
    const together = [...graph.keys()].filter((other) => isOne(node, other));
    const beyond = together.flatMap((member) => graph[member]!).filter((target) => !isOne(node, target));
    return Math.max(0, ...beyond.map((target) => longest(target) + 1));
  };
  return [...graph.keys()].map(longest);
}
