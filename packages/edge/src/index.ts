export { type SshGateway, type SshGatewayOptions, startSshGateway } from "./ssh/ssh-gateway.ts";
