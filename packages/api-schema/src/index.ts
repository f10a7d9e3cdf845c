export { ErrorBody } from "./errors.ts";
export * as jobs from "./jobs.ts";
export * as logs from "./logs.ts";
export { type RouteDefinition, route } from "./route.ts";
export { ROUTES, type RouteName } from "./routes.ts";
export * as service from "./service.ts";
export * as tokens from "./tokens.ts";
