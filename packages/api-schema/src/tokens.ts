import { z } from "zod";
import { Done } from "./jobs.ts";
import { route } from "./route.ts";
import { text } from "./text.ts";

export const Token = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string().describe("First characters, to recognize it by."),
    created_at: z.iso.datetime(),
    last_used_at: z.iso.datetime().nullable(),
  })
  .meta({ id: "AccessToken" });

export const NewToken = Token.extend({ token: z.string().describe("In clear, this once.") }).meta({
  id: "NewAccessToken",
});

export const listTokens = route({
  method: "GET",
  path: "/access-tokens",
  summary: "List access tokens",
  auth: "account",
  responses: { 200: z.object({ tokens: z.array(Token) }).meta({ id: "AccessTokens" }) },
  errors: [],
});

export const createToken = route({
  method: "POST",
  path: "/access-tokens",
  summary: "Create an access token",
  auth: "account",
  body: z.object({ name: text().min(1).max(100).describe("What the token is for.") }).meta({ id: "CreateAccessToken" }),
  responses: { 201: NewToken },
  errors: [413],
});

export const deleteToken = route({
  method: "DELETE",
  path: "/access-tokens/{id}",
  summary: "Revoke an access token",
  auth: "account",
  params: z.object({ id: z.string() }),
  responses: { 200: Done },
  errors: [404],
});
