/** The object store that the configuration names. */
import { readFile } from "node:fs/promises";
import { AppError, type Logger, messageOf, Secret } from "@mags/core";
import { type ObjectStoreOptions, type OpenOptions, type OwnedObjectStore, openObjectStore } from "@mags/object-store";
import type { ServerConfig } from "./config.ts";
import { placesOf } from "./installation.ts";
import { knownObjectFolder } from "./object-folder.ts";

type StoreConfig = Pick<ServerConfig, "data_dir" | "object_store">;

/** Makes no folder. @throws AppError as `openObjectStore`; `validation_failed` when the file of the secret cannot be read. */
export async function openConfiguredStore(
  config: StoreConfig,
  deps: { readonly log: Logger },
  options: OpenOptions = {},
): Promise<OwnedObjectStore> {
  return openObjectStore(await optionsOf(config), deps, options);
}

async function optionsOf(config: StoreConfig): Promise<ObjectStoreOptions> {
  const store = config.object_store;
  if (store.kind === "filesystem")
    return { kind: store.kind, directory: placesOf(config).objects, identity: await knownObjectFolder(config) };
  const { kind, endpoint, bucket, prefix, region, access_key, secret_key, path_style } = store;
  return {
    ...{ kind, bucket, region, accessKey: access_key, pathStyle: path_style },
    endpoint: endpoint.replace(/\/$/, ""),
    prefix: prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`,
    secretKey: typeof secret_key === "string" ? await readSecret(secret_key) : secret_key,
  };
}

async function readSecret(file: string): Promise<Secret> {
  try {
    return new Secret((await readFile(file, "utf8")).trim());
  } catch (cause) {
    throw new AppError("validation_failed", `object_store.secret_key_file: ${messageOf(cause)}`, { cause });
  }
}
