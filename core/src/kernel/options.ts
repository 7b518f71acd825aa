import type { AnyPlugin, Authenticator, Clock, EntityDeclaration, Logger, Meter, Random } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import type { TidemarkSettings } from "./settings.js";

/** What an application calls {@link createTidemark} with. */
export interface TidemarkOptions {
  /**
   * A better-sqlite3 data source on a file, made with `tidemarkDataSourceOptions`. May be open already; else `start`
   * opens it.
   */
  readonly dataSource: DataSource;
  /** The models to sync; those declared with `@Synced` on an entity of the data source are added by themselves. */
  readonly entities?: readonly EntityDeclaration[];
  /** The plugins that are installed; which of them run, and how, is said in `settings.plugins`. */
  readonly plugins?: readonly AnyPlugin[];
  /** Made with `defineConfig`. */
  readonly settings: TidemarkSettings;
  readonly logger?: Logger;
  readonly meter?: Meter;
  /** Default: the system's clock and timers. */
  readonly clock?: Clock;
  /** Default: the system's cryptographic source. */
  readonly random?: Random;
  /** Default: HMAC-SHA-256 with `settings.library.secret`. */
  readonly authenticator?: Authenticator;
  /** Environment variables to read (`TIDEMARK_PLUGINS_DISABLE`, `TIDEMARK_DB_POOL_SIZE`). Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}
