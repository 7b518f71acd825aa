/**
 * Something that can be given back. Disposing twice does nothing. (VS Code's convention: whatever subscribes returns
 * the means to unsubscribe.)
 */
export interface Subscription {
  dispose(): void;
}

/** Makes a {@link Subscription} that runs `release` on the first `dispose()` and never again. */
export function subscription(release: () => void): Subscription {
  let released = false;
  return {
    dispose() {
      if (released) return;
      released = true;
      release();
    },
  };
}
