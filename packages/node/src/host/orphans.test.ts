import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { orphanKind, type ProcessView } from "./orphans.ts";

const launcher = "/opt/mags/objects/launcher-1/mags-launch";
const loader = "/opt/mags/objects/runtime-1/root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
const libraries = "/opt/mags/objects/runtime-1/root/usr/lib/x86_64-linux-gnu";
const marks = { isOurUid: (uid: number) => uid >= 100 && uid < 200, runtimeRoots: "/opt/mags/objects" };

describe("orphanKind", () => {
  const cases: readonly [string, Omit<ProcessView, "pid">, ReturnType<typeof orphanKind>][] = [
    [
      "a launcher for one of our uids",
      { program: launcher, args: ["--root", "/", "--uid", "150"], parentProgram: "/sbin/init" },
      "end",
    ],
    [
      "a launcher for the uid of another installation",
      { program: launcher, args: ["--uid", "250"], parentProgram: "" },
      null,
    ],
    [
      "a launcher whose server lives",
      { program: launcher, args: ["--uid", "150"], parentProgram: "/usr/bin/node" },
      null,
    ],
    [
      "a launcher of a release that was removed",
      { program: `${launcher} (deleted)`, args: ["--uid", "150"], parentProgram: "" },
      "end",
    ],
    ["a launcher that changes a priority", { program: launcher, args: ["--resched", "150"], parentProgram: "" }, null],
    [
      "a tool at work",
      {
        program: loader,
        args: [loader, "--library-path", libraries, "--argv0", "ip", "-batch", "-"],
        parentProgram: "/sbin/init",
      },
      "await",
    ],
    [
      "a tool whose server lives",
      {
        program: loader,
        args: [loader, "--library-path", libraries, "--argv0", "ip"],
        parentProgram: "/opt/node (deleted)",
      },
      null,
    ],
    [
      "a tool of a release that was removed",
      {
        program: `${loader} (deleted)`,
        args: [loader, "--library-path", libraries.replace("runtime-1", "runtime-0"), "--argv0", "ip"],
        parentProgram: "",
      },
      "await",
    ],
    [
      "a stranger's program that runs through the host's loader",
      {
        program: "/usr/lib64/ld-linux-x86-64.so.2",
        args: ["/lib64/ld-linux-x86-64.so.2", "--argv0", "app", "/srv/app"],
        parentProgram: "/bin/bash",
      },
      null,
    ],
    [
      "a stranger's program that brings its loader and its libraries",
      {
        program: "/opt/mags/objects-of-others/ld-linux-x86-64.so.2",
        args: ["ld.so", "--library-path", "/opt/mags/objects-of-others/lib", "--argv0", "app", "/srv/app"],
        parentProgram: "/sbin/init",
      },
      null,
    ],
    ["a stranger's program", { program: "/bin/sh", args: ["sh", "--uid", "150"], parentProgram: "/sbin/init" }, null],
  ];
  for (const [what, view, kind] of cases)
    it(`says ${kind ?? "nothing"} of ${what}`, () => assert.equal(orphanKind({ pid: 7, ...view }, marks), kind));
});
