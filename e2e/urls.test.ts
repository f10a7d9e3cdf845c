/** Web servers in sandboxes, as curl, programs and a browser reach them from outside. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { startBrowser } from "./harness/browser.ts";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { createUrlUser, SITE_COMMAND, type UrlUser, urlIn } from "./harness/site.ts";
import { ask, nextMessage, openSocket, see, visit } from "./harness/visits.ts";

const PAGE = new URL("../docs/urls.md", import.meta.url);
const UPLOAD_BYTES = 20_000_000;
const STORM = 500;
/** What is passed on to a sandbox at a time. */
const MOST_AT_ONCE = 160;
const FOR_PEOPLE = { accept: "text/html,*/*" };
const CURL = ["-sS", "--max-time", "60"];

describe("URLs", { concurrency: 1 }, () => {
  const scope = new AsyncDisposableStack();
  let server: TestServer;
  let folder: string;
  let user: UrlUser;
  /** Of sandbox `shop`. */
  let url: string;
  before(async () => {
    server = scope.use(
      await startServer({
        config: { urls: { limits: { wake_seconds: 20 } } },
        node: { default_memory_mb: 512, pool: { min_idle: 2, max_idle: 2 } },
      }),
    );
    folder = scope.use(await makeTempDir()).path;
    user = await createUrlUser(server, folder);
    await user.mags("new", "empty");
    url = await user.open("shop");
  });
  after(() => scope.disposeAsync());

  /** @returns what curl prints */
  async function curl(...args: readonly string[]): Promise<string> {
    const { exitCode, text, errors } = await run("curl", [...CURL, ...args]);
    assert.equal(exitCode, 0, `curl ${args.join(" ")}: ${errors}`);
    return text;
  }
  async function wakes(name: string): Promise<number> {
    const { body } = await server.api.call("GET", `/api/v1/mags-jobs/${name}/events`);
    return (body as { events: { name: string }[] }).events.filter((event) => event.name === "woke").length;
  }
  const untilSeen = (status: number, where = url) =>
    waitFor(async () => (await see(where)).status === status, { what: `${where} to answer ${status}` });

  it("are, with all that comes with them, as docs/urls.md says: its commands work, in their order", async () => {
    const page = await readFile(PAGE, "utf8");
    const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
    assert.ok(blocks.length >= 3, page);
    const text = await user.shell(blocks.join("\n"));
    for (const line of [/^hello$/m, /^URL: .*\?mags-access=/m, /^URL: http:\/\/shop\.localhost:/m])
      assert.match(text, line);
    await user.mags("stop", "site");
  });

  it("show what listens in a sandbox, by name and port, as it answers", async () => {
    assert.match(url, /^http:\/\/[0-9a-f]{12}\.localhost:\d+$/);
    assert.match(await curl("-i", url), /^HTTP\/1\.1 200 OK\r\n.*<title>shop<\/title>/s);
    const headers = JSON.parse(await curl("-H", "X-Forwarded-For: 9.9.9.9", `${url}/headers`));
    const { host } = new URL(url);
    assert.equal(headers.host, host);
    assert.deepEqual(
      [headers["x-forwarded-for"], headers["x-forwarded-host"], headers["x-forwarded-proto"]],
      ["127.0.0.1", host, "http"],
    );
    assert.deepEqual(await see(`${url}/name`), { status: 200, text: "shop" });
  });

  it(`take and give ${UPLOAD_BYTES / 1e6} MB, also where nobody says how much it is`, async () => {
    const bytes = randomBytes(UPLOAD_BYTES);
    const digest = createHash("sha256").update(bytes).digest("hex");
    const file = join(folder, "upload");
    await writeFile(file, bytes);
    assert.equal(await curl("--data-binary", `@${file}`, `${url}/digest`), digest);
    const chunked = ["-H", "Transfer-Encoding: chunked", "-T", file];
    const { stdout } = await run("curl", [...CURL, ...chunked, `${url}/echo`]);
    assert.equal(createHash("sha256").update(stdout).digest("hex"), digest);
  });

  it("pass each event on when it comes", async () => {
    const answer = await visit(`${url}/events`);
    assert.equal(answer.headers["content-type"], "text/event-stream");
    const pieces = answer.setEncoding("utf8")[Symbol.asyncIterator]();
    assert.equal((await pieces.next()).value, "data: hello\n\n");
    // The next one is not made before this one is here.
    for (const said of ["one", "two"]) {
      await see(`${url}/tell`, { method: "POST", body: said });
      assert.equal((await pieces.next()).value, `data: ${said}\n\n`);
    }
    answer.destroy();
    const heard = async () => (await see(`${url}/tell`, { method: "POST", body: "anybody?" })).text;
    await waitFor(async () => (await heard()) === "0", { what: "the server to see that its listener has left" });
  });

  it("carry WebSockets both ways", async () => {
    const socket = await openSocket(url);
    assert.equal(`${await nextMessage(socket)}`, "socket of shop");
    for (const bytes of [1, 100_000, 1_000_000]) {
      const sent = randomBytes(bytes);
      socket.send(sent);
      assert.ok((await nextMessage(socket)).equals(sent), `${bytes} bytes`);
    }
    socket.close(4321, "enough");
    assert.deepEqual((await once(socket, "close"))[0], 4321);
  });

  it("wake a sandbox that sleeps, once for all who ask, WebSockets among them", async () => {
    await user.mags("sleep", "shop");
    const before = await wakes("shop");
    const all = await Promise.all([
      openSocket(url),
      ...Array.from({ length: STORM }, async () => (await see(`${url}/name`)).text),
    ]);
    const [socket, ...texts] = all;
    assert.deepEqual(texts, Array(STORM).fill("shop"));
    socket.terminate();
    assert.equal(await wakes("shop"), before + 1);
  });

  it("leave the owner room for commands, however many strangers hold on to it", async () => {
    const strangers = await Promise.all(Array.from({ length: MOST_AT_ONCE }, () => visit(`${url}/events`)));
    const late = see(`${url}/name`);
    assert.equal(await user.mags("exec", "shop", "echo here"), "here\n");
    for (const stranger of strangers) stranger.destroy();
    assert.deepEqual(await late, { status: 200, text: "shop" });
  });

  it("wait for startup_command where a sandbox wakes without its memory", async () => {
    await user.mags("set", "shop", "--startup-command", `${SITE_COMMAND} again`);
    const { vm_id = "" } = await server.status("shop");
    process.kill(await server.qemuPid(vm_id), "SIGKILL");
    await waitFor(async () => (await server.status("shop")).status === "sleeping", {
      what: "the loss",
      deadlineMs: 20_000,
    });
    assert.deepEqual(await see(`${url}/name`), { status: 200, text: "again" });
  });

  describe("that are private", { concurrency: 1 }, () => {
    let link: string;
    let token: string;
    const withToken = () => ({ headers: { "mags-access": token } });

    it("open to nobody without a link", async () => {
      assert.equal(urlIn(await user.mags("url", "shop", "--private")), url);
      await untilSeen(401);
      assert.match((await see(url)).text, /^\{"error":".+","code":"unauthenticated"\}\n$/);
      assert.match((await see(url, { headers: FOR_PEOPLE })).text, /<h1>This page is private<\/h1>/);
      await assert.rejects(openSocket(url), /Unexpected server response: 401/);
    });

    it("open in a browser by a link, with their assets, events and WebSockets", async () => {
      link = urlIn(await user.mags("url", "link", "shop", "--expires", "1h"));
      token = new URL(link).searchParams.get("mags-access") ?? "";
      const first = await visit(link);
      first.resume();
      assert.equal(first.statusCode, 303);
      assert.match(`${first.headers["set-cookie"]}`, /HttpOnly/);
      await using chromium = await startBrowser();
      const page = await chromium.browser.newPage();
      const failed: string[] = [];
      page.on("requestfailed", (request) => failed.push(request.url()));
      page.on("response", (response) => response.status() >= 400 && failed.push(response.url()));
      await page.goto(link);
      assert.equal(page.url(), `${url}/`);
      assert.equal(await page.title(), "again");
      const shows = (id: string, text: string) =>
        page.locator(`#${id}`).filter({ hasText: text }).waitFor({ timeout: 20_000 });
      await shows("socket", "socket of again;from a page;");
      await shows("events", "hello;");
      await see(`${url}/tell`, { method: "POST", body: "to all", ...withToken() });
      await shows("events", "hello;to all;");
      assert.equal(await page.evaluate("getComputedStyle(document.querySelector('h1')).color"), "rgb(1, 2, 3)");
      assert.equal(await page.evaluate("document.images[0].naturalWidth"), 7);
      assert.deepEqual(failed, []);
      const cookies = (await page.context().cookies()).map(({ name, domain, httpOnly }) => [name, domain, httpOnly]);
      const { hostname } = new URL(url);
      assert.deepEqual(cookies.toSorted(), [
        ["mags-access", hostname, true],
        ["visited", hostname, false],
      ]);
      // Nobody else has them, nor what they open.
      const { body } = await server.api.call("POST", "/api/v1/mags-jobs/empty/access", { port: 8080, private: true });
      const other = (body as { url: string }).url;
      assert.equal((await page.goto(`${other}/?mags-access=${token}`))?.status(), 401);
      assert.match(await page.content(), /This page is private/);
    });

    it("open to programs by a header, which their server does not see", async () => {
      const { status, text } = await see(`${url}/headers`, withToken());
      assert.equal(status, 200);
      assert.doesNotMatch(text, /mags-access/);
      (await openSocket(url, withToken().headers)).terminate();
    });

    it("close again when the link is revoked", async () => {
      const id = /([0-9a-f]{8}-[0-9a-f-]{27})/.exec(await user.mags("url", "links", "shop"))?.[1] ?? "";
      await user.mags("url", "revoke", "shop", id);
      await waitFor(async () => (await see(url, withToken())).status === 401, { what: "the link to open nothing" });
      await user.mags("url", "shop", "--public");
      await untilSeen(200);
    });
  });

  describe("by an alias", { concurrency: 1 }, () => {
    let alias: string;

    it("lead to the sandbox of a workspace, and elsewhere at once, without a request that fails", async () => {
      await user.open("annex");
      alias = urlIn(await user.mags("url", "alias", "store", "shop"));
      assert.match(alias, /^http:\/\/store\.localhost:\d+$/);
      const moving = new AbortController();
      const seen = new Set<string>();
      async function keepAsking(): Promise<void> {
        while (!moving.signal.aborted) {
          const { status, text } = await see(`${alias}/name`);
          seen.add(`${status} ${text}`);
        }
      }
      const users = Array.from({ length: 4 }, keepAsking);
      await waitFor(() => seen.has("200 again"), { what: "the first answers" });
      await user.mags("url", "alias", "move", "store", "annex");
      await waitFor(() => seen.has("200 annex"), { what: "answers of the other" });
      moving.abort();
      await Promise.all(users);
      assert.deepEqual(seen, new Set(["200 again", "200 annex"]));
      assert.equal((await see(`${alias}/name`)).text, "annex");
    });

    it("say that nothing runs, and lead to the next VM of the workspace", async () => {
      await user.mags("stop", "annex");
      await untilSeen(409, alias);
      assert.match((await see(alias)).text, /"code":"job_not_running"/);
      await user.open("annex");
      assert.deepEqual(await see(`${alias}/name`), { status: 200, text: "annex" });
      assert.match(await user.mags("url", "alias", "list"), /^store +annex +http/m);
      await user.mags("url", "alias", "remove", "store");
      await untilSeen(404, alias);
    });
  });

  it("say why there is no answer: nobody has the name, nothing listens", async () => {
    const { port } = new URL(url);
    for (const name of ["nobody.localhost", "0123456789ab.localhost", "localhost", "example.org"])
      assert.match((await see(`http://${name}:${port}`)).text, /"code":"url_not_found"/, name);
    const nothing = urlIn(await user.mags("url", "empty", "4000", "--public"));
    await untilSeen(502, nothing);
    assert.match((await see(nothing)).text, /nothing listens on port 4000 .*"code":"connection_refused"/);
  });

  it("lead to a server that was killed again as soon as it is back, and wrongly never", async () => {
    const seen = new Set<string>();
    const done = new AbortController();
    async function keepAsking(): Promise<void> {
      while (!done.signal.aborted) {
        const { status, text } = await see(`${url}/name`).catch(() => ({ status: 0, text: "" }));
        seen.add(status === 200 ? text : `${status}`);
      }
    }
    const users = Array.from({ length: 4 }, keepAsking);
    await server.kill();
    await waitFor(() => seen.has("0"), { what: "a request that fails" });
    await server.start();
    assert.deepEqual(await see(`${url}/name`), { status: 200, text: "again" });
    done.abort();
    await Promise.all(users);
    for (const answer of seen) assert.match(answer, /^(again|0|50[23])$/);
  });

  it("break off what is under way when the sandbox goes to sleep, or is stopped, and lead nowhere then", async () => {
    for (const end of ["sleep", "stop"]) {
      const [answer] = (await once(ask(`${url}/endless`).end(), "response")) as [IncomingMessage];
      let bytes = 0;
      answer.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      const broken = assert.rejects(once(answer, "end"), { code: "ECONNRESET" }, end);
      await waitFor(() => bytes > 1_000_000, { what: "a part of it" });
      await user.mags(end, "shop");
      await broken;
    }
    await untilSeen(404);
  });

  it("are logged", async () => {
    const nothing = urlIn(await user.mags("url", "empty", "4000"));
    await see(`${nothing}/path?secret`);
    const logged = async () =>
      (await user.mags("url", "log", "empty")).includes(`502  GET ${new URL(nothing).hostname}/path `);
    await waitFor(logged, { what: "the entry" });
  });
});
