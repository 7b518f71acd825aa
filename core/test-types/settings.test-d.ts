// The settings are checked while they are written, those of plugins by the plugins' own types. Compiled, never run.

import { createTidemark, defineConfig, type TidemarkOptions } from "@tidemark/core";

declare module "@tidemark/plugin-api" {
  interface PluginSettings {
    limiter: { readonly most?: number };
  }
}

const library = { id: "notes", secret: "sixteen or more letters", role: "found" } as const;
const device = { id: "laptop", name: "Laptop" };

export const settings = defineConfig({
  library,
  device,
  plugins: { limiter: { settings: { most: 5 } }, another: false },
  replication: { pageRecords: 500 },
});

// @ts-expect-error A device founds a library or joins it.
defineConfig({ library: { ...library, role: "guest" }, device });
// @ts-expect-error The plugin's own settings are known by their types.
defineConfig({ library, device, plugins: { limiter: { settings: { most: "five" } } } });
// @ts-expect-error A device has an id.
defineConfig({ library, device: { name: "Laptop" } });

export function starts(options: TidemarkOptions): void {
  createTidemark({ ...options, settings });
  // @ts-expect-error Without settings there is no library.
  createTidemark({ dataSource: options.dataSource });
}

export async function reads(options: TidemarkOptions): Promise<number> {
  await using tidemark = createTidemark(options);
  tidemark.events.on("kernelStateChanged", ({ state }) => void state.toUpperCase());
  // @ts-expect-error Only the kernel provides what plugins have not.
  tidemark.services.provide;
  const { rows } = await tidemark.digest("Note");
  return rows;
}
