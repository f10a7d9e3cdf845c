/** Those that are compared before the same web servers of this machine: nobody, nginx, Caddy, httpxy, and the gateway of URLs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { debianProgram } from "./debian-program.ts";
import { descendantsOf } from "./processes.ts";

/** Where a proxy is asked for what is behind it. */
export interface Way {
  readonly port: number;
  readonly host: string;
}

export interface UrlParty {
  readonly name: string;
  /** 1 KiB, by nginx. */
  readonly small: Way;
  /** See url-backend.ts. */
  readonly data: Way;
  /** Of the proxy itself. */
  pids(): Promise<readonly number[]>;
}

export interface UrlParties extends AsyncDisposable {
  readonly all: readonly UrlParty[];
  /** To be run as its first words say. */
  readonly wrk: readonly string[];
}

const PACKAGES = "nginx-light,wrk,caddy";
/** Where Debian's programs find a loader of their age. */
const LOADER = "usr/lib64/ld-linux-x86-64.so.2";
const LIBRARIES = "usr/lib/x86_64-linux-gnu";

export async function openUrlParties(say: (line: string) => void): Promise<UrlParties> {
  await using scope = new AsyncDisposableStack();
  const program = "usr/sbin/nginx";
  const tree = (await debianProgram({ packageName: PACKAGES, program }, say)).slice(0, -program.length);
  const ofTree = (path: string) => [join(tree, LOADER), "--library-path", join(tree, LIBRARIES), join(tree, path)];
  const { path: folder } = scope.use(await makeTempDir());
  const start = async (words: readonly string[]) => {
    const child = launch(words);
    scope.defer(() => end(child));
    return child;
  };
  const node = async (program: URL, ...args: readonly string[]) => {
    const child = await start([process.execPath, fileURLToPath(program), ...args]);
    if (!child.stdout) throw new Error("its output was to be read");
    const [line] = await once(createInterface({ input: child.stdout }), "line");
    return { pid: child.pid ?? 0, ports: `${line}`.split(" ").map(Number) };
  };
  const nginx = async (name: string, servers: readonly string[], ports: readonly number[]) => {
    const place = join(folder, name);
    await mkdir(join(place, "logs"), { recursive: true });
    await writeFile(join(place, "nginx.conf"), nginxConfig(servers));
    const child = await start([...ofTree(program), "-p", place, "-c", "nginx.conf", "-e", "stderr"]);
    await Promise.all(ports.map(untilListens));
    return child.pid ?? 0;
  };

  const [backend = 0] = (await node(new URL("./url-backend.ts", import.meta.url))).ports;
  const [small, smallNginx, dataNginx, smallCaddy, dataCaddy] = await freePorts(5);
  await nginx("behind", [`listen 127.0.0.1:${small}; location / { return 200 "${"x".repeat(1023)}\n"; }`], [small]);
  const passing = (port: number, to: number) => `listen 127.0.0.1:${port};
    location / {
      proxy_pass http://to_${to}; proxy_http_version 1.1; proxy_request_buffering off; proxy_max_temp_file_size 0;
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $wanted; proxy_read_timeout 3600;
    }`;
  const nginxPid = await nginx(
    "before",
    [passing(smallNginx, small), passing(dataNginx, backend)],
    [smallNginx, dataNginx],
  );
  const caddyFile = join(folder, "Caddyfile");
  await writeFile(
    caddyFile,
    caddyConfig([
      [smallCaddy, small],
      [dataCaddy, backend],
    ]),
  );
  // It keeps what it was configured with below these.
  const ofCaddy = ["env", `XDG_CONFIG_HOME=${folder}`, `XDG_DATA_HOME=${folder}`];
  const caddy = await start([
    ...ofCaddy,
    join(tree, "usr/bin/caddy"),
    "run",
    "--config",
    caddyFile,
    "--adapter",
    "caddyfile",
  ]);
  await Promise.all([smallCaddy, dataCaddy].map(untilListens));
  const httpxy = await node(new URL("./url-httpxy.ts", import.meta.url), `${small}`, `${backend}`);
  const alone = await node(new URL("./url-gateway.ts", import.meta.url));
  const socket = join(folder, "server.sock");
  const server = await node(new URL("./url-server.ts", import.meta.url), socket);
  const apart = await node(new URL("./url-gateway.ts", import.meta.url), socket);

  const at = (port: number | undefined): Way => ({ port: port ?? 0, host: `127.0.0.1:${port}` });
  const named = (port: number | undefined, of: number): Way => ({ port: port ?? 0, host: `p${of}.bench` });
  const all: readonly UrlParty[] = [
    { name: "nobody between", small: at(small), data: at(backend), pids: async () => [] },
    {
      ...{ name: "nginx", small: at(smallNginx), data: at(dataNginx) },
      pids: async () => [nginxPid, ...(await descendantsOf(nginxPid))],
    },
    { name: "Caddy", small: at(smallCaddy), data: at(dataCaddy), pids: async () => [caddy.pid ?? 0] },
    { name: "httpxy", small: at(httpxy.ports[0]), data: at(httpxy.ports[1]), pids: async () => [httpxy.pid] },
    {
      ...{ name: "the gateway alone", small: named(alone.ports[0], small), data: named(alone.ports[0], backend) },
      pids: async () => [alone.pid],
    },
    {
      name: "the gateway and its server",
      ...{ small: named(apart.ports[0], small), data: named(apart.ports[0], backend) },
      pids: async () => [apart.pid, server.pid],
    },
  ];
  const owned = scope.move();
  return { all, wrk: ofTree("usr/bin/wrk"), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const nginxConfig = (servers: readonly string[]) => {
  const targets = new Set(servers.flatMap((text) => /to_(\d+)/.exec(text)?.[1] ?? []));
  return `user root; worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;
    events { worker_connections 20000; }
    http {
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${what};`).join(" ")}
      access_log off; client_max_body_size 0; keepalive_requests 1000000000;
      map $http_upgrade $wanted { default upgrade; "" ""; }
      ${[...targets].map((port) => `upstream to_${port} { server 127.0.0.1:${port}; keepalive 256; keepalive_requests 1000000000; }`).join("\n")}
      ${servers.map((text) => `server { ${text} }`).join("\n")}
    }`;
};

const caddyConfig = (sites: readonly (readonly [port: number, to: number])[]) =>
  [
    "{\n admin off\n auto_https off\n log {\n level ERROR\n }\n}",
    ...sites.map(([port, to]) => `http://:${port} {\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:${to}\n}`),
  ].join("\n");

/** It ends with this process. */
const launch = ([program = "", ...words]: readonly string[]) =>
  spawn("setpriv", ["--pdeathsig", "KILL", program, ...words], { stdio: ["ignore", "pipe", "inherit"] });

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

async function freePorts(count: 5): Promise<[number, number, number, number, number]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports as [number, number, number, number, number]; // as many as were asked for
}

const untilListens = (port: number) =>
  waitFor(
    () => {
      const socket = connect(port, "127.0.0.1");
      const answer = new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      return answer.finally(() => socket.destroy());
    },
    { what: `port ${port}`, deadlineMs: 30_000 },
  );
