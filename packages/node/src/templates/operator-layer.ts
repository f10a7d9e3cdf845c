/**
 * What an operator adds to every guest: CA certificates, environment, files. It becomes a second archive behind the
 * initramfs; the agent puts it between the image and the guest's own layer, so no image changes and no start pays for it.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { AppError, messageOf } from "@mags/core";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { run } from "../host/run.ts";
import type { WorkDirectories } from "../host/work-directories.ts";
import type { Image } from "../images/image.ts";

export interface OperatorSettings {
  /** PEM files. */
  readonly caCertificates: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly files: readonly { readonly path: string; readonly source: string; readonly mode: number }[];
}

export interface OperatorFile {
  /** Absolute path in the guest. */
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

/** Where most programs look in an image that brings no certificates. */
const USUAL_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";

/** Programs that bring certificates of their own find the guest's bundle by these. */
const CA_VARIABLES = ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE"];

/** The files the settings amount to, for an image with those certificates. */
export async function operatorFiles(settings: OperatorSettings, caBundle: Image["caBundle"]): Promise<OperatorFile[]> {
  const files: OperatorFile[] = [];
  const bundlePath = caBundle?.guestPath ?? USUAL_CA_BUNDLE;
  if (settings.caCertificates.length > 0) {
    const extra = await Promise.all(settings.caCertificates.map((path) => readPem(path)));
    extra.forEach((content, n) => {
      files.push({ path: `/usr/local/share/ca-certificates/operator-${n + 1}.crt`, mode: 0o644, content });
    });
    files.push({
      path: bundlePath,
      mode: 0o644,
      content: Buffer.concat([...(caBundle ? [await readFile(caBundle.file)] : []), ...extra]),
    });
  }
  const caVariables = settings.caCertificates.length > 0 ? CA_VARIABLES.map((name) => [name, bundlePath]) : [];
  const environment = { ...Object.fromEntries(caVariables), ...settings.environment };
  if (Object.keys(environment).length > 0) {
    const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`);
    files.push({ path: "/etc/environment", mode: 0o644, content: Buffer.from(lines.join("")) });
  }
  for (const { path, source, mode } of settings.files) {
    if (!posix.isAbsolute(path) || posix.normalize(path) !== path)
      throw new AppError("validation_failed", `node.guest.files: ${path} must be an absolute path without . and ..`);
    files.push({ path, mode, content: await readSetting("guest.files", source) });
  }
  return files;
}

async function readPem(path: string): Promise<Buffer> {
  const content = await readSetting("guest.ca_certificates", path);
  if (!content.includes("-----BEGIN CERTIFICATE-----"))
    throw new AppError("validation_failed", `node.guest.ca_certificates: ${path} holds no PEM certificate`);
  return Buffer.concat([content, Buffer.from("\n")]);
}

async function readSetting(key: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new AppError("validation_failed", `node.${key}: ${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

export function operatorDigest(files: readonly OperatorFile[]): string {
  const hash = createHash("sha256");
  for (const { path, mode, content } of files) hash.update(`${path}\0${mode}\0${content.length}\0`).update(content);
  return hash.digest("hex");
}

/** An archive in the kernel's format with the files below /operator, or nothing when there are none. */
export async function operatorArchive(
  { runtime, work }: { readonly runtime: RuntimeRoot; readonly work: WorkDirectories },
  files: readonly OperatorFile[],
): Promise<Buffer | undefined> {
  if (files.length === 0) return undefined;
  await using directory = await work.create("operator");
  const tree = directory.path;
  const names = new Set<string>(["operator"]);
  for (const { path, mode, content } of files) {
    const name = `operator${path}`;
    for (let parent = dirname(name); parent !== "."; parent = dirname(parent)) names.add(parent);
    names.add(name);
    await mkdir(join(tree, dirname(name)), { recursive: true, mode: 0o755 });
    await writeFile(join(tree, name), content);
    await chmod(join(tree, name), mode);
  }
  const output = join(tree, "archive.cpio");
  const options = ["--create", "--format=newc", "--owner=0:0", "--quiet", `--directory=${tree}`, `--file=${output}`];
  await run(toolCommand(runtime, "/usr/bin/cpio", options), { input: [...names].sort().join("\n") });
  return await readFile(output);
}

/** The kernel looks for the next archive of an initramfs at multiples of four bytes, and skips zeros before it. */
const ARCHIVE_ALIGNMENT = 4;

export function joinArchives(initramfs: Buffer, archive: Buffer | undefined): Buffer {
  if (!archive) return initramfs;
  const padding = (ARCHIVE_ALIGNMENT - (initramfs.length % ARCHIVE_ALIGNMENT)) % ARCHIVE_ALIGNMENT;
  return Buffer.concat([initramfs, Buffer.alloc(padding), archive]);
}
