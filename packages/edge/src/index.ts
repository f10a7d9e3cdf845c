export { connectUpstream, type RemoteUpstream } from "./remote/connect-upstream.ts";
export { type EdgeServer, startEdgeServer } from "./remote/edge-server.ts";
export type { EdgePlace } from "./remote/transport.ts";
export { type SshGateway, type SshGatewayOptions, startSshGateway } from "./ssh/ssh-gateway.ts";
export type { EdgeUpstream } from "./upstream.ts";
export { type CertificateFiles, type Certificates, createCertificates } from "./url/certificates.ts";
export { createNamedCertificates } from "./url/named-certificates.ts";
export { startUrlGateway, type UrlGateway, type UrlGatewayOptions } from "./url/url-gateway.ts";
