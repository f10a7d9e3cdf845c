import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseConfig, queueLimitsOf, sandboxDefaultsOf } from "./config.ts";

describe("parseConfig", () => {
  it("has a default for everything", () => {
    const config = parseConfig("{}", "magsd.json");
    assert.equal(config.data_dir, "/var/lib/mags");
    assert.equal(config.node.pool.min_idle, 3);
    assert.ok(Object.isFrozen(config));
  });

  it("takes the example of the readme", () => {
    const readme = readFileSync(join(import.meta.dirname, "../../../README.md"), "utf8");
    const example = /```json\n([\s\S]*?)```/.exec(readme)?.[1];
    const config = parseConfig(example ?? "", "README.md");
    assert.deepEqual(config.node.network.exceptions, ["10.20.0.0/16"]);
    assert.match(config.node.guest.environment.PIP_INDEX_URL ?? "", /^https/);
  });

  it("takes the examples of the page about SSH", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../docs/ssh.md"), "utf8");
    const examples = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text]) => parseConfig(text ?? "", "ssh.md"));
    assert.deepEqual(
      examples
        .filter(({ edges, upstream }) => edges ?? upstream)
        .map(({ role, edges, upstream }) => [role, edges?.listen, upstream?.host]),
      [
        ["all", { host: "10.0.0.1", port: 7778 }, undefined],
        ["edge", undefined, "10.0.0.1"],
      ],
    );
  });

  it("takes the example of the page about URLs", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../docs/urls.md"), "utf8");
    const { urls } = parseConfig(/```json\n([\s\S]*?)```/.exec(page)?.[1] ?? "", "urls.md");
    assert.deepEqual(
      [urls.domain, urls.listen.port, urls.plain?.port, urls.tls?.certificates.length],
      ["apps.example.org", 443, 80, 1],
    );
  });

  it("lets accounts take what there is, and bounds what may wait", () => {
    assert.deepEqual(queueLimitsOf(parseConfig("{}", "magsd.json")), {
      ...{ account: { vms: 0, vcpus: 0, memoryMiB: 0, diskGiB: 0 } },
      ...{ queuedPerAccount: 1_000, queued: 10_000, queueMs: 600_000 },
    });
    const text = `{"limits": {"account": {"vms": 1, "vcpus": 2, "memory_mb": 3, "disk_gb": 4, "queued_jobs": 5},
      "queued_jobs": 6, "queue_seconds": 7}}`;
    assert.deepEqual(queueLimitsOf(parseConfig(text, "magsd.json")), {
      ...{ account: { vms: 1, vcpus: 2, memoryMiB: 3, diskGiB: 4 } },
      ...{ queuedPerAccount: 5, queued: 6, queueMs: 7_000 },
    });
  });

  it("lets VMs that stay sleep after ten minutes, and keeps workspaces warm for five", () => {
    assert.deepEqual(sandboxDefaultsOf(parseConfig("{}", "magsd.json")), { idleMinutes: 10, warmMs: 300_000 });
    const text = '{"sandboxes": {"idle_minutes": 1}, "workspaces": {"warm_seconds": 2}}';
    assert.deepEqual(sandboxDefaultsOf(parseConfig(text, "magsd.json")), { idleMinutes: 1, warmMs: 2_000 });
  });

  it("names the file, the key and what is wrong", () => {
    const cases: readonly [string, RegExp][] = [
      ["{", /magsd\.json is not JSON/],
      ['{"prot": 1}', /prot/],
      ['{"node": {"pool": {"min": 1}}}', /node\.pool.*min/],
      ['{"data_dir": "/"}', /data_dir: must be a directory of its own/],
      ['{"data_dir": "/srv"}', /data_dir: .*two levels/],
      ['{"data_dir": "/var/tmp/../x"}', /data_dir: /],
      ['{"node": {"network": {"uplink_range": "10.1.2.0/32"}}}', /uplink_range: must be from \/8 to \/30/],
      ['{"node": {"network": {"uplink_range": "127.1.0.0/16"}}}', /uplink_range: .*loopback/],
      ['{"node": {"network": {"exceptions": ["0.0.0.0/0"]}}}', /exceptions\.0: .*wider/],
      ['{"data_dir": "relative"}', /data_dir: must be an absolute path/],
      ['{"node": {"network": {"exceptions": ["10.1.0.0/8"]}}}', /node\.network\.exceptions\.0: .*host bits/],
      ['{"node": {"uid_base": 1909999000}}', /node\.uid_base: must leave out 1910000000/],
      ['{"limits": {"account": {"vms": -1}}}', /limits\.account\.vms: .*>=0/],
      ['{"limits": {"queue_seconds": 0}}', /limits\.queue_seconds: .*>=1/],
      ['{"sandboxes": {"idle_minutes": 0}}', /sandboxes\.idle_minutes: .*>=1/],
      ['{"workspaces": {"warm_seconds": 0.5}}', /workspaces\.warm_seconds: /],
      ['{"role": "edge"}', /upstream: must say where the server is/],
      ['{"upstream": {"host": "mags"}}', /upstream: is for role edge only/],
      ['{"role": "edge", "upstream": {"host": "mags"}, "edges": {}}', /edges: is for role all only/],
      ['{"edges": {}, "ssh": {"enabled": false}, "urls": {"enabled": false}}', /ssh: must be enabled, or urls/],
      ['{"urls": {"listen": {"port": 45000}}}', /urls\.listen\.port: must be outside ssh\.job_ports/],
      ['{"urls": {"listen": {"port": 2222}}}', /urls\.listen\.port: must be another port than ssh\.listen\.port, 2222/],
      ['{"urls": {"plain": {}}}', /urls\.plain: is for HTTP beside HTTPS/],
      ['{"urls": {"tls": {"certificates": []}}}', /urls\.tls\.certificates: .*>=1/],
      [
        '{"urls": {"tls": {"certificates": [{"certificate_file": "a", "key_file": "/b"}]}}}',
        /certificate_file: must be an/,
      ],
      [
        `{"urls": {"plain": {"port": 7780}, "tls": {"certificates": [{"certificate_file": "/a", "key_file": "/b"}]}}}`,
        /urls\.plain\.port: must be another port than urls\.listen\.port, 7780/,
      ],
      [`{"urls": {"acme": {"directory_url": "https://a.example", "terms_agreed": true}}}`, /urls\.plain: must be set/],
      [`{"urls": {"acme": {"directory_url": "https://a.example", "terms_agreed": false}}}`, /urls\.acme\.terms_agreed/],
      ['{"urls": {"domain": "Apps.example"}}', /urls\.domain: must be the name of a domain/],
      ['{"urls": {"trusted_proxies": ["10.0.0.0/33"]}}', /urls\.trusted_proxies\.0: must be a network/],
      ['{"ssh": {"listen": {"port": 40000}}}', /ssh\.listen\.port: must be outside ssh\.job_ports/],
      [
        '{"edges": {"listen": {"port": 40000}, "secret_file": "/etc/mags/edge.secret"}}',
        /edges\.listen\.port: must be outside ssh\.job_ports/,
      ],
      ['{"listen": {"port": 49999}}', /listen\.port: must be outside ssh\.job_ports/],
      ['{"ssh": {"job_ports": {"from": 2000, "to": 1999}}}', /ssh\.job_ports\.to: must not be below/],
      ['{"ssh": {"job_ports": {"from": 1023}}}', /ssh\.job_ports\.from: must not be below 1024/],
      ['{"ssh": {"listen": {"port": 7777}}}', /ssh\.listen\.port: must be another port than listen\.port, 7777/],
      [
        '{"ssh": {"listen": {"host": "::", "port": 7778}}, "edges": {}}',
        /ssh\.listen\.port: must be another port than edges\.listen\.port, 7778/,
      ],
      ['{"ssh": {"limits": {"attempts": 0}}}', /ssh\.limits\.attempts: .*>=1/],
      ['{"database": {"url": "mysql://x"}}', /database\.url: must be a postgres/],
    ];
    for (const [text, reason] of cases) assert.throws(() => parseConfig(text, "magsd.json"), reason);
  });

  it("lets parts have the same port on different addresses, any free one, and one that an edge has no use for", () => {
    const keys = [
      { listen: { port: 443 }, ssh: { listen: { host: "192.0.2.1", port: 443 } } },
      { listen: { port: 0 }, ssh: { listen: { port: 0 } } },
      { role: "edge", upstream: { host: "mags" }, ssh: { listen: { port: 7777 } } },
      { ssh: { enabled: false }, urls: { listen: { port: 45_000 } } },
      { urls: { enabled: false, listen: { port: 2222 } } },
    ];
    for (const each of keys) parseConfig(JSON.stringify(each), "magsd.json");
  });

  it("lets the uids of an embedded database and of a gateway alone where there is none", () => {
    const off = { ssh: { enabled: false }, urls: { enabled: false } };
    const keys = { database: { url: "postgres://u@h/d" }, node: { uid_base: 1_909_999_000 } };
    parseConfig(JSON.stringify({ ...keys, ...off }), "magsd.json");
    for (const key of ["ssh", "urls"])
      assert.throws(
        () => parseConfig(JSON.stringify({ ...keys, ...off, [key]: {} }), "magsd.json"),
        /leave out 1910000001/,
      );
  });

  it("does not print the database's password", () => {
    const config = parseConfig('{"database": {"url": "postgres://u:secret@h/d"}}', "magsd.json");
    assert.equal(config.database.url?.reveal(), "postgres://u:secret@h/d");
    assert.doesNotMatch(JSON.stringify(config), /secret/);
  });
});
