/** The configuration of a Ceph of one node on the loopback; paths as its programs see them. */

export interface CephPorts {
  readonly monitorV1: number;
  readonly monitorV2: number;
  readonly gateway: number;
}

export function monitorAddress({ monitorV1, monitorV2 }: CephPorts): string {
  return `[v2:127.0.0.1:${monitorV2},v1:127.0.0.1:${monitorV1}]`;
}

export function cephConfig(fsid: string, ports: CephPorts): string {
  return `[global]
fsid=${fsid}
mon host=${monitorAddress(ports)}
auth cluster required=cephx
auth service required=cephx
auth client required=cephx
auth allow insecure global id reclaim=false
keyring=/mnt/keyring
public addr=127.0.0.1
cluster addr=127.0.0.1
run dir=/mnt/run
admin socket=/mnt/run/$cluster-$name.asok
log file=/mnt/log/$name.log
osd pool default size=1
osd pool default min size=1
osd pool default pg num=4
osd pool default pgp num=4
osd pool default pg autoscale mode=off
osd crush chooseleaf type=0
[mon]
mon data=/mnt/mon
mon cluster log file=/mnt/log/cluster.log
mon allow pool size one=true
mon warn on pool no redundancy=false
mon data avail crit=1
mon data avail warn=2
[osd]
osd data=/mnt/osd
osd objectstore=bluestore
bluestore block size=${8 * 1024 ** 3}
osd memory target=${896 * 1024 ** 2}
[client.rgw.a]
rgw frontends=beast endpoint=127.0.0.1:${ports.gateway}
rgw thread pool size=64
`;
}
