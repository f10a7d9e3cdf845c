#!/usr/bin/env node
import { homedir } from "node:os";
import { createCli } from "./cli.ts";
import { main } from "./main.ts";
import { createOutput } from "./output.ts";

const cli = createCli({
  env: process.env,
  home: homedir(),
  stdin: () => process.stdin,
  stdout: createOutput(process.stdout),
  stderr: createOutput(process.stderr),
  terminal: {
    size: () => ({ rows: process.stdout.rows || 24, cols: process.stdout.columns || 80 }),
    onResize(listener) {
      process.stdout.on("resize", listener);
      return () => void process.stdout.off("resize", listener);
    },
  },
  signals: process,
  now: Date.now,
  exit: (code) => process.exit(code),
});

// Kept connections and an open standard input must not hold up the end.
main(process.argv.slice(2), cli).then((code) => process.exit(code));
