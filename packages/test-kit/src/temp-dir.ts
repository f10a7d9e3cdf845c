import { mkdtemp, rm } from "node:fs/promises";

export interface TempDir extends AsyncDisposable {
  /** Short, because unix socket paths must stay under 108 bytes. */
  readonly path: string;
}

/** A fresh directory that disappears with all it holds. */
export async function makeTempDir(): Promise<TempDir> {
  const path = await mkdtemp("/tmp/mags-");
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
