export {
  type Command,
  fileLimitCommand,
  type LaunchSpec,
  launchCommand,
  normalPriorityCommand,
  type RuntimeRoot,
  toolCommand,
} from "./launch.ts";
