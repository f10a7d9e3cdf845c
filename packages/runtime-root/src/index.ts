export {
  type Command,
  fileLimitCommand,
  handOverCommand,
  type LaunchSpec,
  launchCommand,
  normalPriorityCommand,
  type RuntimeRoot,
  toolCommand,
} from "./launch.ts";
