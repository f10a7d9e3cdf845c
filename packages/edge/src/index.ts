export type { PublicKey, SignIn, SshAudit, SshDirectory, SshUser } from "./ssh/directory.ts";
export { type SshGateway, type SshGatewayOptions, startSshGateway } from "./ssh/ssh-gateway.ts";
