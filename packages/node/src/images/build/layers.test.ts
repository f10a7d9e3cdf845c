import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { TarEntry } from "../tar/reader.ts";
import { applyLayer } from "./layers.ts";
import { createDirectory, type Directory, findNode } from "./tree.ts";

const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: new Map<string, Buffer>() };
function entry(path: string, type: TarEntry["type"], more: Partial<TarEntry> = {}): TarEntry {
  return { ...ATTRIBUTES, path, type, linkPath: "", offset: 0, size: 0, ...more };
}
const file = (path: string, size = 0) => entry(path, "file", { size });
const folder = (path: string, mode = 0o755) => entry(path, "directory", { mode });
const symlink = (path: string, linkPath: string) => entry(path, "symlink", { linkPath });
const link = (path: string, linkPath: string) => entry(path, "link", { linkPath });

const UNLIMITED = { count() {} };

function merge(...layers: (readonly TarEntry[])[]): Directory {
  const root = createDirectory();
  for (const [layer, entries] of layers.entries())
    applyLayer(root, entries, { layer, limits: UNLIMITED, whiteouts: true });
  return root;
}

/** Paths of all there is; a folder's ends in a slash and its mode, a file's in the layer its content is from. */
function flat(root: Directory, prefix = ""): string[] {
  return [...root.children]
    .flatMap(([name, node]) => {
      if (node.kind === "directory")
        return [`${prefix}${name}/ ${node.attributes.mode}`, ...flat(node, `${prefix}${name}/`)];
      return [`${prefix}${name}${node.kind === "file" ? ` ${node.content.layer}` : ""}`];
    })
    .toSorted();
}

describe("applyLayer", () => {
  it("lets whiteouts take away what earlier layers brought, and never what stands in their own layer", () => {
    const lower = [folder("a/"), file("a/x"), file("a/y"), folder("b/"), file("b/z"), file("c")];
    const upper = [
      file("c"),
      file(".wh.c"),
      file("a/new"),
      file("a/.wh..wh..opq"),
      file(".wh.b"),
      file("b/.wh..wh.aufs"),
    ];
    assert.deepEqual(flat(merge(lower, upper)), ["a/ 493", "a/new 1", "c 1"]);
  });

  it("keeps names that begin like whiteouts where the archive is no layer", () => {
    const root = createDirectory();
    applyLayer(root, [file(".wh.x")], { layer: 0, limits: UNLIMITED, whiteouts: false });
    assert.deepEqual(flat(root), [".wh.x 0"]);
  });

  it("goes through the image's own symlinks, and through none out of it", () => {
    const lower = [
      folder("usr/lib/"),
      symlink("lib", "usr/lib"),
      symlink("out", "../../../../usr"),
      symlink("abs", "/usr"),
    ];
    const upper = [file("lib/x"), file("out/y"), file("abs/lib/z"), file("/absolute"), file("./dot")];
    assert.deepEqual(flat(merge(lower, upper)), [
      ...[
        "abs",
        "absolute 1",
        "dot 1",
        "lib",
        "out",
        "usr/ 493",
        "usr/lib/ 493",
        "usr/lib/x 1",
        "usr/lib/z 1",
        "usr/y 1",
      ],
    ]);
    assert.equal(findNode(merge(lower, upper), "/out/lib/../y")?.path, "/usr/y");
  });

  it("makes two names of one file of a link, also to a file of an earlier layer", () => {
    const root = merge([file("bin/a", 7)], [link("bin/b", "bin/a")]);
    assert.equal(findNode(root, "/bin/a")?.node, findNode(root, "/bin/b")?.node);
  });

  it("leaves device nodes out and counts them", () => {
    assert.equal(
      applyLayer(createDirectory(), [entry("dev/null", "device")], { layer: 0, limits: UNLIMITED, whiteouts: false })
        .devicesLeftOut,
      1,
    );
  });

  it("refuses what has no place in an image, and names it", () => {
    const cases: [TarEntry, RegExp][] = [
      [file("../etc/passwd"), /"\.\.\/etc\/passwd" leads out of the image/],
      [file("a/../../x"), /leads out/],
      [link("x", "/../etc/shadow"), /leads out/],
      [link("x", "not/there"), /"x" is a link to "not\/there", which is no file before it/],
      [link("x", "folder"), /no file before it/],
      [symlink("x", ""), /symlink to nothing/],
      [file("./"), /top of the image/],
      [file("circle/x"), /lead in a circle/],
      [file(".wh..."), /takes away nothing/],
    ];
    for (const [bad, message] of cases)
      assert.throws(() => merge([folder("folder/"), symlink("circle", "circle")], [bad]), {
        code: "validation_failed",
        message,
      });
  });

  it("takes a path of a thousand folders, and symlinks that blow up are given up", () => {
    const deep = `${"d/".repeat(1000)}f`;
    assert.ok(findNode(merge([file(deep)]), deep));
    const fan = Array.from({ length: 60 }, (_, n) => symlink(`s${n}`, `s${n + 1}/s${n + 1}`));
    assert.throws(() => merge(fan, [file("s0/x")]), /circle/);
  });

  it("merges like a plain model of overlaid folders", () => {
    const path = fc
      .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 })
      .map((names) => names.join("/"));
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("file" as const), path }),
      fc.record({ kind: fc.constant("folder" as const), path, mode: fc.constantFrom(0o700, 0o711) }),
      fc.record({ kind: fc.constant("whiteout" as const), path }),
      fc.record({ kind: fc.constant("opaque" as const), path }),
    );
    type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;
    const toEntry = (op: Operation): TarEntry => {
      if (op.kind === "file") return file(op.path);
      if (op.kind === "folder") return folder(op.path, op.mode);
      const cut = op.path.lastIndexOf("/") + 1;
      return file(
        op.kind === "opaque" ? `${op.path}/.wh..wh..opq` : `${op.path.slice(0, cut)}.wh.${op.path.slice(cut)}`,
      );
    };
    fc.assert(
      fc.property(fc.array(fc.array(operation, { maxLength: 8 }), { maxLength: 5 }), (layers) => {
        assert.deepEqual(flat(merge(...layers.map((layer) => layer.map(toEntry)))), model(layers));
      }),
      { numRuns: 2000 },
    );
  });
});

type ModelOperation =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "whiteout"; readonly path: string }
  | { readonly kind: "opaque"; readonly path: string }
  | { readonly kind: "folder"; readonly path: string; readonly mode: number };

/** The same by paths alone: a table of what is where, without a tree. */
function model(layers: readonly (readonly ModelOperation[])[]): string[] {
  const table = new Map<string, string>();
  const clear = (path: string) => {
    for (const known of table.keys()) if (known.startsWith(`${path}/`)) table.delete(known);
  };
  layers.forEach((layer, n) => {
    for (const { kind, path } of layer) {
      if (kind === "whiteout") table.delete(path);
      if (kind === "whiteout" || kind === "opaque") clear(path);
    }
    for (const operation of layer) {
      if (operation.kind === "whiteout" || operation.kind === "opaque") continue;
      const names = operation.path.split("/");
      for (let length = 1; length < names.length; length++) {
        const parent = names.slice(0, length).join("/");
        if (!table.get(parent)?.startsWith("/")) table.set(parent, `/ ${0o755}`);
      }
      if (operation.kind === "file") {
        clear(operation.path);
        table.set(operation.path, ` ${n}`);
      } else table.set(operation.path, `/ ${operation.mode}`);
    }
  });
  return [...table].map(([path, what]) => path + what).toSorted();
}
