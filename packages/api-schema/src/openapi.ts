import { z } from "zod";
import { ErrorBody } from "./errors.ts";
import { COMMON_ERRORS, type RouteDefinition } from "./route.ts";
import { ROUTES } from "./routes.ts";

type Json = Record<string, unknown>;

const ERROR_TEXT: Readonly<Record<number, string>> = {
  400: "The request is not valid; `error` names the field and the rule.",
  401: "No token, or one that is not valid.",
  403: "This account, or pages of this origin, may not do that.",
  404: "There is no such thing in this account.",
  409: "The state of the job does not allow it, or there is such a thing already.",
  413: "The request is too large.",
  416: "The file is shorter than the range that was asked for.",
  429: "Too many of the account's jobs wait. With `code` `too_many_requests` nothing was stored: the same request may be sent again.",
  500: "A fault of the server.",
  503: "The server cannot do it now; try again. Submit a job again only where nothing was stored: with `code` `capacity_exhausted`.",
  507: "The disk of the VM, of its host or of the object store is full.",
};

const RETRY_AFTER = {
  "Retry-After": { description: "Seconds after which to try again.", schema: { type: "integer" } },
};

const ERROR_HEADERS: Readonly<Record<string, Json>> = {
  401: { "WWW-Authenticate": { schema: { type: "string" } } },
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

function uploadSchema(contentType: string): Json {
  if (contentType !== "multipart/form-data") return {};
  const parts = { type: "array", items: { type: "string", contentMediaType: "application/octet-stream" } };
  return { schema: { type: "object", properties: { file: parts, files: parts } } };
}

/** The OpenAPI 3.1 description of every route, built from the schemas that the server checks requests with. */
export function buildOpenApiDocument(): Json {
  const schemas: Json = {};

  /** The JSON schema; every schema with an id goes to the shared components and is referred to. */
  function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
    const { $schema: _dialect, $defs, ...root } = z.toJSONSchema(schema, { io, reused: "inline" }) as Json;
    for (const [id, definition] of Object.entries(($defs ?? {}) as Json)) schemas[id] = relinked(definition);
    const id = schema.meta()?.id;
    if (id === undefined || "$ref" in root) return relinked(root) as Json;
    schemas[id] = relinked(root);
    return { $ref: `#/components/schemas/${id}` };
  }

  function operation(name: string, route: RouteDefinition): Json {
    return {
      operationId: name,
      summary: route.summary,
      ...(route.description && { description: route.description }),
      parameters: [...parametersOf(route.params, "path"), ...parametersOf(route.query, "query")],
      ...(route.body && {
        requestBody: { required: true, content: { "application/json": { schema: schemaOf(route.body, "input") } } },
      }),
      ...(route.upload && { requestBody: { required: true, content: { [route.upload]: uploadSchema(route.upload) } } }),
      responses: { ...successes(route), ...failures(route) },
      security: route.auth === "none" ? [] : [{ token: [] }],
    };
  }

  function parametersOf(object: z.ZodObject | undefined, place: "path" | "query"): Json[] {
    if (!object) return [];
    const { properties, required } = schemaOf(object, "input") as { properties: Json; required?: string[] };
    return Object.entries(properties).map(([name, schema]) => {
      const { description, ...rest } = schema as Json;
      const mandatory = place === "path" || (required ?? []).includes(name);
      return { name, in: place, required: mandatory, ...(description !== undefined && { description }), schema: rest };
    });
  }

  function successes(route: RouteDefinition): Json {
    const entries = Object.entries(route.responses).map(([status, schema]) => {
      const json = schema && { "application/json": { schema: schemaOf(schema, "output") } };
      if (route.webSocket) return [status, { description: `A WebSocket (${route.webSocket}).` }];
      const bytes = route.download && { [route.download]: {} };
      const stream = route.eventStream && { "text/event-stream": { schema: { type: "string" } } };
      return [status, { description: route.summary, content: { ...json, ...bytes, ...stream } }];
    });
    return Object.fromEntries(entries);
  }

  function failures(route: RouteDefinition): Json {
    const statuses = [...COMMON_ERRORS, ...route.errors].filter((status) => route.auth !== "none" || status !== 401);
    return Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/Error${status}` }]));
  }

  function errorResponses(): Json {
    const entries = Object.entries(ERROR_TEXT).map(([status, description]) => [
      `Error${status}`,
      {
        description,
        ...(ERROR_HEADERS[status] && { headers: ERROR_HEADERS[status] }),
        content: { "application/json": { schema: schemaOf(ErrorBody, "output") } },
      },
    ]);
    return Object.fromEntries(entries);
  }

  const responses = errorResponses();
  const paths: Record<string, Json> = {};
  for (const [name, definition] of Object.entries(ROUTES)) {
    const route: RouteDefinition = definition;
    const path = `/api/v1${route.path}`;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(name, route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Mags",
      version: "1",
      description: "Run scripts in isolated Linux microVMs. `/api/v2` is an alias of `/api/v1`.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      responses,
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
  };
}

/** Points references at the shared components instead of the schema's own definitions. */
function relinked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relinked);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, child]) =>
    key === "$ref" && typeof child === "string"
      ? [key, child.replace("#/$defs/", "#/components/schemas/")]
      : [key, relinked(child)],
  );
  // A string `id` is the name that became the component's; a property called `id` is an object.
  return Object.fromEntries(entries.filter(([key, child]) => key !== "id" || typeof child !== "string"));
}
