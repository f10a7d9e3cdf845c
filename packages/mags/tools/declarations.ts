/**
 * Type declarations of the SDK in one file without imports, so that they need nothing that is not published. The
 * compiler writes a file a module; the statements that the public names lead to are put together here.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const COMPILER = fileURLToPath(import.meta.resolve("typescript/package.json")).replace(/package\.json$/, "bin/tsc");

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

const COMPILER_OPTIONS =
  "--ignoreConfig --declaration --emitDeclarationOnly --strict --target es2024 --module nodenext --types node --allowImportingTsExtensions --rewriteRelativeImportExtensions --resolveJsonModule --skipLibCheck";

/** @returns file name to text: `index.d.cts` with everything, `index.d.ts` that passes it on to ES modules. */
export async function declarations(sdkFolder: string): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "mags-types-"));
  try {
    const files = ["--rootDir", PACKAGE, "--outDir", folder, join(sdkFolder, "index.ts")];
    const options = [COMPILER, ...COMPILER_OPTIONS.split(" "), ...files];
    // The compiler looks for the types of Node from where it runs.
    await promisify(execFile)(process.execPath, options, { cwd: PACKAGE }).catch((error) => {
      throw new Error(`the declarations of the SDK could not be written:\n${error.stdout}`, { cause: error });
    });
    return bundle(await statementsIn(join(folder, "src", "sdk")));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Statement {
  readonly name: string;
  /** Without `export` and `declare`. */
  readonly text: string;
}

function bundle({ statements, exported }: { statements: readonly Statement[]; exported: readonly string[] }) {
  const kept = reachable(statements, exported);
  const body = kept.map(({ text }) =>
    /^(interface|type) /m.test(text) ? text : text.replace(/^(?=abstract class|class|const|function)/m, "declare "),
  );
  const others = exported.filter((name) => name !== "Mags");
  return {
    "index.d.cts": [
      '/// <reference types="node" />',
      ...body,
      `declare namespace Mags {\n  export { Mags, Mags as default, ${others.join(", ")} };\n}`,
      "export = Mags;",
      "",
    ].join("\n"),
    "index.d.ts": [
      'import Mags from "./index.cjs";',
      "export { Mags, Mags as default };",
      ...others.map((name) => `export import ${name} = Mags.${name};`),
      "",
    ].join("\n"),
  };
}

async function statementsIn(folder: string): Promise<{ statements: Statement[]; exported: string[] }> {
  const index = await readFile(join(folder, "index.d.ts"), "utf8");
  const exported = [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names = ""]) =>
    [...names.matchAll(/(?:type )?(\w+)/g)].map(([, name = ""]) => name),
  );
  const statements: Statement[] = [];
  for (const file of (await readdir(folder)).sort())
    if (file !== "index.d.ts") statements.push(...split(await readFile(join(folder, file), "utf8")));
  return { statements, exported };
}

/** Cuts a declaration file as the compiler formats it: a statement ends with `;` or `}` outside of all brackets. */
function split(text: string): Statement[] {
  const statements: Statement[] = [];
  let lines: string[] = [];
  for (const line of text.split("\n")) {
    lines.push(line);
    if (!/^(\S.*;|\})$/.test(line)) continue;
    const statement = lines
      .join("\n")
      .replace(/^export /m, "")
      .replace(/^declare /m, "");
    lines = [];
    const name = /^(?:interface|type|class|const|function) (\w+)/m.exec(statement)?.[1];
    if (name !== undefined) statements.push({ name, text: statement });
  }
  return statements;
}

/** What the public names lead to. A function leads nowhere but is never led to: its name may be that of a method. */
function reachable(statements: readonly Statement[], roots: readonly string[]): Statement[] {
  const types = statements.filter(({ text }) => !/^function /m.test(text));
  const wanted = new Set(roots);
  for (const name of wanted) {
    const text = statements.find((statement) => statement.name === name)?.text;
    if (text === undefined) throw new Error(`${name} is part of the SDK's types, but no declaration of it was found`);
    for (const word of code(text).match(/\w+/g) ?? []) if (types.some((type) => type.name === word)) wanted.add(word);
  }
  const kept = statements.filter(({ name }) => wanted.has(name));
  if (kept.length !== wanted.size) throw new Error("two declarations of the SDK have the same name: rename one");
  return kept;
}

function code(text: string): string {
  return text.replace(/\/\*.*?\*\//gs, "");
}
