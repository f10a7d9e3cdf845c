#ifndef NETWORK_H
#define NETWORK_H

/* Loopback, and the first virtio network card with what the kernel command line says (mags.ip, mags.gw, …), if both are
 * there. Also writes resolv.conf and hosts into the layer over the image. */
void network_init(void);

#endif
