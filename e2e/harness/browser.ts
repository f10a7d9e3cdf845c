/** A headless Chromium out of its Debian tree, on this machine's network. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { findDebianTree, makeTempDir, waitFor } from "@mags/test-kit";
import { type Browser, chromium } from "playwright-core";

const PROGRAM = "/usr/lib/chromium/chromium-headless-shell";
const OPTIONS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"],
  ...["--remote-debugging-port=0", "--user-data-dir=/mnt/profile", "about:blank"],
];

export interface TestBrowser extends AsyncDisposable {
  readonly browser: Browser;
}

export async function startBrowser(): Promise<TestBrowser> {
  await using scope = new AsyncDisposableStack();
  const folder = scope.use(await makeTempDir()).path;
  const [file, ...args] = findDebianTree("chromium").command(folder, PROGRAM, OPTIONS);
  const child = spawn(file, args, { stdio: "ignore" });
  const ended = once(child, "exit");
  scope.defer(async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(timer);
  });
  // Port and path, a line each.
  const place = await waitFor(
    async () => {
      assert.equal(child.exitCode, null, "Chromium has ended");
      const text = await readFile(join(folder, "profile/DevToolsActivePort"), "utf8").catch(() => "");
      const [port, path] = text.split("\n");
      return path ? `ws://127.0.0.1:${port}${path}` : null;
    },
    { what: "Chromium", deadlineMs: 30_000 },
  );
  const browser = await chromium.connectOverCDP(place);
  scope.defer(() => browser.close());
  const owned = scope.move();
  return { browser, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
