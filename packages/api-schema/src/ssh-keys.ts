import { z } from "zod";
import { Done } from "./jobs.ts";
import { route } from "./route.ts";
import { text } from "./text.ts";

export const SshKey = z
  .object({
    id: z.uuid(),
    name: z.string().describe("No other key of the account has the same."),
    type: z.string(),
    fingerprint: z.string().describe("`SHA256:` and base64, as `ssh-keygen -l` shows it."),
    public_key: z.string().describe("As in a `.pub` file, without a comment."),
    created_at: z.iso.datetime(),
    last_used_at: z.iso.datetime().nullable().describe("Right to a minute; null: never."),
  })
  .meta({ id: "SshKey" });

/** The largest RSA key that is taken has 2.8 KB, its signature 5.6 KB. */
const MOST_CHARACTERS = 20_000;

const publicKey = () => text().min(1).max(MOST_CHARACTERS).describe("The line of a `.pub` file.");

export const listSshKeys = route({
  method: "GET",
  path: "/ssh-keys",
  summary: "List the SSH keys of the account",
  auth: "account",
  responses: { 200: z.object({ keys: z.array(SshKey) }).meta({ id: "SshKeys" }) },
  errors: [],
});

export const challengeSshKey = route({
  method: "POST",
  path: "/ssh-keys/challenge",
  summary: "Ask for what is to be signed before an SSH key can be added",
  description:
    'Sign exactly the text of `challenge`, without a line end: `printf %s "$challenge" | ssh-keygen -Y sign -n mags-key -f KEY`. It begins with `mags-key server=HOST `, HOST as it was given: sign nothing that names another server than the one you talk to, which could add your key to an account there. It holds for ten minutes, for this account and key, and for one use.',
  auth: "account",
  body: z
    .object({
      public_key: publicKey(),
      server: text()
        .max(300)
        .optional()
        .describe(
          "Host, and port where it is not that of the scheme, at which you reach this server, as in its URL. It must be that of `public_url` of its configuration; where there is none, the address that the request comes to. Default: that name.",
        ),
    })
    .meta({ id: "ChallengeSshKey" }),
  responses: {
    200: z
      .object({ challenge: z.string(), expires_at: z.iso.datetime(), fingerprint: z.string() })
      .meta({ id: "SshKeyChallenge" }),
  },
  errors: [413],
});

export const addSshKey = route({
  method: "POST",
  path: "/ssh-keys",
  summary: "Add an SSH key to the account",
  description:
    "Ed25519, ECDSA, or RSA of 2048 bits and more. The same key may be on several accounts. An account has at most 100.",
  auth: "account",
  body: z
    .object({
      name: text().max(200).optional().describe("Default: the comment of the key."),
      public_key: publicKey(),
      challenge: text().max(1_000).describe("As it was given for this key."),
      signature: text()
        .max(MOST_CHARACTERS)
        .describe("What `ssh-keygen -Y sign -n mags-key` made of the challenge with this key."),
    })
    .meta({ id: "AddSshKey" }),
  responses: { 201: SshKey },
  errors: [409, 413],
});

export const removeSshKey = route({
  method: "DELETE",
  path: "/ssh-keys/{id}",
  summary: "Remove an SSH key from the account",
  description:
    "Nobody signs in with it any more. Connections that stand are refused the next session or forward; what runs goes on.",
  auth: "account",
  params: z.object({ id: z.string().min(1).describe("Id, fingerprint or name of the key.") }),
  responses: { 200: Done },
  errors: [404],
});
