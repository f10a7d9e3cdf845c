import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { link, mkdir, readdir, readFile, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";

let server: TestServer;
let dir: TempDir;
before(async () => {
  server = await startServer();
  dir = await makeTempDir();
});
after(async () => {
  await dir[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const at = (name: string) => join(dir.path, name);

async function box(name: string): Promise<string> {
  const id = await server.submit({ name, script: "exec sleep 3600" });
  await server.running(id);
  return id;
}

async function mags(...args: string[]): Promise<string> {
  const { exitCode, text, errors } = await server.mags(args, { timeoutMs: 300_000 });
  assert.equal(exitCode, 0, `mags ${args.join(" ")}: ${errors}`);
  return text;
}

function files(method: string, name: string, rest: string, body?: string | Uint8Array<ArrayBuffer>) {
  return fetch(`${server.url}/api/v1/mags-jobs/${name}/files${rest}`, {
    method,
    headers: { authorization: `Bearer ${server.token}` },
    ...(body !== undefined && { body }),
  });
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest("hex");
}

/** Names, kinds, modes, link targets, times and contents of a tree. */
const SUMMARY = [
  "find . -mindepth 1 -printf '%P %y %m %l\\n' | LC_ALL=C sort",
  "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum",
  "find . -type f -links +1 | wc -l",
  "find . -mindepth 1 ! -type l -printf '%P %Ts\\n' | LC_ALL=C sort",
].join("; ");
const summaryHere = (path: string) =>
  execFileSync("sh", ["-c", `cd "$0" && (${SUMMARY}) | sha256sum`, path], { encoding: "utf8" });
const summaryThere = (name: string, path: string) => mags("exec", name, `cd '${path}' && (${SUMMARY}) | sha256sum`);

async function makeOddTree(root: string): Promise<void> {
  const odd = ["-rf", "two  spaces", "new\nline", "\xff\xfe\x80 bytes", "n".repeat(250), "'quotes\"", "$HOME"];
  const deep = join(root, "d".repeat(200), "e".repeat(200));
  await mkdir(join(root, "empty"), { recursive: true });
  await mkdir(deep, { recursive: true });
  for (const name of odd) await writeFile(Buffer.from(`${root}/${name}`, "latin1"), randomBytes(10_000));
  await writeFile(join(deep, "deep"), "deep");
  await writeFile(join(root, "program"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  await writeFile(join(root, "private"), "p", { mode: 0o600 });
  await link(join(root, "program"), join(root, "empty", "hard"));
  await symlink("program", join(root, "soft"));
  await symlink("/no/such/place", join(root, "dangling"));
  await symlink("empty", join(root, "folder-link"));
  await utimes(join(root, "private"), 1_234_567_890, 1_234_567_890);
}

describe("uploads", () => {
  it("lie in /uploads and, as files of their own, in /root when the script starts, in /uploads", async () => {
    await writeFile(at("a b.txt"), "first");
    await writeFile(at("large"), randomBytes(20_000_000));
    const script = [
      'pwd; cat "a b.txt"; echo; sha256sum < /root/large',
      "echo more >> large; cmp -s large /root/large || echo apart",
    ].join("\n");
    const text = await mags("run", "-f", at("a b.txt"), "--file", at("large"), script);
    assert.equal(text, `/uploads\nfirst\n${await digestOf(at("large"))}  -\napart\n`);
  });

  it("larger than 100 MB are refused, and their bytes go", async () => {
    await writeFile(at("huge"), "");
    await truncate(at("huge"), 100 * 1024 * 1024 + 1);
    const { exitCode, errors } = await server.mags(["run", "-f", at("huge"), "echo"]);
    assert.equal(exitCode, 1);
    assert.match(errors, /at most 100 MiB/);
    assert.deepEqual(
      (await readdir(join(server.dataDir, "uploads"))).filter((name) => name.endsWith(".part")),
      [],
    );
  });

  it("that the server's end cuts off leave nothing", async () => {
    const folder = join(server.dataDir, "uploads");
    const earlier = await readdir(folder);
    const cut = request(`${server.url}/api/v1/mags-files`, {
      method: "POST",
      headers: { authorization: `Bearer ${server.token}`, "content-type": "multipart/form-data; boundary=b" },
    });
    cut.on("error", () => {});
    cut.write('--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n');
    cut.write(randomBytes(3_000_000));
    const parts = async () => (await readdir(folder)).filter((name) => name.endsWith(".part"));
    await waitFor(async () => (await parts()).length === 1, { what: "the upload to begin" });
    await server.kill();
    assert.equal((await parts()).length, 1);
    await server.start();
    assert.deepEqual(await parts(), []);
    assert.ok((await readdir(folder)).every((name) => earlier.includes(name)));
    const { exitCode, text } = await server.magsd("doctor", "--leaks");
    assert.equal(exitCode, 0, text);
  });
});

describe("mags cp", () => {
  before(() => box("tree"));

  it("brings a tree there and back with links, odd names, modes and times", async () => {
    await makeOddTree(at("odd"));
    await mags("cp", at("odd"), "tree:copies/odd");
    assert.equal(await summaryThere("tree", "/root/copies/odd"), summaryHere(at("odd")));
    await mags("cp", "tree:/root/copies/odd", at("back"));
    assert.equal(summaryHere(at("back")), summaryHere(at("odd")));
    await mags("cp", at("odd"), "tree:copies"); // into a folder that is there
    assert.equal(await summaryThere("tree", "/root/copies/odd"), summaryHere(at("odd")));
    await mags("cp", `${at("odd")}/.`, "tree:copies/flat");
    assert.equal(await summaryThere("tree", "/root/copies/flat"), summaryHere(at("odd")));
  });

  it("copies single files, into folders and under other names", async () => {
    await writeFile(at("one"), "content", { mode: 0o640 });
    await mags("cp", at("one"), "tree:");
    await mags("cp", at("one"), "tree:/tmp/-other name");
    assert.equal(await mags("exec", "tree", "cat '/tmp/-other name'; stat -c %a /root/one"), "content640\n");
    await mags("cp", "tree:/tmp/-other name", at("returned"));
    assert.equal(await readFile(at("returned"), "utf8"), "content");
    assert.equal((await stat(at("returned"))).mode & 0o777, 0o640);
    const { errors, exitCode } = await server.mags(["cp", "tree:/no/such", at("x")]);
    assert.deepEqual([exitCode, errors], [1, "error: there is no /no/such in the VM\n"]);
  });

  it("leaves out devices and pipes with a warning and exit code 1", async () => {
    await mags("exec", "tree", "mkdir special && cd special && mkfifo pipe && mknod null c 1 3 && echo file > file");
    const { exitCode, errors } = await server.mags(["cp", "tree:special", at("special")]);
    assert.equal(exitCode, 1);
    assert.match(errors, /left out "pipe"/);
    assert.match(errors, /left out "null"/);
    assert.deepEqual(await readdir(at("special")), ["file"]);
  });

  it("writes nothing outside of its target, whatever a VM's tar says", async () => {
    const hostile = [
      "#!/usr/bin/python3",
      "import io, sys, tarfile",
      'archive = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")',
      'for name, kind, link in (("l", tarfile.SYMTYPE, ".."), ("l/escaped", tarfile.REGTYPE, "")):',
      "    entry = tarfile.TarInfo(name); entry.type = kind; entry.linkname = link",
      '    archive.addfile(entry, io.BytesIO(b""))',
      "archive.close()",
    ].join("\n");
    await writeFile(at("tar"), hostile, { mode: 0o755 });
    await mags("cp", at("tar"), "tree:/usr/local/bin/tar");
    const { exitCode, errors } = await server.mags(["cp", "tree:/root", at("attacked")]);
    await mags("exec", "tree", "rm /usr/local/bin/tar");
    assert.equal(exitCode, 1);
    assert.match(errors, /in its way/);
    assert.ok(!existsSync(at("escaped")));
    assert.deepEqual(await readdir(at("attacked")), ["l"]);
  });

  it("goes on with a download after the server was killed and came back", async () => {
    await mags("exec", "--timeout", "120", "tree", "head -c 150000000 /dev/urandom > big");
    const sum = (await mags("exec", "--timeout", "120", "tree", "sha256sum < big")).slice(0, 64);
    const copying = server.startMags(["cp", "tree:big", at("big")], { timeoutMs: 300_000 });
    const part = async () => (await readdir(dir.path)).find((name) => name.startsWith(".mags-")) ?? "none";
    await waitFor(async () => ((await stat(at(await part())).catch(() => null))?.size ?? 0) > 10_000_000, {
      what: "a part of the file",
      deadlineMs: 30_000,
      intervalMs: 10,
    });
    await server.kill();
    assert.ok(!existsSync(at("big")));
    await server.start();
    const { exitCode, errors } = await copying.result;
    assert.equal(exitCode, 0, errors);
    assert.equal(await digestOf(at("big")), sum);
  });
});

describe("files over the API", () => {
  before(() => box("api"));
  const json = async (reply: Response) => (await reply.json()) as Record<string, unknown>;

  it("are described, listed, renamed and removed", async () => {
    assert.equal((await files("POST", "api", "/mkdir?path=d/e&parents=1")).status, 200);
    assert.equal((await files("PUT", "api", "?path=d/%FFodd", "odd")).status, 200);
    const entries = (await json(await files("GET", "api", "/list?path=d"))).entries as Record<string, unknown>[];
    const byType = new Map(entries.map((entry) => [entry.type, entry]));
    assert.deepEqual([...byType.keys()].toSorted(), ["directory", "file"]);
    assert.equal(byType.get("file")?.size, 3);
    assert.equal(byType.get("file")?.name_base64, Buffer.from("\xffodd", "latin1").toString("base64"));
    assert.equal((await files("POST", "api", "/rename?path=d/%FFodd&to=d/plain")).status, 200);
    assert.equal((await files("POST", "api", "/rename?path=d/plain&to=d/e")).status, 409);
    assert.equal((await files("DELETE", "api", "?path=d")).status, 409);
    await mags("exec", "api", "ln -s /etc d/link; mkdir -p d/x/y/z; touch d/x/y/z/f");
    assert.equal((await files("DELETE", "api", "?path=d&recursive=1")).status, 200);
    assert.equal(await mags("exec", "api", "ls /root; test -e /etc/passwd && echo still"), "still\n");
    for (const path of ["/", "/proc", "/dev/", "/root/.."]) {
      const reply = await files("DELETE", "api", `?path=${path}&recursive=1`);
      assert.deepEqual([reply.status, (await json(reply)).code], [409, "file_conflict"], path);
    }
  });

  it("hold their old content when the guest's disk is full", async () => {
    assert.equal((await files("PUT", "api", "?path=kept", "before")).status, 200);
    await mags("exec", "api", "fallocate -l $(( $(df --output=avail -B1 / | tail -1) - 8000000 )) /fill");
    const reply = await files("PUT", "api", "?path=kept", new Uint8Array(60_000_000));
    const { error } = await json(reply);
    assert.equal(reply.status, 507, String(error));
    assert.match(String(error), /disk is full/);
    assert.equal(await mags("exec", "api", "cat kept; ls -A | grep -c mags-write || true"), "before0\n");
    await mkdir(at("filling"));
    await writeFile(at("filling/large"), new Uint8Array(60_000_000));
    const { exitCode, errors } = await server.mags(["cp", at("filling"), "api:filling"]);
    assert.equal(exitCode, 1);
    assert.match(errors, /disk is full/);
    await mags("exec", "api", "rm -rf /fill filling");
  });

  it("leave no part in the guest when the server is killed inside a write", async () => {
    const cut = request(`${server.url}/api/v1/mags-jobs/api/files?path=cut`, {
      method: "PUT",
      headers: { authorization: `Bearer ${server.token}`, "content-length": 50_000_000 },
    });
    cut.on("error", () => {});
    cut.write(randomBytes(5_000_000));
    const parts = "ls -A /root | grep -c mags-write || true";
    await waitFor(async () => (await mags("exec", "api", parts)) === "1\n", { what: "the write", deadlineMs: 30_000 });
    await server.kill();
    await server.start();
    assert.equal(await mags("exec", "api", `${parts}; test -e cut || echo nothing`), "0\nnothing\n");
  });

  it("pass through without filling the server's memory", async () => {
    await writeFile(at("flat"), randomBytes(1_000_000));
    await truncate(at("flat"), 300_000_000);
    const { pid } = await server.serverStatus();
    const rssMiB = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
    const before = rssMiB();
    let most = before;
    const timer = setInterval(() => {
      most = Math.max(most, rssMiB());
    }, 50);
    const speed = async (...args: string[]) => {
      const startedAt = performance.now();
      await mags(...args);
      return Math.round(300_000 / (performance.now() - startedAt));
    };
    try {
      const up = await speed("cp", at("flat"), "api:flat");
      const down = await speed("cp", "api:flat", at("flat-back"));
      assert.equal(await digestOf(at("flat-back")), await digestOf(at("flat")));
      const memory = `memory ${Math.round(before)} to ${Math.round(most)} MiB`;
      process.stdout.write(`  up ${up} MB/s, down ${down} MB/s, ${memory}\n`);
    } finally {
      clearInterval(timer);
    }
    assert.ok(most - before < 200, `the server grew from ${before} to ${most} MiB`);
  });
});
