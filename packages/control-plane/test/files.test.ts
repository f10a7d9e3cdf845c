import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { collectAll, createSimulatedNode, waitFor } from "@mags/test-kit";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";

const V1 = "/api/v1";
// biome-ignore lint/suspicious/noExplicitAny: bodies are checked against the schemas by the server under test.
type Body = any;

let server: TestServer;
let plane: TestPlane;
let jobId: string;
let root: string;

before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database());
  const reply = await plane.admin.call("POST", `${V1}/mags-jobs`, { script: "hang", type: "inline", name: "box" });
  jobId = (reply.body as Body).request_id;
  root = join(plane.filesRoot, jobId);
  await mkdir(join(root, "root"), { recursive: true });
  await waitFor(() => plane.node.observe()[0]?.state === "running", { what: "the job to run" });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

function send(method: string, path: string, init: RequestInit & { duplex?: "half" } = {}) {
  return fetch(plane.url + V1 + path, {
    method,
    ...init,
    headers: { authorization: `Bearer ${plane.adminToken}`, ...init.headers },
  });
}

const files = (rest: string) => `/mags-jobs/box/files${rest}`;

async function refusal(reply: Response): Promise<[number, string]> {
  return [reply.status, ((await reply.json()) as Body).code];
}

describe("reading a file", () => {
  const content = randomBytes(300_000);
  before(() => writeFile(join(root, "root/data"), content, { mode: 0o640 }));

  it("gives all of it, by a relative or an absolute path", async () => {
    for (const path of ["data", "/root/data", "%2Froot%2fdata"]) {
      const reply = await send("GET", files(`?path=${path}`));
      assert.equal(reply.status, 200);
      assert.equal(reply.headers.get("content-length"), "300000");
      assert.equal(reply.headers.get("x-mags-mode"), "640");
      assert.ok(Buffer.from(await reply.arrayBuffer()).equals(content));
    }
  });

  it("gives parts, and the whole when the file is not the one that was meant", async () => {
    const head = await send("HEAD", files("?path=data"));
    assert.equal(head.headers.get("content-length"), "300000");
    const etag = head.headers.get("etag") ?? "";
    const part = async (headers: Record<string, string>) => {
      const reply = await send("GET", files("?path=data"), { headers });
      return { status: reply.status, range: reply.headers.get("content-range"), bytes: await reply.bytes() };
    };
    const middle = await part({ range: "bytes=1000-1999", "if-range": etag });
    assert.deepEqual([middle.status, middle.range], [206, "bytes 1000-1999/300000"]);
    assert.ok(content.subarray(1000, 2000).equals(middle.bytes));
    const rest = await part({ range: "bytes=299990-", "if-range": etag });
    assert.ok(content.subarray(299_990).equals(rest.bytes));
    const last = await part({ range: "bytes=-5" });
    assert.ok(content.subarray(-5).equals(last.bytes));
    assert.deepEqual((await part({ range: "bytes=1-2", "if-range": '"other"' })).status, 200);
    assert.deepEqual((await part({ range: "bytes=1-2,5-6" })).status, 200);
    assert.deepEqual((await part({ range: "bytes=300000-" })).status, 416);
    await utimes(join(root, "root/data"), 1_000, 1_000);
    assert.equal((await part({ range: "bytes=5-", "if-range": etag })).status, 200);
  });

  it("sends no byte past the length it announced, whatever the guest gives", async () => {
    const node = createSimulatedNode({ filesRoot: plane.filesRoot });
    async function* tooMuch() {
      yield Buffer.from("12");
      yield Buffer.from("345HTTP/1.1 200 OK\r\n\r\n");
    }
    const hostile = { ...node, files: { ...node.files, read: async () => tooMuch() } };
    await using own = await startTestPlane(await server.database(), { node: hostile });
    await own.admin.call("POST", `${V1}/mags-jobs`, { script: "hang", type: "inline", name: "box" });
    await waitFor(() => node.observe()[0]?.state === "running", { what: "the job to run" });
    const id = node.observe()[0]?.jobId ?? "";
    await mkdir(join(plane.filesRoot, id, "root"), { recursive: true });
    await writeFile(join(plane.filesRoot, id, "root/data"), "12345");
    const socket = connect(Number(new URL(own.url).port), "127.0.0.1");
    socket.write(
      `GET ${V1}${files("?path=data")} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${own.adminToken}\r\n\r\n`,
    );
    const received = Buffer.concat(await collectAll(socket)).toString();
    assert.match(received, /content-length: 5\r\n/);
    assert.ok("12".startsWith(received.split("\r\n\r\n").slice(1).join()), received);
  });

  it("says what it cannot read", async () => {
    assert.deepEqual(await refusal(await send("GET", files("?path=missing"))), [404, "file_not_found"]);
    assert.deepEqual(await refusal(await send("GET", files("?path=/root"))), [409, "file_conflict"]);
    assert.deepEqual(await refusal(await send("GET", files(""))), [400, "validation_failed"]);
    assert.deepEqual(await refusal(await send("GET", files("?path="))), [400, "validation_failed"]);
    assert.deepEqual(await refusal(await send("GET", files("?path=a%00b"))), [400, "validation_failed"]);
  });

  it("answers for jobs that have no VM in the words that clients look for", async () => {
    const waiting = await startTestPlane(await server.database());
    try {
      waiting.node.hold();
      await waiting.admin.call("POST", `${V1}/mags-jobs`, { script: "hang", type: "inline", name: "box" });
      const ask = () => waiting.admin.call("GET", `${V1}${files("?path=x")}`);
      assert.match(((await ask()).body as Body).error, /no VM associated with this job/);
      await waiting.admin.call("POST", `${V1}/mags-jobs/box/stop`);
      const ended = await ask();
      assert.equal(ended.status, 409);
      assert.match((ended.body as Body).error, /not running/);
    } finally {
      await waiting[Symbol.asyncDispose]();
    }
  });
});

describe("writing a file", () => {
  it("takes any length, with mode and time", async () => {
    const content = randomBytes(9_000_000); // more than a JSON body may have
    const reply = await send("PUT", files("?path=a/b/new&parents=true&mode=751&mtime=1234567890.5"), { body: content });
    assert.deepEqual([reply.status, await reply.json()], [200, { size: 9_000_000 }]);
    assert.ok((await readFile(join(root, "root/a/b/new"))).equals(content));
    const { body } = await plane.admin.call("GET", V1 + files("/stat?path=a/b/new"));
    assert.deepEqual([(body as Body).mode, (body as Body).mtime], ["751", "2009-02-13T23:31:30.500Z"]);
    assert.equal((await send("PUT", files("?path=empty"), { body: "" })).status, 200);
  });

  it("keeps what was there until all has come", async () => {
    await writeFile(join(root, "root/kept"), "before");
    const cut = request(plane.url + V1 + files("?path=kept"), {
      method: "PUT",
      headers: { authorization: `Bearer ${plane.adminToken}`, "content-length": 1_000_000 },
    });
    cut.on("error", () => {});
    cut.write(randomBytes(200_000));
    await waitFor(async () => (await readdir(join(root, "root"))).includes("kept.part"), { what: "the upload" });
    cut.destroy();
    await waitFor(async () => !(await readdir(join(root, "root"))).includes("kept.part"), { what: "its end" });
    assert.equal(await readFile(join(root, "root/kept"), "utf8"), "before");
    const again = await send("PUT", files("?path=kept&exclusive=1"), { body: "after" });
    assert.deepEqual(await refusal(again), [409, "file_conflict"]);
  });

  it("answers while the client still sends, which then learns why", async () => {
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    const reply = await send("PUT", files("?path=no/such/folder/x"), { body: endless, duplex: "half" });
    assert.deepEqual(await refusal(reply), [404, "file_not_found"]);
  });
});

describe("folders", () => {
  it("makes, lists, renames and removes, with names that are not UTF-8", async () => {
    const done = async (method: string, rest: string, status = 200) =>
      assert.equal((await send(method, files(rest))).status, status, rest);
    await done("POST", "/mkdir?path=f/g&parents=true");
    await done("POST", "/mkdir?path=f/g", 409);
    await done("POST", "/mkdir?path=x/y", 404);
    assert.equal((await send("PUT", files("?path=f/%FFodd+name%0A"), { body: "odd" })).status, 200);
    await symlink("/etc", join(root, "root/f/link"));
    const { entries } = (await (await send("GET", files("/list?path=f"))).json()) as Body;
    const byName = new Map(entries.map((entry: Body) => [entry.name, entry])) as Map<string, Body>;
    assert.equal(
      byName.get("\ufffdodd name\n")?.name_base64,
      Buffer.from("\xffodd name\n", "latin1").toString("base64"),
    );
    assert.deepEqual([byName.get("link")?.type, byName.get("link")?.target], ["symlink", "/etc"]);
    assert.equal(byName.get("g")?.type, "directory");
    await done("POST", "/rename?path=f/%FFodd+name%0A&to=f/plain");
    await done("POST", "/rename?path=f/plain&to=f/g", 409);
    assert.equal(await readFile(join(root, "root/f/plain"), "utf8"), "odd");
    await done("DELETE", "?path=f", 409);
    await done("DELETE", "?path=f&recursive=true");
    await done("DELETE", "?path=f", 404);
  });

  it("takes a question mark in a path for a part of it", async () => {
    for (const name of ["asked", "asked?old"]) await writeFile(join(root, "root", name), name);
    assert.equal((await send("DELETE", files("?path=/root/asked?old"))).status, 200);
    assert.deepEqual(
      (await readdir(join(root, "root"))).filter((name) => name.startsWith("asked")),
      ["asked"],
    );
  });

  it("come and go as archives", async () => {
    await mkdir(join(root, "root/tree/below"), { recursive: true });
    await writeFile(join(root, "root/tree/below/file"), "content");
    const archive = await send("GET", files("/archive?path=tree"));
    assert.equal(archive.headers.get("content-type"), "application/x-tar");
    const back = await send("PUT", files("/archive?path=copy/of"), { body: await archive.bytes() });
    assert.equal(back.status, 200);
    assert.equal(await readFile(join(root, "root/copy/of/below/file"), "utf8"), "content");
    assert.equal((await send("GET", files("/archive?path=tree/below/file"))).status, 409);
    assert.equal((await send("GET", files("/archive?path=missing"))).status, 404);
  });
});

describe("uploads", () => {
  const uploads = () => readdir(join(plane.filesRoot, "uploads"));
  const form = (entries: readonly (readonly [string, string, Uint8Array<ArrayBuffer> | string])[]) => {
    const data = new FormData();
    for (const [field, name, content] of entries) data.append(field, new Blob([content]), name);
    return data;
  };
  const submit = (file_ids: unknown) =>
    plane.admin.call("POST", `${V1}/mags-jobs`, { script: "exit 0", type: "inline", file_ids });

  it("are kept, and given to the node with the job", async () => {
    const body = form([
      ["file", "a.txt", "first"],
      ["files", "../../etc/b.txt", "second"],
    ]);
    const reply = await send("POST", "/mags-files", { body });
    const { file_id, file_ids, files: described } = (await reply.json()) as Body;
    assert.equal(reply.status, 200);
    assert.equal(file_id, file_ids[0]);
    assert.deepEqual(
      described.map(({ file_name, size }: Body) => [file_name, size]),
      [
        ["a.txt", 5],
        ["b.txt", 6],
      ],
    );
    assert.deepEqual((await uploads()).sort(), [...file_ids].sort());
    assert.equal((await submit(file_ids)).status, 202);
    const { name, content } = await plane.uploads.open(file_ids[1], { signal: AbortSignal.timeout(5_000) });
    assert.equal(name, "b.txt");
    assert.equal(Buffer.concat(await collectAll(content)).toString(), "second");
    assert.deepEqual(await plane.uploads.unknown([...file_ids, "x"]), ["x"]);
  });

  it("are refused without leaving anything", async () => {
    const before = (await uploads()).length;
    const cases: readonly (readonly [RequestInit, number])[] = [
      [{ body: "{}", headers: { "content-type": "application/json" } }, 400],
      [{ body: form([]) }, 400],
      [{ body: form([["other", "a", "x"]]) }, 400],
      [
        {
          body: form([
            ["file", "good", "x"],
            ["file", "..", "x"],
          ]),
        },
        400,
      ],
      [
        {
          body: form([
            ["file", "good", "x"],
            ["file", "large", new Uint8Array(100 * 1024 * 1024 + 1)],
          ]),
        },
        413,
      ],
    ];
    for (const [init, status] of cases) {
      const reply = await send("POST", "/mags-files", init);
      assert.equal(reply.status, status, await reply.text());
    }
    assert.equal((await uploads()).length, before);
  });

  it("have the names that clients give them in full", async () => {
    const head = `--b\r\nContent-Disposition: form-data; name="file"; filename*=UTF-8''q%22q%2522%20%C3%BC\r\n\r\n`;
    const headers = { "content-type": "multipart/form-data; boundary=b" };
    const reply = await send("POST", "/mags-files", { body: `${head}x\r\n--b--\r\n`, headers });
    assert.equal(((await reply.json()) as Body).files[0].file_name, 'q"q%22 ü');
  });

  it("leave nothing when they are cut off", async () => {
    const before = (await uploads()).length;
    const cut = request(`${plane.url}${V1}/mags-files`, {
      method: "POST",
      headers: { authorization: `Bearer ${plane.adminToken}`, "content-type": "multipart/form-data; boundary=b" },
    });
    cut.on("error", () => {});
    cut.write('--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n');
    cut.write(randomBytes(1_000_000));
    await waitFor(() => plane.uploads.underWay.length === 1, { what: "the upload" });
    cut.destroy();
    await waitFor(() => plane.uploads.underWay.length === 0, { what: "its end" });
    assert.equal((await uploads()).length, before);
  });

  it("of another account, or unknown, are refused at the submission", async () => {
    for (const ids of [["x"], ["7a9c1dfd-26d1-4b11-8a7c-000000000000"]]) {
      const reply = await submit(ids);
      assert.deepEqual([reply.status, (reply.body as Body).code], [400, "validation_failed"]);
    }
    for (const none of [[], null]) assert.equal((await submit(none)).status, 202);
  });
});
