/** SSH as a user has it: `mags ssh`, `mags ssh-config`, and the system's programs with what that wrote. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const MAGS = resolve(import.meta.dirname, "../packages/mags/dist/cli/mags.js");
const PAGE = new URL("../docs/ssh.md", import.meta.url);

const scope = new AsyncDisposableStack();
let server: TestServer;
let home: string;
let runtime: string;
let env: Record<string, string>;
before(async () => {
  server = scope.use(await startServer({ node: { default_memory_mb: 512 } }));
  home = scope.use(await makeTempDir()).path;
  [runtime] = await Promise.all([
    join(home, "run"),
    mkdir(join(home, "run")),
    mkdir(join(home, ".ssh")),
    mkdir(join(home, "bin")),
  ]);
  env = {
    ...{ HOME: home, XDG_RUNTIME_DIR: runtime, PATH: `${join(home, "bin")}:${process.env.PATH}` },
    ...{ MAGS_API_URL: server.url, MAGS_API_TOKEN: server.token },
  };
  const program = (name: string, line: string) =>
    writeFile(join(home, "bin", name), `#!/bin/sh\nPATH=\${PATH#*:}\n${line} "$@"\n`, { mode: 0o755 });
  await program("mags", `exec '${process.execPath}' '${MAGS}'`);
  // They take the home of the user's account for theirs, whatever HOME says.
  for (const name of ["ssh", "scp", "sftp"]) await program(name, `exec ${name} -F "$HOME/.ssh/config"`);
  await shell("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519");
});
after(() => scope.disposeAsync());
afterEach(async () => assert.deepEqual(await readdir(runtime), []));

/** Runs a line of bash that must succeed. @returns what it prints. */
async function shell(line: string, input = ""): Promise<string> {
  const { exitCode, text, errors } = await run("bash", ["-ec", line], { env, input });
  assert.equal(exitCode, 0, `${line}: ${text}${errors}`);
  return text;
}
const ssh = (args: readonly string[], input?: string | Buffer) =>
  server.mags(["ssh", ...args], { env, ...(input !== undefined && { input }) });
const statusOf = async (name: string) =>
  ((await server.api.call("GET", `/api/v1/mags-jobs/${name}/status`)).body as { status: string }).status;

describe("mags ssh", () => {
  it("is, with all that comes with it, as docs/ssh.md says: its commands work, in their order", async () => {
    const page = await readFile(PAGE, "utf8");
    const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
    assert.ok(blocks.length >= 3, page);
    const text = await shell(`cd ~\n${blocks.join("\n")}`);
    for (const line of [/^Linux$/m, /^hello from here$/m, /^ {2}ssh mags-dev$/m, /^copies\/notes\.txt/m])
      assert.match(text, line);
  });

  it("passes input, output and exit codes on, and makes and wakes what it needs", async () => {
    const input = Buffer.alloc(1_000_000, "sandbox\n");
    const { exitCode, stdout, errors } = await ssh(["dev", "cat; echo err >&2; exit 7"], input);
    assert.deepEqual([exitCode, stdout.equals(input), errors], [7, true, "err\n"]);
    await shell("mags sleep dev");
    assert.equal(await statusOf("dev"), "sleeping");
    assert.equal((await ssh(["dev", "cat", "greeting"])).text, "hello from here\n");
    assert.equal(await statusOf("dev"), "running");
    await shell("mags stop dev");
    const anew = await ssh(["dev", "--", "pwd; ls greeting"]);
    assert.match(anew.errors, /there is no sandbox dev; making one/);
    assert.deepEqual([anew.text, anew.exitCode], ["/root\n", 2]);
    const script = await server.submit({ script: "sleep 30", name: "once" });
    const refused = await ssh(["once", "true"]);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.errors, /persistent/);
    await server.api.call("POST", `/api/v1/mags-jobs/${script}/stop`);
  });

  it("leaves no key behind: not by SIGTERM, and not by SIGKILL once it runs again", async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const { child, result, soFar } = server.startMags(["ssh", "dev", "echo begun; exec sleep 3"], { env });
      await waitFor(() => soFar().includes("begun"), { what: "the command" });
      child.kill(signal);
      const [exitCode] = await once(child, "exit");
      assert.equal(exitCode, signal === "SIGTERM" ? 255 : null);
      assert.equal((await readdir(runtime)).length, signal === "SIGTERM" ? 0 : 1);
      assert.equal((await ssh(["dev", "true"])).exitCode, 0);
      assert.deepEqual(await readdir(runtime), []);
      await result;
    }
  });

  it("lends the user's agent where it is told to", async () => {
    const agent = 'eval "$(ssh-agent)" >/dev/null; trap "kill $SSH_AGENT_PID" EXIT; ssh-add -q ~/.ssh/id_ed25519';
    const own = await shell("ssh-keygen -lf ~/.ssh/id_ed25519.pub");
    assert.equal(await shell(`${agent}; mags ssh -A dev ssh-add -l`), own);
    assert.match(await shell(`${agent}; mags ssh dev ssh-add -l 2>&1 || true`), /Could not open a connection/);
  });

  it("refuses a host that has not the key that the server tells", async () => {
    const file = join(home, ".ssh/mags/known_hosts");
    const kept = await readFile(file, "utf8");
    await writeFile(file, kept.replace(/AAAAI.{10}/, "AAAAI0123456789"));
    const { exitCode, errors } = await run("ssh", ["mags-dev", "true"], { env });
    assert.equal(exitCode, 255);
    assert.match(errors, /Host key verification failed/);
    await shell("mags ssh-config dev >/dev/null && ssh mags-dev true");
    assert.equal(await readFile(file, "utf8"), kept);
  });

  it("carries sessions as editors make them: a script by standard input, a dynamic forward used beside it, files", async () => {
    const port = await freePort();
    const child = spawn("ssh", ["-T", "-D", String(port), "mags-dev", "bash", "-s"], { env });
    let [output, errors] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      errors += text;
    });
    const ended = once(child, "close");
    try {
      child.stdin.write(
        "mkdir -p ~/.editor && cd ~/.editor && echo served >page\n" +
          "python3 -m http.server 8123 --bind 127.0.0.1 >log 2>&1 & server=$!\n" +
          "until curl -so /dev/null http://127.0.0.1:8123/page; do sleep 0.1; done; echo listening==8123\n",
      );
      const listens = () => {
        assert.equal(child.exitCode, null, output + errors);
        return output.includes("listening==8123");
      };
      await waitFor(listens, { what: "the editor's server", deadlineMs: 30_000 });
      const get = `curl -sSf --socks5-hostname 127.0.0.1:${port} http://127.0.0.1:8123/page`;
      const pages = await Promise.all(Array.from({ length: 5 }, () => shell(get)));
      assert.deepEqual(pages, Array(5).fill("served\n"));
      await shell("cd ~; echo 'put .ssh/config .editor/copy' | sftp -q -b - mags-dev >/dev/null");
      child.stdin.end("kill $server; cat copy; exit 5\n");
      const [code] = await ended;
      assert.equal(code, 5);
      assert.match(output, /^Include .*mags\/config$/m);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("takes its entries away again", async () => {
    await shell("mags ssh-config --remove");
    assert.deepEqual(await readdir(join(home, ".ssh")), ["id_ed25519", "id_ed25519.pub"]);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
