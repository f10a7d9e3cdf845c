import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ForbiddenEdge, importsOf, violations } from "./imports.ts";
import { listSourceFiles, readSource } from "./source-files.ts";

const isTest = (file: string) => /\.(test|soak|conformance)\.ts$|\/test\//.test(file);
const source = (folder: string) => (file: string) => file.startsWith(`${folder}/`) && !isTest(file);
const oneOf =
  (...names: string[]) =>
  (target: string) =>
    names.some((name) => target === name || target.startsWith(`${name}/`));
const workspace = (target: string) => target.startsWith("@mags/") || target.startsWith("@magpiecloud/");
const noneOf =
  (...allowed: string[]) =>
  (target: string) =>
    workspace(target) && !allowed.includes(target);
const folderOf = (file: string) => /^(apps|packages|native)\/[^/]+|^[^/]+/.exec(file)?.[0] ?? "";

const FORBIDDEN: readonly ForbiddenEdge[] = [
  {
    why: "a package has one door, its index.ts; import the package by its name",
    from: () => true,
    to: (target, { file, specifier }) =>
      specifier.startsWith(".")
        ? folderOf(target) !== folderOf(file)
        : /^@mags\/[^/]+\/./.test(target) && target !== "@mags/e2e/harness",
  },
  {
    why: "core stands below everything",
    from: source("packages/core"),
    to: (target) => !target.startsWith("packages/core/") && !target.startsWith("node:"),
  },
  {
    why: "domain decides and does no I/O: of Node it may use pure modules only",
    from: source("packages/domain"),
    to: (target) =>
      !target.startsWith("packages/domain/") &&
      !["@mags/core", "node:crypto", "node:buffer", "node:util"].includes(target),
  },
  {
    why: "the API's schema knows the domain and zod, never a server",
    from: source("packages/api-schema"),
    to: (target) => noneOf("@mags/domain")(target) || target.startsWith("node:"),
  },
  {
    why: "an edge may run apart: it knows control plane and nodes only by the domain's interfaces",
    from: source("packages/edge"),
    to: noneOf("@mags/core", "@mags/domain"),
  },
  {
    why: "the runtime root's command lines depend on nothing but core",
    from: source("packages/runtime-root"),
    to: noneOf("@mags/core"),
  },
  {
    why: "a node knows no HTTP API and no database: the control plane calls it through the domain's interface",
    from: source("packages/node"),
    to: (target) =>
      noneOf(
        "@mags/core",
        "@mags/block-server",
        "@mags/domain",
        "@mags/nbd",
        "@mags/runtime-root",
        "@mags/tar",
      )(target) || oneOf("fastify", "kysely", "pg")(target),
  },
  {
    why: "the control plane knows nodes only by the domain's interface",
    from: source("packages/control-plane"),
    to: noneOf("@mags/core", "@mags/domain", "@mags/api-schema", "@mags/runtime-root"),
  },
  {
    why: "clients reach the server by its API only; of the workspace they may take types, which are gone at run time",
    from: source("packages/mags/src"),
    to: (target, { file, typeOnly }) =>
      workspace(target) &&
      !(typeOnly && target === "@mags/api-schema") &&
      !(target === "@mags/tar" && file.startsWith("packages/mags/src/cli/")),
  },
  {
    why: "the archive format depends on nothing but core: servers and the command line build on it",
    from: source("packages/tar"),
    to: noneOf("@mags/core"),
  },
  {
    why: "a file system is read from bytes, wherever they come from",
    from: source("packages/ext4"),
    to: noneOf("@mags/core"),
  },
  {
    why: "the files of a version need the store's readers and formats, and no node, server or database",
    from: source("packages/workspace-files"),
    to: noneOf("@mags/core", "@mags/ext4", "@mags/tar", "@mags/workspace-store"),
  },
  {
    why: "an object store is bytes by key; it knows nothing of who keeps what in it",
    from: source("packages/object-store"),
    to: noneOf("@mags/core"),
  },
  {
    why: "S3 and its signatures stay behind the interface",
    from: (file) => !isTest(file) && !/^packages\/(object-store\/src\/s3|test-kit)\//.test(file),
    to: oneOf("aws4fetch", "@aws-sdk/client-s3"),
  },
  {
    why: "the block server serves a node and knows none: bytes between object store, disks and sockets",
    from: source("packages/block-server"),
    to: noneOf("@mags/core", "@mags/object-store", "@mags/workspace-files", "@mags/workspace-store", "@mags/nbd"),
  },
  {
    why: "the workspace store is a format over an object store: it knows no node, no server, no database",
    from: source("packages/workspace-store"),
    to: noneOf("@mags/core", "@mags/object-store"),
  },
  {
    why: "domain ← app ← routes: what the control plane does knows no HTTP",
    from: source("packages/control-plane/src/app"),
    to: oneOf("fastify", "node:http", "packages/control-plane/src/routes", "packages/control-plane/src/http"),
  },
  {
    why: "an adapter implements what app declares; it does not use routes",
    from: source("packages/control-plane/src/sql"),
    to: oneOf("fastify", "packages/control-plane/src/routes", "packages/control-plane/src/http"),
  },
  {
    why: "the NBD protocol depends on nothing but core: nodes and the block server build on it",
    from: source("packages/nbd"),
    to: noneOf("@mags/core"),
  },
  {
    why: "fakes and harnesses are for tests",
    from: (file) => /^(apps|packages)\//.test(file) && !file.startsWith("packages/test-kit/") && !isTest(file),
    to: oneOf("@mags/test-kit", "node:test", "fast-check"),
  },
  {
    why: "an app wires packages; nothing builds on an app",
    from: () => true,
    to: oneOf("@mags/magsd"),
  },
  {
    why: "the PostgreSQL driver and its queries live in one folder each",
    from: (file) => !isTest(file) && !/^packages\/(control-plane\/src\/(sql|postgres)|test-kit)\//.test(file),
    to: (target, { typeOnly }) => !typeOnly && oneOf("kysely", "pg")(target),
  },
];

describe("imports", () => {
  it("follow the direction of the architecture", () => {
    const files = listSourceFiles().filter((file) => file.endsWith(".ts"));
    const imports = files.flatMap((file) => importsOf(file, readSource(file)));
    assert.ok(imports.length > 100, "the imports were found at all");
    assert.deepEqual(violations(imports, FORBIDDEN), []);
  });
});

describe("importsOf", () => {
  it("finds every form of import, and which are types only", () => {
    const text = [
      'import { a,\n  b } from "one";',
      'import type { C } from "./two.ts";',
      'export * from "three";',
      'import "four";',
      'const five = await import("five");',
      '// import x from "comment"',
      'const text = `x from "string"`;',
    ].join("\n");
    assert.deepEqual(
      importsOf("f.ts", text).map(({ specifier, typeOnly }) => [specifier, typeOnly]),
      [
        ["one", false],
        ["./two.ts", true],
        ["three", false],
        ["four", false],
        ["five", false],
      ],
    );
  });
});

describe("violations", () => {
  const edges: readonly ForbiddenEdge[] = [
    {
      why: "because",
      from: (file) => file === "packages/a/src/x.ts",
      to: (target) => target === "packages/b/src/y.ts",
    },
  ];

  it("names the import and the reason, resolving relative paths", () => {
    const found = violations(
      [
        { file: "packages/a/src/x.ts", specifier: "../../b/src/y.ts", typeOnly: false },
        { file: "packages/a/src/z.ts", specifier: "../../b/src/y.ts", typeOnly: false },
      ],
      edges,
    );
    assert.deepEqual(found, ["packages/a/src/x.ts imports ../../b/src/y.ts: because"]);
  });
});
