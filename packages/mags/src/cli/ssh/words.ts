/** The words behind `mags ssh`, which are those that ssh takes in place of its destination. */
import { Failure } from "../failure.ts";

export interface SshWords {
  /** For ssh, as they were given. */
  readonly options: readonly string[];
  readonly name: string;
  /** Empty: a login shell. */
  readonly command: readonly string[];
}

/** Options of ssh(1) that have a value, in the same word or in the next one. */
const WITH_VALUE = new Set("BbcDEeFIiJLlmOoPpQRSWw");
const OURS = new Set("ilp");
/** The same by `-o`, in lower case. */
const OUR_NAMES = new Set(["hostname", "port", "user", "identityfile", "identitiesonly"]);
const USAGE =
  "Usage: mags ssh [options of ssh] <name|id> [options of ssh] [--] [command...]\nOptions as in man ssh: -L 8080:localhost:8080, -D, -R, -A, -N, -t, -v, -o NAME=VALUE, …";

/** Options may stand before the name and behind it, up to the command or `--`, as with ssh itself. */
export function parseSshWords(words: readonly string[]): SshWords {
  const options: string[] = [];
  let name: string | undefined;
  let rest = words;
  for (;;) {
    const [word, ...others] = rest;
    if (word !== undefined && word !== "--" && word.length > 1 && word.startsWith("-")) {
      const count = wordsOf(word, others[0]);
      if (count > rest.length) throw new Failure(`${word} needs a value`, USAGE);
      options.push(...rest.slice(0, count));
      rest = rest.slice(count);
      continue;
    }
    const behind = word === "--" ? others : rest;
    if (name !== undefined) return { options, name, command: behind };
    [name] = behind;
    if (name === undefined || name === "") throw new Failure("a name is required", USAGE);
    rest = behind.slice(1);
  }
}

/** @returns how many words the option is: 2 when the value of the last letter in it is the next word. */
function wordsOf(word: string, next = ""): 1 | 2 {
  if (word.startsWith("--")) throw new Failure(`ssh has no option ${word}`, USAGE);
  const letters = [...word.slice(1)];
  const last = letters.findIndex((letter) => WITH_VALUE.has(letter));
  const given = last === -1 ? letters : letters.slice(0, last + 1);
  const ours = given.find((letter) => OURS.has(letter));
  if (ours !== undefined) throw notYours(`-${ours}`);
  const isNext = last !== -1 && last === letters.length - 1;
  if (given.at(-1) === "o") checkNamed(isNext ? next : letters.slice(last + 1).join(""));
  return isNext ? 2 : 1;
}

/** @throws Failure when the value of `-o` is one that ssh would pass over in silence, as mags has said it before. */
function checkNamed(option: string): void {
  const [name = ""] = option.trim().split(/[\s=]/, 1);
  if (OUR_NAMES.has(name.toLowerCase())) throw notYours(`-o ${name}`);
}

function notYours(option: string): Failure {
  return new Failure(
    `${option} is not for you to say: the server tells user, port and key`,
    `For a key of yours: mags ssh-config\n${USAGE}`,
  );
}
