export { type Command, type LaunchSpec, launchCommand, type RuntimeRoot, toolCommand } from "./launch.ts";
