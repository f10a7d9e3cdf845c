import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { ROOT } from "../source-files.ts";

/** A repository and a store that hold as little as can be installed; Node is a script that prints its arguments. */
function makeFakeBuild(dir: string) {
  const put = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text, { mode });
  };
  put("repo/dist/magsd.mjs", "// server 1");
  put("repo/dist/gateway.mjs", "// gateway 1");
  put("repo/apps/magsd/systemd/magsd.service", "[Unit]\n");
  put("repo/packages/mags/package.json", "{}");
  put("repo/packages/mags/dist/cli/mags.js", "// cli");
  put("repo/tools/lib/install.sh", readFileSync(join(ROOT, "tools/lib/install.sh"), "utf8"));
  put("node", '#!/bin/sh\necho "node $*"\n', 0o755);
  put("store/objects/runtime-1/root/file", "runtime");
  put("store/objects/image-1/base", "image");
  const artifacts = { runtime: `${dir}/store/objects/runtime-1/root`, image: `${dir}/store/objects/image-1/base` };
  put("store/artifacts.json", JSON.stringify(artifacts));
  return { put };
}

/** Installs and tells whether the release in use changed. `before` is run by the same shell. */
function install(dir: string, before = ""): boolean {
  const script = `set -euo pipefail
    . '${ROOT}/native/image/lib/log.sh'; . '${ROOT}/tools/lib/install.sh'
    ROOT='${dir}/repo' STORE='${dir}/store' NODE='${dir}/node' PREFIX='${dir}/opt' COMMANDS='${dir}/bin'
    SYSTEMD_BOOTED='${dir}/booted' UNITS='${dir}/units' PATH="${dir}:$PATH"
    ${before}
    install_release; printf '%s' "$RELEASE_CHANGED"`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }) === "1";
}

describe("install_release", () => {
  it("installs programs, their Node and what they run on, independent of the store", async () => {
    await using temp = await makeTempDir();
    makeFakeBuild(temp.path);
    assert.equal(install(temp.path), true);
    rmSync(join(temp.path, "store"), { recursive: true });
    rmSync(join(temp.path, "repo"), { recursive: true });
    const artifacts = JSON.parse(readFileSync(join(temp.path, "opt/artifacts.json"), "utf8"));
    assert.equal(artifacts.runtime, join(temp.path, "opt/objects/runtime-1/root"));
    assert.equal(readFileSync(artifacts.image, "utf8"), "image");
    const said = execFileSync(join(temp.path, "bin/mags"), ["run", "a b"], { encoding: "utf8" });
    assert.equal(said, `node ${temp.path}/opt/current/lib/mags/dist/cli/mags.js run a b\n`);
    const server = execFileSync(join(temp.path, "bin/magsd"), ["start"], { encoding: "utf8" });
    assert.equal(server, `node ${temp.path}/opt/current/lib/magsd.mjs start\n`);
    assert.equal(statSync(join(temp.path, "opt/current/lib/mags")).mode & 0o777, 0o755);
  });

  it("changes nothing when the same is installed again", async () => {
    await using temp = await makeTempDir();
    makeFakeBuild(temp.path);
    install(temp.path);
    const inode = statSync(join(temp.path, "opt/current/lib/magsd.mjs")).ino;
    assert.equal(install(temp.path), false);
    assert.equal(statSync(join(temp.path, "opt/current/lib/magsd.mjs")).ino, inode);
  });

  it("puts a new release beside the one in use, which goes on working", async () => {
    await using temp = await makeTempDir();
    const { put } = makeFakeBuild(temp.path);
    const current = () => readlinkSync(join(temp.path, "opt/current"));
    install(temp.path);
    const first = current();
    put("repo/dist/magsd.mjs", "// server 2");
    assert.equal(install(temp.path), true);
    assert.notEqual(current(), first);
    assert.equal(readFileSync(join(temp.path, "opt", first, "lib/magsd.mjs"), "utf8"), "// server 1");
    assert.equal(readFileSync(join(temp.path, "opt", current(), "lib/magsd.mjs"), "utf8"), "// server 2");
  });

  it("installs the units where systemd runs and tells it, also of what it may not have heard of, and nowhere else", async () => {
    await using temp = await makeTempDir();
    const { put } = makeFakeBuild(temp.path);
    put("systemctl", `#!/bin/sh\necho "$*" >> '${temp.path}/calls'\n`, 0o755);
    put("units/stranger.service", "");
    install(temp.path);
    assert.deepEqual(readdirSync(join(temp.path, "units")), ["stranger.service"]);
    put("booted/x", "");
    install(temp.path);
    const calls = () => readFileSync(join(temp.path, "calls"), "utf8").trim().split("\n");
    const [reload, enable] = ["daemon-reload", "enable --quiet magsd.service"];
    assert.deepEqual(calls(), [reload, enable]);
    install(temp.path);
    assert.deepEqual(calls(), [reload, enable, reload, enable]);
    put("repo/apps/magsd/systemd/magsd.service", "[Unit]\n# new\n");
    install(temp.path);
    assert.equal(readFileSync(join(temp.path, "units/magsd.service"), "utf8"), "[Unit]\n# new\n");
    assert.deepEqual(calls().slice(4), [reload, enable]);
  });

  it("waits while somebody else changes the installation", async () => {
    await using temp = await makeTempDir();
    makeFakeBuild(temp.path);
    install(temp.path);
    const hold = `exec 9> '${temp.path}/opt/.lock'; flock 9; touch '${temp.path}/held'; sleep 1; rm '${temp.path}/held'`;
    const holder = spawn("bash", ["-c", hold], { stdio: "ignore" });
    const ended = once(holder, "exit");
    await waitFor(() => existsSync(join(temp.path, "held")), { what: "the lock" });
    install(temp.path);
    assert.ok(!existsSync(join(temp.path, "held")));
    await ended;
  });

  it("recovers from an installation that was cut short", async () => {
    await using temp = await makeTempDir();
    const { put } = makeFakeBuild(temp.path);
    put("opt/objects/.new.1/root/half", "");
    put("opt/releases/.new.1/half", "");
    assert.equal(install(temp.path), true);
    const whole = (folder: string) => readdirSync(join(temp.path, folder)).filter((name) => !name.startsWith("."));
    assert.deepEqual(whole("opt/objects").toSorted(), ["image-1", "runtime-1"]);
    assert.equal(whole("opt/releases").length, 1);
  });

  it("puts nothing into what a process of the same number has left", async () => {
    await using temp = await makeTempDir();
    makeFakeBuild(temp.path);
    const leave =
      "for kind in objects releases; do mkdir -p $PREFIX/$kind/.new.$$; touch $PREFIX/$kind/.new.$$/half; done";
    assert.equal(install(temp.path, leave), true);
    assert.deepEqual(readdirSync(join(temp.path, "opt/objects")).toSorted(), ["image-1", "runtime-1"]);
    assert.deepEqual(readdirSync(join(temp.path, "opt/objects/image-1")), ["base"]);
    assert.deepEqual(readdirSync(join(temp.path, "opt/objects/runtime-1")), ["root"]);
    assert.ok(!existsSync(join(temp.path, "opt/current/half")));
  });

  it("gives an object its name when it is on disk", async () => {
    await using temp = await makeTempDir();
    const { put } = makeFakeBuild(temp.path);
    put("sync", `#!/bin/sh\necho "$2: $(ls '${temp.path}/opt/objects')" >> '${temp.path}/syncs'\n`, 0o755);
    install(temp.path);
    const syncs = readFileSync(join(temp.path, "syncs"), "utf8").trim().split("\n");
    assert.match(syncs[0] ?? "", /\/opt\/objects\/\.new\.\d+: $/);
    assert.match(syncs[1] ?? "", /\/opt\/objects\/\.new\.\d+: image-1$/);
  });
});
