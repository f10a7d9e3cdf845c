/**
 * Templates: the memory and device state of a guest that booted once, per image and size. Clones map the memory
 * copy-on-write. A template's name is a hash of all it is made of, so that one of another build is never used.
 */
import { createHash } from "node:crypto";
import { chmod, chown, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  AppError,
  type Clock,
  createGate,
  type Logger,
  messageOf,
  sleep,
  untilAborted,
  withDeadline,
} from "@mags/core";
import { syncPath, writeFileDurably } from "../host/files.ts";
import type { WorkDirectories } from "../host/work-directories.ts";
import type { Artifacts } from "../images/artifacts.ts";
import type { Image } from "../images/image.ts";
import { connectGuest } from "../microvm/guest.ts";
import { templateFileBytes } from "../microvm/limits.ts";
import type { MicroVm, MicroVmHost } from "../microvm/microvm-host.ts";
import { type Accelerator, JAIL, type MachineShape, machineIdentity, templateArguments } from "../qemu/command-line.ts";
import {
  joinArchives,
  type OperatorSettings,
  operatorArchive,
  operatorDigest,
  operatorFiles,
} from "./operator-layer.ts";
import { imagesOfTemplates, removeTemplatesOf } from "./template-files.ts";
import { warmTemplate } from "./warm-up.ts";

export interface Template {
  readonly key: string;
  readonly directory: string;
  readonly image: Image;
  readonly shape: MachineShape;
}

export interface TemplateStore {
  /**
   * The template for an image and size; built when there is none yet, one at a time and once however many ask. The signal
   * ends a build that this call began, for all who wait for it.
   */
  get(
    image: Image,
    size: { readonly vcpus: number; readonly memoryMiB: number },
    options?: { readonly signal?: AbortSignal },
  ): Promise<Template>;
  /** True when `get` would not have to build. */
  has(image: Image, size: { readonly vcpus: number; readonly memoryMiB: number }): Promise<boolean>;
  /** Removes what is none and, beyond `keep`, those that no microVM is made from and that were not used for longest. */
  prune(): Promise<void>;
  /** Removes those of an image, but for what microVMs are made from. */
  removeOf(imageDigest: string): Promise<void>;
  /** Digests of the images that microVMs are made from; undefined when the template of one is not there any more. */
  imagesInUse(): Promise<ReadonlySet<string> | undefined>;
}

export interface TemplateStoreDeps {
  readonly artifacts: Artifacts;
  readonly host: MicroVmHost;
  readonly work: WorkDirectories;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface TemplateStoreConfig {
  readonly root: string;
  readonly accelerator: Accelerator;
  readonly operator: OperatorSettings;
  readonly keep: number;
  readonly bootDeadlineMs: number;
}

/** Time for the guest to finish what it does after the last request, so that the template is at rest. */
const SETTLE_MS = 300;
/** What QEMU writes: the memory of the guest, and the state of its devices. */
const FILES = ["memory", "state"] as const;
const CONSOLE_DEADLINE_MS = 1_000;
const CONSOLE_TAIL_CHARACTERS = 1_500;
const MIB = 1024 ** 2;

export function createTemplateStore(deps: TemplateStoreDeps, config: TemplateStoreConfig): TemplateStore {
  const { artifacts, host, log } = deps;
  const building = new Map<string, Promise<Template>>();
  /** Image digests of the templates that were asked for, by key: one that is being built has no file yet that says. */
  const asked = new Map<string, string>();
  const oneBuild = createGate(1);

  async function describe(image: Image, size: { readonly vcpus: number; readonly memoryMiB: number }) {
    const { vcpus, memoryMiB } = size;
    const shape: MachineShape = { accelerator: config.accelerator, vcpus, memoryMiB };
    const files = await operatorFiles(config.operator, image.caBundle);
    const parts = [
      artifacts.runtimeDigest,
      artifacts.bootDigest,
      image.digest,
      operatorDigest(files),
      machineIdentity(shape),
    ];
    const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
    asked.set(key, image.digest);
    const template: Template = { key, directory: join(config.root, key), image, shape };
    return { template, files };
  }

  const sizeOf = async (...path: string[]) => (await stat(join(...path)).catch(() => null))?.size ?? 0;
  const wasFinished = async (directory: string) => (await sizeOf(directory, "template.json")) > 0;

  /** One that lost a file, or part of its memory, is none: it is built anew. */
  async function exists({ directory, shape }: Template): Promise<boolean> {
    const [state, memory] = await Promise.all([sizeOf(directory, "state"), sizeOf(directory, "memory")]);
    return state > 0 && memory === shape.memoryMiB * MIB && wasFinished(directory);
  }

  async function buildInTurn(
    described: Awaited<ReturnType<typeof describe>>,
    options: { readonly signal?: AbortSignal },
  ): Promise<Template> {
    let leave = () => {};
    try {
      leave = await oneBuild.enter(options);
      const template = await build(described, options);
      await prune().catch((error: unknown) => log.error("template.prune_failed", { error: messageOf(error) }));
      return template;
    } finally {
      building.delete(described.template.key);
      leave();
    }
  }

  async function build(
    { template, files }: Awaited<ReturnType<typeof describe>>,
    { signal }: { readonly signal?: AbortSignal },
  ): Promise<Template> {
    const startedAt = deps.clock.monotonicMs();
    await using directory = await deps.work.create("template");
    const work = directory.path;
    await chmod(work, 0o755);
    const archive = await operatorArchive({ runtime: artifacts.runtime, work: deps.work }, files);
    await writeFile(join(work, "initramfs"), joinArchives(await readFile(artifacts.initramfs), archive), {
      mode: 0o444,
    });
    const microVm = await host.launch({
      templateKey: template.key,
      args: templateArguments(template.shape, {
        kernel: `${JAIL.boot}/${basename(artifacts.kernel)}`,
        initramfs: `${JAIL.template}/initramfs`,
      }),
      accelerator: template.shape.accelerator,
      template: { directory: work, writable: FILES },
      imageDirectory: template.image.directory,
      kernel: artifacts.kernel,
      size: template.shape,
      maxFileBytes: templateFileBytes(template.shape),
      mostFileBytes: templateFileBytes(template.shape),
      idlePriority: false,
    });
    try {
      const patience = { deadlineMs: config.bootDeadlineMs, firstAttemptMs: config.bootDeadlineMs };
      const gone = signal ? AbortSignal.any([microVm.gone, signal]) : microVm.gone;
      const agent = await untilAborted(connectGuest(microVm, { log }, patience), gone);
      const bootMs = deps.clock.monotonicMs() - startedAt;
      await untilAborted(warmTemplate(agent, deps), gone);
      await sleep(SETTLE_MS);
      await agent[Symbol.asyncDispose]();
      await sleep(SETTLE_MS);
      await microVm.machine.pause();
      await microVm.machine.saveTemplate(`${JAIL.template}/state`);
      log.info("template.built", { key: template.key, image: template.image.name, ...template.shape, bootMs });
    } catch (cause) {
      throw signal?.aborted ? cause : await explainBoot(microVm, template.image, cause);
    } finally {
      await host.release(microVm);
    }
    await rm(join(work, "initramfs"));
    for (const name of FILES) {
      await chown(join(work, name), 0, 0);
      await chmod(join(work, name), 0o444);
      // A power cut must not leave holes in what has its full size.
      await syncPath(join(work, name));
    }
    const { name, digest } = template.image;
    await writeFileDurably(
      join(work, "template.json"),
      `${JSON.stringify({ image: name, digest, ...template.shape })}\n`,
    );
    await deps.work.remove(template.directory);
    await rename(work, template.directory);
    await syncPath(config.root);
    return template;
  }

  async function prune(): Promise<void> {
    const inUse = host.templatesInUse();
    const old: { name: string; usedAt: number }[] = [];
    for (const name of await readdir(config.root)) {
      const directory = join(config.root, name);
      if (!inUse.has(name) && !(await wasFinished(directory))) await deps.work.remove(directory);
      else if (!inUse.has(name)) old.push({ name, usedAt: (await stat(directory)).mtimeMs });
    }
    old.sort((a, b) => b.usedAt - a.usedAt);
    for (const { name } of old.slice(config.keep)) {
      log.info("template.removed", { key: name });
      await deps.work.remove(join(config.root, name));
    }
  }

  return {
    async get(image, size, options = {}) {
      const described = await describe(image, size);
      const { template } = described;
      const known = building.get(template.key);
      if (known) return known;
      if (await exists(template)) {
        const now = deps.clock.now();
        await utimes(template.directory, now, now);
        return template;
      }
      const built = building.get(template.key) ?? buildInTurn(described, options);
      building.set(template.key, built);
      return built;
    },

    async has(image, size) {
      return exists((await describe(image, size)).template);
    },

    prune,
    removeOf: (imageDigest) => removeTemplatesOf(config.root, imageDigest, host.templatesInUse()),
    imagesInUse: () => imagesOfTemplates(config.root, host.templatesInUse(), asked),
  };
}

/** What the guest said last tells more than the silence afterwards. */
async function explainBoot(microVm: MicroVm, image: Image, cause: unknown): Promise<AppError> {
  const console = await withDeadline(microVm.machine.consoleTail(), CONSOLE_DEADLINE_MS, () => new Error()).catch(
    () => "",
  );
  const tail = console.trim().slice(-CONSOLE_TAIL_CHARACTERS);
  const message = `a guest of image ${image.name} did not come up: ${messageOf(cause)}`;
  return new AppError("guest_failed", tail === "" ? message : `${message}\nThe end of its console:\n${tail}`, {
    cause,
  });
}
