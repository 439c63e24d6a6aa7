#include "network/way.h"

static bool scan(struct ports *ports)
{
	if (!ports_are_up(ports))
		return false;
	ports_scan(ports);
	return true;
}

const struct way way_ports = {ports_connect, datagrams_new, datagrams_free, scan};
