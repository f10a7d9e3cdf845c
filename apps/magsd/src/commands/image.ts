import { resolve } from "node:path";
import { type ImageSummary, prepareImport } from "@mags/node";
import { openImages } from "../images.ts";
import { nodeOptionsOf } from "../parts.ts";
import type { CommandContext } from "./context.ts";
import { sizeText } from "./size-text.ts";

/**
 * Makes the disk in this process, then has the node try it and give it its name.
 * @throws the signal's reason, when what this process made is removed.
 */
export async function importImage(
  context: CommandContext,
  options: { readonly name: string; readonly file: string; readonly signal: AbortSignal },
): Promise<void> {
  const { config, print } = context;
  const { name, signal } = options;
  await using images = await openImages(config, context);
  await images.checkName(name); // before the work
  await using prepared = await prepareImport(nodeOptionsOf(config), resolve(options.file), { signal });
  const { draft } = prepared;
  print(`made ${draft.digest} of ${draft.entries} files and folders; booting it`);
  const { record } = await images.register(prepared.build, name, { signal });
  print(`imported image ${name} (${sizeText(draft.sizeBytes)}); use it: mags run --image ${name} ...`);
  if (draft.devicesLeftOut > 0) print(`left out ${draft.devicesLeftOut} device nodes: a VM has its own /dev`);
  if (draft.caBundle === null) print("it brings no CA certificates: programs in it cannot check TLS servers");
  const missing = record?.tools?.missing ?? [];
  if (missing.length > 0) print(`it lacks, of what the standard image has: ${missing.join(", ")}`);
}

export async function listImages(context: CommandContext, options: { readonly json: boolean }): Promise<void> {
  const { config, print } = context;
  await using images = await openImages(config, context);
  const list = await images.list();
  if (options.json) return print(JSON.stringify({ images: list.map(toJson) }));
  const rows = list.flatMap((image) =>
    (image.names.length > 0 ? image.names : ["(no name)"]).map((name) => rowOf(name, image)),
  );
  const all = [["NAME", "DIGEST", "SIZE", "CREATED", "SOURCE"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  for (const row of all)
    print(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}

export async function removeImage(context: CommandContext, { name }: { readonly name: string }): Promise<void> {
  const { config, print } = context;
  await using images = await openImages(config, context);
  await images.remove(name);
  print(`removed image ${name}`);
}

export async function collectImages(context: CommandContext): Promise<void> {
  const { config, print } = context;
  await using images = await openImages(config, context);
  const removed = await images.collect();
  for (const digest of removed) print(`removed ${digest}`);
  if (removed.length === 0) print("nothing to remove");
}

function rowOf(name: string, { digest, record }: ImageSummary): string[] {
  const short = digest.slice("sha256:".length, "sha256:".length + 12);
  if (!record) return [name, short, "-", "-", "installation"];
  return [name, short, sizeText(record.sizeBytes), record.createdAt, record.source.file];
}

function toJson({ names, digest, record }: ImageSummary) {
  return {
    names,
    digest,
    installed: record === null,
    size_bytes: record?.sizeBytes ?? null,
    created_at: record?.createdAt ?? null,
    source: record?.source ?? null,
    tools: record?.tools ?? null,
    ca_bundle: record?.caBundle ?? null,
  };
}
