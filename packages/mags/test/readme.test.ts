import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type CliBench, createCliBench } from "./cli-process.ts";
import { type ScriptedApi, startScriptedApi, TOKEN } from "./scripted-api.ts";
import { runHere } from "./scripted-job.ts";

interface Block {
  readonly language: string;
  readonly text: string;
}

async function blocksOf(file: URL): Promise<Block[]> {
  const text = await readFile(file, "utf8");
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = "", body = ""]) => ({
    language,
    text: body,
  }));
}

describe("the examples of the README", async () => {
  let api: ScriptedApi;
  let cli: CliBench;
  const blocks = await blocksOf(new URL("../README.md", import.meta.url));

  before(async () => {
    api = await startScriptedApi();
    cli = await createCliBench(api);
    api.play = (job) => runHere(job, cli.folder);
    await mkdir(join(cli.folder, "node_modules", "@magpiecloud"), { recursive: true });
    await mkdir(join(cli.folder, "mags"));
    await symlink(join(cli.folder, "dist"), join(cli.folder, "mags", "dist"));
    await writeFile(
      join(cli.folder, "mags", "package.json"),
      await readFile(new URL("../package.json", import.meta.url)),
    );
    await symlink(join(cli.folder, "mags"), join(cli.folder, "node_modules", "@magpiecloud", "mags"));
  });
  after(async () => {
    await cli[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
  });

  for (const [n, { language, text }] of blocks.entries()) {
    const title = text.split("\n").find((line) => line !== "") ?? "";
    if (language === "sh" && !text.startsWith("npm install"))
      it(`runs: ${title}`, async () => {
        const line = `set -e; cd '${cli.folder}'; ${text.replace("http://127.0.0.1:7777", api.url)}`;
        const result = await cli.shell(line, { input: `${TOKEN}\n` });
        assert.equal(result.code, 0, result.stderr);
        const expected = blocks[n + 1];
        if (expected?.language === "text") assert.equal(result.stdout.toString(), expected.text);
      });
    if (language === "js")
      it(`runs: ${title}`, async () => {
        await writeFile(join(cli.folder, "example.mjs"), text);
        const result = await cli.shell(`'${process.execPath}' '${join(cli.folder, "example.mjs")}'`);
        assert.equal(result.code, 0, result.stderr);
        assert.equal(result.stdout.toString(), "0 Hello World\nstdout up\n0 inside\n\n");
      });
  }

  it("mention every command and every option of run", async () => {
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const help = (await cli.run(["--help"])).stdout.toString();
    const [commands = "", options = ""] = help.split(/^(?:Commands|Run Options|Examples):$/m).slice(1);
    const names = [...commands.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => `mags ${name}`);
    const flags = [...options.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag = ""]) => flag);
    assert.ok(names.length > 10 && flags.length > 10);
    for (const word of [...names, ...flags.filter((flag) => flag !== "--help")]) assert.ok(readme.includes(word), word);
  });
});
