export {
  type Command,
  type LaunchSpec,
  launchCommand,
  lowerFileLimitCommand,
  normalPriorityCommand,
  type RuntimeRoot,
  toolCommand,
} from "./launch.ts";
