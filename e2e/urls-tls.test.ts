/** URLs over HTTPS as curl and a browser have them: with a certificate of the operator's, and with those of an authority. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort, makeTempDir, type Pebble, startDns, startPebble, waitFor } from "@mags/test-kit";
import { startBrowser } from "./harness/browser.ts";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { createUrlUser, type UrlUser, urlIn } from "./harness/site.ts";

const DOMAIN = "apps.localhost";
const ALIASES = "/api/v1/mags-url-aliases";

interface UrlAliases {
  readonly aliases: readonly { readonly certificate?: { readonly expires_at: string | null } }[];
}

describe("URLs over TLS", { concurrency: 1 }, () => {
  const scope = new AsyncDisposableStack();
  let server: TestServer;
  let user: UrlUser;
  let folder: string;
  let certificate: string;
  let url: string;
  let pebble: Pebble;

  async function must(file: string, ...args: readonly string[]): Promise<string> {
    const { exitCode, text, errors } = await run(file, args);
    assert.equal(exitCode, 0, `${file} ${args.join(" ")}: ${errors}`);
    return text;
  }
  const curl = (...args: readonly string[]) =>
    must("curl", "-sS", "--max-time", "60", "--cacert", certificate, ...args);

  before(async () => {
    folder = scope.use(await makeTempDir()).path;
    certificate = join(folder, "certificate.pem");
    const key = join(folder, "key.pem");
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const names = ["-subj", `/CN=${DOMAIN}`, "-addext", `subjectAltName=DNS:*.${DOMAIN}`];
    await must("openssl", "req", "-x509", ...kind, ...names, "-keyout", key, "-out", certificate);
    const tls = { certificates: [{ certificate_file: certificate, key_file: key }] };
    const port = await freePort(); // both must know it before they start
    const dns = scope.use(await startDns());
    pebble = scope.use(await startPebble({ httpPort: port, dnsPort: dns.port }));
    const acme = { directory_url: pebble.directoryUrl, terms_agreed: true };
    const own_domains = { allowed: ["team.example"], dns: false };
    server = scope.use(
      await startServer({
        config: { urls: { domain: DOMAIN, listen: { port: 0 }, plain: { port }, tls, acme, own_domains } },
        env: { NODE_EXTRA_CA_CERTS: pebble.caFile },
        node: { default_memory_mb: 512, pool: { min_idle: 1, max_idle: 1 } },
      }),
    );
    user = await createUrlUser(server, folder);
    url = await user.open("safe");
  });
  after(() => scope.disposeAsync());

  it("have HTTP/2, and HTTP leads to them", async () => {
    assert.match(url, /^https:\/\/[0-9a-f]{12}\.apps\.localhost:\d+$/);
    assert.equal(await curl("-w", " %{http_version}", `${url}/name`), "safe 2");
    assert.equal(await curl("-w", " %{http_version}", "--http1.1", `${url}/name`), "safe 1.1");
    assert.equal(JSON.parse(await curl(`${url}/headers`))["x-forwarded-proto"], "https");
    const plain = `http://${new URL(url).hostname}:${(await server.serverStatus()).urls.plain_port}`;
    assert.equal(await curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", `${plain}/a?b`), `308 ${url}/a?b`);
  });

  it("open in a browser by a link where they are private, with their assets, events and WebSockets", async () => {
    await user.mags("url", "safe", "--private");
    const link = urlIn(await user.mags("url", "link", "safe"));
    await using chromium = await startBrowser();
    const context = await chromium.browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.goto(link);
    assert.equal(page.url(), `${url}/`);
    const shows = (id: string, text: string) =>
      page.locator(`#${id}`).filter({ hasText: text }).waitFor({ timeout: 20_000 });
    await shows("socket", "socket of safe;from a page;");
    await shows("events", "hello;");
    const protocols = await page.evaluate("performance.getEntriesByType('resource').map((one) => one.nextHopProtocol)");
    assert.deepEqual([...new Set(protocols as string[])], ["h2"]);
    const [cookie] = (await context.cookies()).filter(({ httpOnly }) => httpOnly);
    assert.deepEqual([cookie?.name, cookie?.secure], ["__Host-mags-access", true]);
  });

  it("have certificates of an authority where their domain is an account's own, also when the server comes again", async () => {
    await user.mags("url", "safe", "--public");
    const alias = { subdomain: "shop", domain: "team.example", workspace_id: "safe" };
    const made = await server.api.call("POST", ALIASES, alias);
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await waitFor(
      async () => {
        const { aliases } = (await server.api.call("GET", ALIASES)).body as UrlAliases;
        return aliases[0]?.certificate?.expires_at;
      },
      { what: "the certificate", deadlineMs: 60_000 },
    );
    const issuer = join(folder, "issuer.pem");
    await writeFile(issuer, await pebble.issuer());
    const { port } = new URL(url);
    const name = () =>
      run("curl", [
        ...["-sS", "--max-time", "60", "--cacert", issuer],
        ...["--resolve", `shop.team.example:${port}:127.0.0.1`, `https://shop.team.example:${port}/name`],
      ]);
    const shop = await waitFor(async () => (await name()).text || null, { what: "HTTPS with it" }); // gateways remember for seconds
    assert.equal(shop, "safe");
    await server.kill();
    await server.start();
    const again = await name();
    assert.equal(again.text, "safe", again.errors);
  });
});
