// Every metric that the plugin keeps, as data: what it is called, what it counts, and what feeds it. Nothing is measured
// that does not stand here, and a test sees to it that everything that stands here is fed.

import type { KernelEvents } from "@tidemark/plugin-api";

/**
 * `counter` only rises; `histogram` is a distribution; `gauge` is a value as of now, and `level` one that may be added up
 * over several devices (OpenTelemetry's up-down counter).
 */
export type MetricKind = "counter" | "histogram" | "gauge" | "level";

export interface MetricDefinition {
  readonly kind: MetricKind;
  /** In UCUM, as OpenTelemetry wants it: `s`, `By`, `1`, `{record}`. */
  readonly unit: string;
  readonly description: string;
  readonly attributes: readonly string[];
  /** An event, the hook `afterBatch`, or the sample that is taken from time to time. */
  readonly fedBy: keyof KernelEvents | "afterBatch" | "sample";
}

/** The names of the pool's metrics are those of OpenTelemetry's semantic conventions for database clients. */
export const catalogue = {
  "db.client.connection.count": {
    kind: "level",
    unit: "{connection}",
    description: "Connections that are lent or idle.",
    attributes: ["db.client.connection.pool.name", "db.client.connection.state"],
    fedBy: "poolChanged",
  },
  "db.client.connection.max": {
    kind: "level",
    unit: "{connection}",
    description: "Most connections that may be lent at once.",
    attributes: ["db.client.connection.pool.name"],
    fedBy: "poolChanged",
  },
  "db.client.connection.pending_requests": {
    kind: "level",
    unit: "{request}",
    description: "Requests that wait for a connection.",
    attributes: ["db.client.connection.pool.name"],
    fedBy: "poolChanged",
  },
  "db.client.connection.timeouts": {
    kind: "counter",
    unit: "{timeout}",
    description: "Requests for a connection that gave up waiting.",
    attributes: ["db.client.connection.pool.name", "tidemark.lease.kind"],
    fedBy: "leaseTimedOut",
  },
  "db.client.connection.wait_time": {
    kind: "histogram",
    unit: "s",
    description: "Time that a request waited until it got its connection.",
    attributes: ["db.client.connection.pool.name", "tidemark.lease.kind"],
    fedBy: "leaseAcquired",
  },
  "db.client.connection.use_time": {
    kind: "histogram",
    unit: "s",
    description: "Time between the lending of a connection and its return.",
    attributes: ["db.client.connection.pool.name", "tidemark.lease.kind"],
    fedBy: "leaseReleased",
  },
  "tidemark.pool.saturation": {
    kind: "gauge",
    unit: "1",
    description: "Share of the connections that are lent.",
    attributes: [],
    fedBy: "poolChanged",
  },
  "tidemark.pool.peak": {
    kind: "gauge",
    unit: "{connection}",
    description: "Most connections that were lent at once since the start.",
    attributes: [],
    fedBy: "poolChanged",
  },
  "tidemark.pool.pressure": {
    kind: "counter",
    unit: "{event}",
    description: "Times that the pool was near its limit or somebody began to wait.",
    attributes: ["tidemark.advised"],
    fedBy: "poolPressure",
  },

  "tidemark.batch.records": {
    kind: "counter",
    unit: "{record}",
    description: "Received records, by what became of them.",
    attributes: ["tidemark.model", "tidemark.outcome"],
    fedBy: "afterBatch",
  },
  "tidemark.batch.conflicts": {
    kind: "counter",
    unit: "{record}",
    description: "Records of which a change met one that was made here, neither maker having known of the other.",
    attributes: ["tidemark.model"],
    fedBy: "afterBatch",
  },
  "tidemark.batch.duration": {
    kind: "histogram",
    unit: "s",
    description: "Time in which a batch was applied, its waits included; the count is that of the batches.",
    attributes: ["tidemark.phase"],
    fedBy: "afterBatch",
  },
  "tidemark.batch.reference_lookups": {
    kind: "counter",
    unit: "{lookup}",
    description: "References that the kernel looked up by itself, because no plugin had resolved them.",
    attributes: [],
    fedBy: "afterBatch",
  },
  "tidemark.record.healed": {
    kind: "counter",
    unit: "{record}",
    description: "Parked or quarantined records that have entered their table.",
    attributes: ["tidemark.model"],
    fedBy: "recordHealed",
  },
  "tidemark.parked.records": {
    kind: "gauge",
    unit: "{record}",
    description: "Records that are kept outside of their tables, by the reason.",
    attributes: ["tidemark.parked.kind"],
    fedBy: "sample",
  },
  "tidemark.parked.oldest": {
    kind: "gauge",
    unit: "s",
    description: "For how long the oldest of them has been there.",
    attributes: ["tidemark.parked.kind"],
    fedBy: "sample",
  },

  "tidemark.models": {
    kind: "gauge",
    unit: "{model}",
    description: "Models that are synced.",
    attributes: [],
    fedBy: "modelsRegistered",
  },
  "tidemark.capture.gaps": {
    kind: "counter",
    unit: "{gap}",
    description: "Times that a capture trigger was found missing or changed.",
    attributes: ["tidemark.model"],
    fedBy: "captureGap",
  },
  "tidemark.fold.entries": {
    kind: "counter",
    unit: "{entry}",
    description: "Captured local writes that entered the log.",
    attributes: [],
    fedBy: "changesFolded",
  },
  "tidemark.fold.stamps": {
    kind: "counter",
    unit: "{stamp}",
    description: "Stamps that local writes have received.",
    attributes: [],
    fedBy: "changesFolded",
  },
  "tidemark.fold.duration": {
    kind: "histogram",
    unit: "s",
    description: "Time in which local writes entered the log.",
    attributes: [],
    fedBy: "changesFolded",
  },
  "tidemark.change.refused": {
    kind: "counter",
    unit: "{change}",
    description: "Local changes that this device may not make and that were taken back.",
    attributes: ["tidemark.model"],
    fedBy: "changeRefused",
  },
  "tidemark.journal.entries": {
    kind: "counter",
    unit: "{entry}",
    description: "Entries of the journal that the kernel has told of.",
    attributes: ["tidemark.journal.kind"],
    fedBy: "journalEntryAdded",
  },

  "tidemark.peer.connected": {
    kind: "gauge",
    unit: "1",
    description: "1 while there is a session with the peer, else 0.",
    attributes: ["tidemark.peer"],
    fedBy: "sample",
  },
  "tidemark.peer.connections": {
    kind: "counter",
    unit: "{connection}",
    description: "Sessions that were begun with the peer.",
    attributes: ["tidemark.peer"],
    fedBy: "peerConnected",
  },
  "tidemark.peer.disconnections": {
    kind: "counter",
    unit: "{connection}",
    description: "Sessions with the peer that ended.",
    attributes: ["tidemark.peer"],
    fedBy: "peerDisconnected",
  },
  "tidemark.peer.refusals": {
    kind: "counter",
    unit: "{refusal}",
    description: "Introductions that were refused, by the code of the error.",
    attributes: ["tidemark.code"],
    fedBy: "peerRefused",
  },
  "tidemark.peer.pending": {
    kind: "gauge",
    unit: "{entry}",
    description: "Log entries that the peer is not known to have.",
    attributes: ["tidemark.peer"],
    fedBy: "sample",
  },
  "tidemark.peer.lag": {
    kind: "gauge",
    unit: "s",
    description: "Age of the oldest log entry that the peer is not known to have.",
    attributes: ["tidemark.peer"],
    fedBy: "sample",
  },
  "tidemark.peer.state_time": {
    kind: "counter",
    unit: "s",
    description: "Time that replication with the peer has spent in a state.",
    attributes: ["tidemark.peer", "tidemark.state"],
    fedBy: "peerStateChanged",
  },
  "tidemark.member.joined": {
    kind: "counter",
    unit: "{member}",
    description: "Members that have joined the library since the start.",
    attributes: [],
    fedBy: "memberJoined",
  },
  "tidemark.member.removed": {
    kind: "counter",
    unit: "{member}",
    description: "Members that were removed, or that others have removed, by the reason.",
    attributes: ["tidemark.removal.kind"],
    fedBy: "memberRemoved",
  },
  "tidemark.member.settled": {
    kind: "counter",
    unit: "{member}",
    description: "Removed members on which all others have come to agree.",
    attributes: [],
    fedBy: "removalSettled",
  },
  "tidemark.member.returns": {
    kind: "counter",
    unit: "{return}",
    description: "How often this device came back under a new origin.",
    attributes: [],
    fedBy: "memberReturned",
  },
  "tidemark.member.reissued": {
    kind: "counter",
    unit: "{record}",
    description: "Records that this device has issued again after it came back.",
    attributes: [],
    fedBy: "unsentReissued",
  },
  "tidemark.clock.drift": {
    kind: "gauge",
    unit: "s",
    description: "How far ahead the clock of a peer was when it introduced itself last; negative: behind.",
    attributes: ["tidemark.peer"],
    fedBy: "peerConnected",
  },
  "tidemark.clock.refusals": {
    kind: "counter",
    unit: "{refusal}",
    description: "Times that a peer was refused because its clock was too far off.",
    attributes: ["tidemark.peer"],
    fedBy: "clockDrift",
  },

  "tidemark.round.records": {
    kind: "counter",
    unit: "{record}",
    description: "Records received in completed rounds.",
    attributes: ["tidemark.peer", "tidemark.phase"],
    fedBy: "roundCompleted",
  },
  "tidemark.round.duration": {
    kind: "histogram",
    unit: "s",
    description: "Time of a completed round; the count is that of the rounds.",
    attributes: ["tidemark.phase"],
    fedBy: "roundCompleted",
  },
  "tidemark.catch_up.failures": {
    kind: "counter",
    unit: "{failure}",
    description: "Rounds and backfills that failed, by the code of the error.",
    attributes: ["tidemark.code", "tidemark.phase"],
    fedBy: "catchUpFailed",
  },
  "tidemark.catch_up.decisions": {
    kind: "counter",
    unit: "{decision}",
    description: "What was done about failures: retries, and escalations to a full backfill or to giving up.",
    attributes: ["tidemark.action", "tidemark.plugin"],
    fedBy: "catchUpDecided",
  },
  "tidemark.page.records": {
    kind: "counter",
    unit: "{record}",
    description: "Records that were sent.",
    attributes: ["tidemark.phase"],
    fedBy: "pageServed",
  },
  "tidemark.page.size": {
    kind: "histogram",
    unit: "By",
    description: "Size of the pages that were sent; the count is that of the pages.",
    attributes: ["tidemark.phase"],
    fedBy: "pageServed",
  },

  "tidemark.backfill.starts": {
    kind: "counter",
    unit: "{backfill}",
    description: "Backfills that began or went on.",
    attributes: ["tidemark.resumed"],
    fedBy: "backfillStarted",
  },
  "tidemark.backfill.done": {
    kind: "gauge",
    unit: "{record}",
    description: "Records of the backfill that are here.",
    attributes: [],
    fedBy: "backfillProgress",
  },
  "tidemark.backfill.total": {
    kind: "gauge",
    unit: "{record}",
    description: "Records of the backfill altogether.",
    attributes: [],
    fedBy: "backfillProgress",
  },
  "tidemark.backfill.rate": {
    kind: "gauge",
    unit: "{record}/s",
    description: "Records per second since the backfill began or went on.",
    attributes: [],
    fedBy: "backfillProgress",
  },
  "tidemark.backfill.time_left": {
    kind: "gauge",
    unit: "s",
    description: "Time until the backfill is complete, at this rate.",
    attributes: [],
    fedBy: "backfillProgress",
  },
  "tidemark.backfill.duration": {
    kind: "histogram",
    unit: "s",
    description: "Time of a completed backfill.",
    attributes: [],
    fedBy: "backfillCompleted",
  },

  "tidemark.acknowledgement.received": {
    kind: "counter",
    unit: "{acknowledgement}",
    description: "Times that a peer has told up to where it has everything.",
    attributes: ["tidemark.peer"],
    fedBy: "vectorAcknowledged",
  },
  "tidemark.log.entries": {
    kind: "gauge",
    unit: "{entry}",
    description: "Entries in the log.",
    attributes: [],
    fedBy: "sample",
  },
  "tidemark.log.size": {
    kind: "gauge",
    unit: "By",
    description: "Size of all sync tables.",
    attributes: [],
    fedBy: "sample",
  },
  "tidemark.log.prunes": {
    kind: "counter",
    unit: "{prune}",
    description: "Times that something was pruned.",
    attributes: [],
    fedBy: "logPruned",
  },
  "tidemark.log.pruned": {
    kind: "counter",
    unit: "{item}",
    description: "Stamps and hidden records that were pruned.",
    attributes: ["tidemark.pruned.kind"],
    fedBy: "logPruned",
  },
  "tidemark.log.blocked_time": {
    kind: "gauge",
    unit: "s",
    description: "For how long a member has kept others from pruning, as seen since the start.",
    attributes: ["tidemark.member"],
    fedBy: "sample",
  },

  "tidemark.hook.duration": {
    kind: "histogram",
    unit: "s",
    description: "Time of the calls of a plugin's hook handlers.",
    attributes: ["tidemark.plugin", "tidemark.hook", "tidemark.outcome"],
    fedBy: "hookCompleted",
  },
  "tidemark.hook.quarantines": {
    kind: "counter",
    unit: "{handler}",
    description: "Hook handlers that failed too often and are not called any more.",
    attributes: ["tidemark.plugin", "tidemark.hook"],
    fedBy: "hookHandlerQuarantined",
  },
  "tidemark.plugin.state_changes": {
    kind: "counter",
    unit: "{change}",
    description: "Times that a plugin entered a state.",
    attributes: ["tidemark.plugin", "tidemark.state"],
    fedBy: "pluginStateChanged",
  },
  "tidemark.kernel.state_time": {
    kind: "counter",
    unit: "s",
    description: "Time that the kernel has spent in a state.",
    attributes: ["tidemark.state"],
    fedBy: "kernelStateChanged",
  },
  "tidemark.health": {
    kind: "gauge",
    unit: "1",
    description: "0 ok, 1 degraded, 2 failing.",
    attributes: [],
    fedBy: "sample",
  },
  "tidemark.event_loop.delay": {
    kind: "gauge",
    unit: "s",
    description: "By how much the event loop was late while there was work, since the last sample.",
    attributes: ["tidemark.statistic"],
    fedBy: "sample",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type MetricName = keyof typeof catalogue;

/** The names of the metrics of these kinds. */
export type MetricOf<Kind extends MetricKind> = {
  [Name in MetricName]: (typeof catalogue)[Name]["kind"] extends Kind ? Name : never;
}[MetricName];

/** Exactly the attributes that a metric has. */
export type AttributesOf<Name extends MetricName> = {
  readonly [Key in (typeof catalogue)[Name]["attributes"][number]]: string | boolean;
};

export const metricNames = Object.keys(catalogue) as readonly MetricName[];
