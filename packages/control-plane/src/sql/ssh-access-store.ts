import { type AccountId, isUuid, type JobId, type SandboxId } from "@mags/domain";
import { type RawBuilder, sql } from "kysely";
import type { Presence, SshAccessStore, SshTarget, StoredSshAccess } from "../app/ssh-access-store.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";

/** After that a port is as good as any other. */
const REST_MS = 600_000;

interface AccessRow {
  readonly fingerprint: string;
  readonly sealed_key: Buffer;
}

interface TargetRow {
  readonly sandbox_id: string;
  readonly account_id: string;
  readonly job_id: string;
  readonly name: string;
  readonly workspace_id: string | null;
}

export function createSshAccessStore(database: Database): SshAccessStore {
  async function target(condition: RawBuilder<boolean>): Promise<SshTarget | null> {
    const statement = sql<TargetRow>`select sandboxes.id as sandbox_id, jobs.account_id, jobs.id as job_id, jobs.name,
        sandboxes.workspace_id
      from sandbox_ssh join sandboxes on sandboxes.id = sandbox_id join jobs on jobs.id = owner_job_id
      where ended_at is null and ${LIVE} and ${condition}`;
    const { rows } = await database.run((db) => statement.execute(db));
    return rows[0] ? targetFromRow(rows[0]) : null;
  }

  async function access(statement: RawBuilder<AccessRow>): Promise<StoredSshAccess | null> {
    const { rows } = await database.run((db) => statement.execute(db));
    return rows[0] ? { fingerprint: rows[0].fingerprint, sealedKey: rows[0].sealed_key } : null;
  }

  const get = (sandboxId: SandboxId) =>
    access(sql`select fingerprint, sealed_key from sandbox_ssh where sandbox_id = ${sandboxId}`);

  return {
    async secret(name, make) {
      const read = () =>
        database.run((db) =>
          db.selectFrom("installation_secrets").select("sealed").where("name", "=", name).executeTakeFirst(),
        );
      const found = await read();
      if (found) return found.sealed;
      const { sealed, at } = make();
      await database.run((db) =>
        db
          .insertInto("installation_secrets")
          .values({ name, sealed, created_at: at })
          .onConflict((on) => on.doNothing())
          .execute(),
      );
      return (await read())?.sealed ?? sealed;
    },

    async replaceSecret(name, old, { sealed, at }) {
      await database.run((db) =>
        db
          .updateTable("installation_secrets")
          .set({ sealed, created_at: at })
          .where("name", "=", name)
          .where("sealed", "=", old)
          .execute(),
      );
      return this.secret(name, () => ({ sealed, at }));
    },

    get,

    async put(sandboxId, { fingerprint, sealedKey, at, replaces }) {
      // The sandbox stands still meanwhile: one that has ended gets no key.
      const statement = sql`with sandbox as (
          select id from sandboxes where id = ${sandboxId} and ended_at is null for update
        )
        insert into sandbox_ssh (sandbox_id, fingerprint, sealed_key, created_at)
        select id, ${fingerprint}, ${sealedKey}, ${at} from sandbox
        on conflict (sandbox_id) do update
        set fingerprint = excluded.fingerprint, sealed_key = excluded.sealed_key, created_at = excluded.created_at
        where sandbox_ssh.fingerprint = ${replaces}`;
      await database.run((db) => statement.execute(db));
      return get(sandboxId);
    },

    async choosePort(sandboxId, { from, to }, { without, now }) {
      const restingSince = new Date(now.getTime() - REST_MS);
      // The row of the sandbox is locked before those of ports, as when it ends.
      const statement = sql<{ port: number | null }>`with chosen as (
          update sandbox_ssh set port = (
            select number from generate_series(${from}::integer, ${to}::integer) as number
              left join sandbox_ssh as taken on taken.port = number
              left join retired_ports as resting on resting.port = number and retired_at >= ${restingSince}
            where taken.port is null and number <> all (${without}::integer[])
            order by retired_at nulls first, random() limit 1
          )
          where sandbox_id = ${sandboxId} returning port
        ),
        forgotten as (
          delete from retired_ports where retired_at < ${restingSince} and (select count(*) from chosen) > 0
        )
        select port from chosen`;
      const { rows } = await database.run((db) => statement.execute(db));
      return rows[0]?.port ?? null;
    },

    async ports() {
      const rows = await database.run((db) =>
        db.selectFrom("sandbox_ssh").select(["sandbox_id", "port"]).where("port", "is not", null).execute(),
      );
      return new Map(rows.flatMap(({ sandbox_id, port }) => (port === null ? [] : [[sandbox_id as SandboxId, port]])));
    },

    byFingerprint: (fingerprint) => target(sql`fingerprint = ${fingerprint}`),
    byPort: (port) => target(sql`port = ${port}`),

    async accountsWith(accountIds, key) {
      const jobs = (condition: RawBuilder<unknown>) =>
        isUuid(key)
          ? sql`exists (select from jobs where jobs.id = ${key} and jobs.account_id = account and ${condition})`
          : sql`(exists (select from jobs where jobs.account_id = account and name = ${key} and ${condition})
            or exists (select from jobs where jobs.account_id = account and workspace_id = ${key} and ${condition}))`;
      const statement = sql<{ account: string; presence: Presence }>`
        with found as (
          select account, ${jobs(LIVE)} or exists (select from workspaces
            where workspaces.account_id = account and name = ${key} and deleted_at is null) as is_there
          from unnest(${accountIds}::uuid[]) as account
        )
        select account, case when is_there then 'there' else 'over' end as presence
        from found where is_there or ${jobs(sql`true`)}`;
      const { rows } = await database.run((db) => statement.execute(db));
      return new Map(rows.map(({ account, presence }) => [account as AccountId, presence]));
    },
  };
}

function targetFromRow(row: TargetRow): SshTarget {
  return {
    sandboxId: row.sandbox_id as SandboxId,
    accountId: row.account_id as AccountId,
    jobId: row.job_id as JobId,
    jobName: row.name,
    workspaceId: row.workspace_id,
  };
}
