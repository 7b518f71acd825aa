/** How `resetSyncState()` goes on. */
export interface ResetOptions {
  /** This is the only device of its library that is left: what is here is the library. Default `false`. */
  readonly found?: boolean;
}
