/** What both ends of a connection have in common. Beside these, `maxPayload` bounds a frame before it is held in memory. */
export const SOCKET_OPTIONS = {
  // The kernel deflates what is worth it; another round would cost time and memory for nothing.
  perMessageDeflate: false,
  // One frame in a turn of the event loop: several pages of a backfill that came together would hold it for too long.
  allowSynchronousEvents: false,
} as const;
