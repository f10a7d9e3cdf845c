/**
 * Kills server, block server, QEMU and object store at random moments while files are written in synced workspaces,
 * synced, stopped, opened again and forked, and proves of each round: every acknowledged version that is kept has the
 * files that it was acknowledged with, by hashes that the guest made; nothing that is listed is missing or damaged;
 * what nobody needs is collected; nothing is left on the host.
 *
 * A version is acknowledged when a sync said its number, or a stop ended, while nothing was written since the hashes were
 * made. One whose reply was lost is known by its place between two that were acknowledged, and must hold the same.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, systemClock } from "@mags/core";
import { createSeededRandom, type SeededRandom } from "@mags/test-kit";
import { collect, listAccounts } from "@mags/workspace-store";
import { randomWrites, SUMS } from "./kept-trees.ts";
import { createPatientUser, type PatientUser } from "./patient-user.ts";
import type { S3Server } from "./s3-server.ts";
import { untilParkedOnly } from "./traces.ts";
import { createVictims, type Victims } from "./victims.ts";

export interface KillOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Told what happens, to follow a round that fails. */
  readonly say: (line: string) => void;
}

interface Workspace {
  readonly name: string;
  /** Hashes of the files, by version. */
  readonly acknowledged: Map<number, string>;
  /** The highest that is acknowledged; 0: none. */
  latest: number;
}

interface World {
  readonly s3: S3Server;
  readonly user: PatientUser;
  readonly victims: Victims;
  readonly random: SeededRandom;
  readonly workspaces: Workspace[];
  /** The one that is open. */
  open: Workspace | undefined;
  made: number;
}

const MAX_WORKSPACES = 4;
const SYNC_ATTEMPTS = 50;
/** Retention keeps at least so many of the newest versions. */
const ALWAYS_KEPT = 10;
const KILLS = 2;
const KILL_WITHIN_MS = 2_500;
const AWAY_MS = 1_500;
/** Longer than the block server waits for the object store. */
const STALL_MS = 12_000;
/** One in so many rounds ends with a look at all that is stored, and at the host; and so does the last. */
const THOROUGH_EVERY = 3;

export async function killWorkspacesAtRandom(s3: S3Server, options: KillOptions): Promise<void> {
  const random = createSeededRandom(options.seed);
  const world: World = {
    ...{ s3, random, user: createPatientUser(s3.server), victims: createVictims(s3) },
    ...{ workspaces: [], open: undefined, made: 0 },
  };
  const begunMs = performance.now();
  for (let round = 1; round <= options.rounds; round++) {
    const say = (line: string) =>
      options.say(`round ${round}, ${((performance.now() - begunMs) / 1000).toFixed(1)} s: ${line}`);
    await useAndKill(world, { thorough: round % THOROUGH_EVERY === 0, say }).catch((cause: unknown) => {
      throw new Error(`round ${round} of seed ${options.seed}: ${messageOf(cause)}`, { cause });
    });
  }
  await endAll(world, (line) => options.say(`${((performance.now() - begunMs) / 1000).toFixed(1)} s: ${line}`));
}

async function useAndKill(
  world: World,
  { thorough, say }: { readonly thorough: boolean; readonly say: (line: string) => void },
): Promise<void> {
  const { random, victims } = world;
  const kills = Array.from({ length: KILLS }, () => {
    const victim = random.pick(victims.names);
    const mostAwayMs = victim === "stalled gateway" ? STALL_MS : AWAY_MS;
    return { victim, afterMs: random.next() * KILL_WITHIN_MS, awayMs: random.next() * mostAwayMs };
  });
  const used = use(world, say);
  used.catch(() => {}); // it is awaited below
  for (const { victim, afterMs, awayMs } of kills) {
    await delay(afterMs);
    const hit = await victims.kill(victim, world.open?.name);
    say(hit ? `fault: ${victim}` : `there is no ${victim}`);
    await delay(awayMs);
    await victims.bringBack();
  }
  await used;
  await check(world, say);
  if (!thorough) return;
  if (!world.open) {
    await untilParkedOnly(world.s3.server);
    await collectGarbage(world, { looks: 4 });
  }
  await checkStore(world);
}

/** Opens a workspace, changes it, has it synced, and leaves it open, asleep or stopped. */
async function use(world: World, say: (line: string) => void): Promise<void> {
  const { user, random } = world;
  const workspace = world.open ?? (await openSome(world, say));
  world.open = workspace;
  for (let n = random.between(1, 3); n > 0; n--) {
    await user.tryRun(workspace.name, randomWrites(random));
    say(`${workspace.name} is version ${await syncAcknowledged(user, workspace)}`);
  }
  const end = random.pick(["open", "asleep", "stopped", "stopped"] as const);
  if (end === "asleep") await user.trySleep(workspace.name);
  if (end === "stopped") await stop(world, workspace);
  say(`${workspace.name} is left ${end}`);
}

async function openSome(world: World, say: (line: string) => void): Promise<Workspace> {
  const { user, random, workspaces } = world;
  const known = workspaces.filter(({ latest }) => latest > 0);
  if (known.length > 0 && (known.length >= MAX_WORKSPACES || random.chance(0.5))) {
    const workspace = random.pick(known);
    say(`opens ${workspace.name}`);
    await user.open(workspace.name);
    assert.equal(await user.run(workspace.name, SUMS), workspace.acknowledged.get(workspace.latest));
    return workspace;
  }
  const fork = known.length > 0 && random.chance(0.6) ? await someVersion(world) : undefined;
  const workspace = { name: `w${++world.made}`, acknowledged: new Map<number, string>(), latest: 0 };
  say(`begins ${workspace.name}${fork ? ` as ${fork.version}` : ""}`);
  await user.open(workspace.name, fork?.version);
  if (fork) assert.equal(await user.run(workspace.name, SUMS), fork.sums, `${workspace.name}, made of ${fork.version}`);
  workspaces.push(workspace);
  return workspace;
}

/** What was acknowledged and is listed, of all workspaces. */
async function keptVersions({ workspaces, user }: World) {
  const kept: { readonly version: string; readonly sums: string }[] = [];
  for (const { name, acknowledged, latest } of workspaces) {
    if (latest === 0) continue;
    for (const { version } of await user.versions(name)) {
      const sums = acknowledged.get(version);
      if (sums !== undefined) kept.push({ version: `${name}@${version}`, sums });
    }
  }
  return kept;
}

const someVersion = async (world: World) => world.random.pick(await keptVersions(world));

/** Until a sync says that it is done; what the guest's disk has stays the same meanwhile, whatever is killed. */
async function syncAcknowledged(user: PatientUser, workspace: Workspace): Promise<number> {
  const sums = await user.run(workspace.name, SUMS);
  for (let attempt = 1; attempt <= SYNC_ATTEMPTS; attempt++) {
    const version = await user.trySync(workspace.name);
    if (version !== undefined) {
      await acknowledge(user, workspace, { version, sums });
      return version;
    }
    assert.equal(await user.run(workspace.name, SUMS), sums, "files on the guest's disk, after a sync that failed");
  }
  throw new Error(`${workspace.name} could not be synced`);
}

async function stop(world: World, workspace: Workspace): Promise<void> {
  const { user } = world;
  const sums = await user.run(workspace.name, SUMS);
  await user.stop(workspace.name);
  const version = (await user.versions(workspace.name)).at(-1)?.version;
  assert.ok(version !== undefined && version >= workspace.latest, `the versions of ${workspace.name}`);
  await acknowledge(user, workspace, { version, sums });
  world.open = undefined;
}

/** With it those that were asked for since the one before, and of which nobody told. */
async function acknowledge(
  user: PatientUser,
  workspace: Workspace,
  { version, sums }: { readonly version: number; readonly sums: string },
): Promise<void> {
  const before = workspace.latest;
  for (const untold of await user.versions(workspace.name))
    if (untold.version > before && untold.version < version && untold.reason === "request")
      workspace.acknowledged.set(untold.version, sums);
  workspace.acknowledged.set(version, sums);
  workspace.latest = version;
}

async function check(world: World, say: (line: string) => void): Promise<void> {
  const { user, workspaces } = world;
  for (const { name, acknowledged, latest } of workspaces) {
    if (latest === 0) continue;
    const listed = (await user.versions(name)).map(({ version }) => version);
    const oldest = listed.at(-ALWAYS_KEPT) ?? 0;
    for (const version of acknowledged.keys())
      assert.ok(version < oldest || listed.includes(version), `${name} has versions ${listed}, and ${version} is gone`);
  }
  const { version, sums } = await someVersion(world);
  assert.equal(await user.read(version, SUMS), sums, version);
  say(`${version} is whole`);
}

async function checkStore({ s3 }: World): Promise<void> {
  const { exitCode, text, errors } = await s3.server.magsd("store", "check", "--data");
  assert.equal(exitCode, 0, text + errors);
}

/** Nothing is open: what no head lists is garbage, and goes when it is seen a second time. */
async function collectGarbage({ s3: { store } }: World, { looks }: { readonly looks: number }): Promise<void> {
  const signal = AbortSignal.timeout(120_000);
  for (const account of await listAccounts(store, { signal }))
    for (let look = 0; look < looks; look++)
      await collect(store, { account, graceMs: 0, clock: systemClock, pinned: async () => [], signal });
}

async function endAll(world: World, say: (line: string) => void): Promise<void> {
  const { s3, user } = world;
  if (world.open) await stop(world, world.open);
  await checkStore(world);
  say("all is stored whole");
  const kept = await keptVersions(world);
  const readAll = async () => {
    for (let one = kept.pop(); one; one = kept.pop())
      assert.equal(await user.read(one.version, SUMS), one.sums, one.version);
  };
  await Promise.all([readAll(), readAll()]);
  say("all that was acknowledged is there");
  for (const { name } of world.workspaces) await user.remove(name);
  // First manifests, then packs, then heads.
  await collectGarbage(world, { looks: 6 });
  const left: string[] = [];
  for await (const { key } of s3.store.list("accounts/")) if (!key.endsWith("/condemned")) left.push(key);
  assert.deepEqual(left, [], "what accounts have in the object store, when all workspaces are deleted");
  say("all is collected");
  await untilParkedOnly(s3.server);
  say("nothing is left");
}
