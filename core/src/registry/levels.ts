/**
 * Levels of a graph of references: how deep a node stands above those that refer to nothing. Nodes that refer to each
 * other in a circle (strongly connected components) count as one, so cycles and self-references are legal.
 *
 * A node's level is the length of the longest path, in the graph of components, from its own component to one that
 * refers to no other.
 */
export function levelsOf<Node>({
  nodes,
  targetsOf,
}: {
  readonly nodes: Iterable<Node>;
  /** The nodes that a node refers to; every one of them must be among `nodes`. Repetitions are fine. */
  readonly targetsOf: (node: Node) => readonly Node[];
}): ReadonlyMap<Node, number> {
  const levels = new Map<Node, number>();
  // Tarjan's algorithm completes a component only after all that it refers to, so that a component's level can be read
  // from theirs on the spot. Its recursion is unrolled: a chain of references may be longer than the call stack.
  const visits = new Map<Node, Visit<Node>>();
  const open: Visit<Node>[] = [];
  for (const root of nodes) {
    if (visits.has(root)) continue;
    const path = [enter(root)];
    while (path.length > 0) {
      const visit = path.at(-1)!;
      const target = visit.targets[visit.next++];
      if (target !== undefined) {
        const seen = visits.get(target);
        if (seen === undefined) path.push(enter(target));
        else if (!levels.has(target)) visit.low = Math.min(visit.low, seen.index);
        continue;
      }
      path.pop();
      const from = path.at(-1);
      if (from !== undefined) from.low = Math.min(from.low, visit.low);
      if (visit.low === visit.index) complete(visit);
    }
  }
  return levels;

  function enter(node: Node): Visit<Node> {
    const visit = { node, index: visits.size, low: visits.size, targets: targetsOf(node), next: 0 };
    visits.set(node, visit);
    open.push(visit);
    return visit;
  }

  /** Takes the component whose first visited node is `first` off the stack and gives its nodes their level. */
  function complete(first: Visit<Node>): void {
    const component = open.splice(open.lastIndexOf(first));
    let level = 0;
    for (const { targets } of component) {
      // Members of this component have no level yet and do not count.
      for (const target of targets) level = Math.max(level, (levels.get(target) ?? -1) + 1);
    }
    for (const { node } of component) levels.set(node, level);
  }
}

interface Visit<Node> {
  readonly node: Node;
  readonly index: number;
  /** The smallest index known to be reachable within the component. */
  low: number;
  readonly targets: readonly Node[];
  next: number;
}
