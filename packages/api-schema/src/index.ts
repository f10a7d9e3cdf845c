export { ErrorBody } from "./errors.ts";
export * as files from "./files.ts";
export * as jobs from "./jobs.ts";
export * as logs from "./logs.ts";
export { buildOpenApiDocument } from "./openapi.ts";
export { COMMON_ERRORS, type RouteDefinition, route } from "./route.ts";
export { ROUTES, type RouteName } from "./routes.ts";
export * as service from "./service.ts";
export * as tokens from "./tokens.ts";
