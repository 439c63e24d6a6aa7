#ifndef ANNEX_PORT_H
#define ANNEX_PORT_H

#include <annex/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Ports of machines on the host. What listens in a machine that runs is at the same port of the machine's own address
 * (annex_machine_info.ip), as long as it listens; others are published, by the setting "publish" or for now. A port is
 * written "[IP:]HOST:GUEST[/udp]": IP is 127.0.0.1 unless it is given, HOST and GUEST may be ranges, HOST 0 is a free
 * one.
 */

/* Publish one while the machine runs, until it stops or annex_machine_unpublish(). *ret_ports, which may be NULL: those
 * that it are, as annex_machine_ports() has them; the caller frees it. BUSY: the machine does not run; EXISTS: it is
 * published, or taken on this host; USAGE. */
int annex_machine_publish(char **ret_ports, struct annex_machine *machine, const char *port, struct annex_error **err);
/* IP, GUEST and the protocol may be left out: they stand for any then. BUSY: the machine does not run; NOT_FOUND. What
 * the setting publishes is back at the next start. Connections that are made go on. */
int annex_machine_unpublish(struct annex_machine *machine, const char *port, struct annex_error **err);
/* All ports, as a JSON list; the machine is made to look first. Of a machine that does not run: those that a start
 * would publish. The caller frees *ret. docs/network.md says what is in it. */
int annex_machine_ports(char **ret, struct annex_machine *machine, struct annex_error **err);

#ifdef __cplusplus
}
#endif

#endif
