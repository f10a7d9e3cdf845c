/**
 * Looks into the object store of the configuration, by nothing but its objects: no server, no database. What it prints of
 * names stands in the heads of the workspaces.
 */
import { type FileHandle, rm } from "node:fs/promises";
import { AppError, silentLogger } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { shown } from "@mags/tar";
import { openUpperLayer, type TarShape, tarOf } from "@mags/workspace-files";
import {
  checkAccount,
  checkImages,
  exportDisk,
  findVersions,
  type Head,
  type HeadVersion,
  listAccounts,
  openVersion,
  recordsOf,
  surveyAccount,
  surveyImages,
  type VersionReader,
  type WorkspaceKey,
} from "@mags/workspace-store";
import { openConfiguredStore } from "../object-store.ts";
import type { CommandContext } from "./context.ts";
import { counted } from "./counted.ts";
import { makeNewFile } from "./new-file.ts";
import { sizeText } from "./size-text.ts";

type Context = Pick<CommandContext, "config" | "print">;
type Signal = { readonly signal: AbortSignal };

function withStore<T>({ config }: Context, work: (store: ObjectStore) => Promise<T>): Promise<T> {
  return openConfiguredStore(config, { log: silentLogger }).then(async (opened) => {
    await using store = opened;
    return await work(store);
  });
}

/** @returns the exit code: 1 when something is not as it must be. */
export function checkStore(context: Context, { data, signal }: Signal & { readonly data: boolean }): Promise<number> {
  const { print } = context;
  return withStore(context, async (store) => {
    let problems = 0;
    const named = new Map<string, readonly string[]>();
    const onProblem = ({ key, what }: { readonly key: string; readonly what: string }) => print(`BAD  ${key}: ${what}`);
    for (const account of await listAccounts(store, { signal })) {
      const found = await checkAccount(store, { account, data, signal, onProblem });
      problems += found.problems;
      for (const [digest, versions] of found.images) named.set(digest, [...(named.get(digest) ?? []), ...versions]);
      const { workspaces, versions, packs, records, unusedPacks } = found;
      print(
        `${found.problems === 0 ? "ok  " : "BAD "} account ${account}: ${counted(workspaces, "workspace")}, ${counted(versions, "version")}, ${counted(packs, "pack")} (${unusedPacks} unused), ${counted(records, "record")}${data ? ", all read" : ""}`,
      );
    }
    const { images, unusedImages, ...found } = await checkImages(store, { named, data, signal, onProblem });
    problems += found.problems;
    print(
      `${found.problems === 0 ? "ok  " : "BAD "} images: ${images} (${unusedImages} unused), ${found.parts} parts${data ? ", all read" : ""}`,
    );
    print(
      problems === 0
        ? `${store.location}: nothing is missing or damaged`
        : `${store.location}: ${counted(problems, "problem")}`,
    );
    return problems === 0 ? 0 : 1;
  });
}

export function printStoreStats(context: Context, { signal }: Signal): Promise<void> {
  const { print } = context;
  return withStore(context, async (store) => {
    for (const account of await listAccounts(store, { signal })) {
      const { packs, heads, unreadable } = await surveyAccount(store, { account, signal });
      const packBytes = [...packs.values()].reduce((sum, bytes) => sum + bytes, 0);
      print(`account ${account}: ${counted(packs.size, "pack")}, ${sizeText(packBytes)}`);
      for (const [workspace, head] of heads) print(`  ${lineOf(workspace, head)}`);
      for (const [workspace, why] of unreadable) print(`  ${workspace}: ${why}`);
    }
    await printImages(store, context, { signal });
  });
}

async function printImages(store: ObjectStore, { print }: Context, { signal }: Signal): Promise<void> {
  const { images, unreadable, uploads } = await surveyImages(store, { signal });
  const bytesOf = (wanted: (one: (typeof uploads)[number]) => boolean) =>
    uploads
      .filter(wanted)
      .flatMap(({ parts }) => [...parts.values()])
      .reduce((sum, bytes) => sum + bytes, 0);
  for (const [digest, { image }] of images) {
    if (image.state === "removed") continue;
    const stored = bytesOf((one) => one.digest === digest && one.upload === image.upload);
    print(`image ${image.name} ${digest}: ${sizeText(image.disk_bytes)}, ${sizeText(stored)} stored`);
  }
  for (const [digest, why] of unreadable) print(`image ${digest}: ${why}`);
  const strays = bytesOf(({ digest, upload }) => {
    const image = images.get(digest)?.image;
    return image?.state !== "whole" || image.upload !== upload;
  });
  if (strays > 0) print(`parts of uploads that are under way, or over: ${sizeText(strays)}`);
}

function lineOf(workspace: string, { name, state, versions }: Head): string {
  const latest = versions.at(-1);
  const kept = counted(versions.length, "version");
  if (state === "deleted") return `${workspace} ${name}: deleted, ${kept} left`;
  if (!latest) return `${workspace} ${name}: not published yet`;
  const sizes = `${sizeText(latest.data_bytes)} of data, ${sizeText(latest.stored_bytes)} stored`;
  return `${workspace} ${name}: ${kept}, the latest is ${latest.seq} of ${latest.created_at}: ${sizes}`;
}

export type ExportForm = "disk" | TarShape;

/** Writes a version into a file that is not there yet. @returns the exit code: 1 when some of its files could not be written. */
export function exportWorkspace(
  context: Context,
  options: Signal & {
    readonly workspace: string;
    readonly version?: number;
    readonly form: ExportForm;
    readonly file: string;
  },
): Promise<number> {
  const { workspace, form, file, signal } = options;
  const { print } = context;
  return withStore(context, async (store) => {
    const { key, name, versions } = await findWorkspace(store, workspace, { signal });
    const version = versionOf({ name, versions }, options.version);
    const records = recordsOf(store, key.account);
    const reader = await openVersion(store, key, { name: version, records, signal });
    await using output = await makeNewFile(file);
    const what = `${file}: version ${version.seq} of ${name}`;
    try {
      if (form !== "disk") return await writeTar(reader, { form, output, what, print, signal });
      await exportDisk(reader, output, { records, signal });
      await output.sync();
    } catch (error) {
      await rm(file, { force: true }); // half of it is none
      throw error;
    }
    print(
      `${what}, ${sizeText(version.disk_bytes)} of disk, ${sizeText(version.data_bytes)} of data; mount it with: mount -o loop,ro ${file} /mnt (files are below up/)`,
    );
    return 0;
  });
}

async function writeTar(
  reader: VersionReader,
  options: Signal & {
    readonly form: TarShape;
    readonly output: FileHandle;
    readonly what: string;
    readonly print: Context["print"];
  },
): Promise<number> {
  const { form, output, what, print, signal } = options;
  let missing = 0;
  const onMissing = (path: string, why: string) => {
    missing++;
    print(`MISSING  ${shown(path)} ${why}`);
  };
  const layer = await openUpperLayer(reader, { signal });
  await output.writeFile(tarOf(layer, { shape: form, signal, onMissing }));
  await output.sync();
  const { size } = await output.stat();
  const { name, digest } = reader.manifest.image;
  const meaning =
    form === "layer"
      ? `as a layer over the image ${name} (${digest}): what was deleted is an empty file .wh.NAME`
      : `as the upper layer of an overlayfs over the image ${name} (${digest})`;
  print(`${what}, ${sizeText(size)}, ${meaning}`);
  return missing === 0 ? 0 : 1;
}

interface FoundWorkspace extends Pick<Head, "name" | "versions"> {
  readonly key: WorkspaceKey;
}

/** By id, also where its head cannot be read, or by its name where only one has that. */
async function findWorkspace(store: ObjectStore, wanted: string, { signal }: Signal): Promise<FoundWorkspace> {
  const found: FoundWorkspace[] = [];
  for (const account of await listAccounts(store, { signal })) {
    const { heads, unreadable } = await surveyAccount(store, { account, signal });
    for (const [workspace, head] of heads)
      if (workspace === wanted || (head.name === wanted && head.state === "live"))
        found.push({ key: { account, workspace }, name: head.name, versions: head.versions });
    if (!unreadable.has(wanted)) continue;
    const key = { account, workspace: wanted };
    const { versions } = await findVersions(store, key, { signal });
    found.push({ key, name: wanted, versions: [...versions] });
  }
  const [only, other] = found;
  if (!only)
    throw new AppError("workspace_not_found", `${store.location} has no workspace ${wanted}: see magsd store stats`);
  if (other)
    throw new AppError(
      "validation_failed",
      `several workspaces are called ${wanted}: name one by its id, ${found.map(({ key }) => key.workspace).join(" or ")}`,
    );
  return only;
}

function versionOf({ name, versions }: Pick<Head, "name" | "versions">, seq: number | undefined): HeadVersion {
  const version = seq === undefined ? versions.at(-1) : versions.find((one) => one.seq === seq);
  if (version) return version;
  const kept = versions.map((one) => one.seq).join(", ") || "none";
  throw new AppError("version_not_found", `${name} has no version ${seq ?? "yet"}; kept are: ${kept}`);
}
