#include "network/port.h"

#include <arpa/inet.h>
#include <string.h>

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "protocol", struct port, protocol, true),
	JSON_ROW(JSON_ROW_U64, "port", struct port, port, true),
	JSON_ROW(JSON_ROW_TEXTS, "listens", struct port, listens, false),
	JSON_ROW(JSON_ROW_U64, "pid", struct port, pid, false),
	JSON_ROW(JSON_ROW_TEXT, "process", struct port, process, false),
	JSON_ROW(JSON_ROW_TEXT, "host", struct port, host, true),
	JSON_ROW(JSON_ROW_U64, "host-port", struct port, host_port, true),
	JSON_ROW(JSON_ROW_BOOL, "published", struct port, published, false),
	JSON_ROW(JSON_ROW_BOOL, "moved", struct port, moved, false),
	JSON_ROW(JSON_ROW_TEXT, "publish", struct port, publish, false),
	JSON_ROW(JSON_ROW_TEXT, "state", struct port, state, true),
	JSON_ROW(JSON_ROW_TEXT, "reason", struct port, reason, false),
};

static bool is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_sound(const struct port *port)
{
	static const char *const states[] = {"open", "waiting", "refused"};
	bool is_known = false;

	for (size_t i = 0; i < COUNT_OF(states); i++)
		is_known = is_known || strcmp(port->state, states[i]) == 0;
	for (size_t i = 0; i < port->listens.count; i++)
		is_known = is_known && is_address(port->listens.items[i]);
	return is_known && (strcmp(port->protocol, "tcp") == 0 || strcmp(port->protocol, "udp") == 0) &&
	       port->port > 0 && port->port <= UINT16_MAX && port->host_port <= UINT16_MAX && port->pid <= INT32_MAX &&
	       is_address(port->host);
}

json_t *port_encode(const struct port *port)
{
	return json_encode(port, rows, COUNT_OF(rows));
}

int port_decode(struct port *ret, const json_t *object, const char *what, struct annex_error **err)
{
	auto_port struct port made = {0};

	if (json_decode(&made, object, rows, COUNT_OF(rows), what, err) < 0)
		return -1;
	if (!is_sound(&made))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not a port", what);
	*ret = made;
	made = (struct port){0};
	return 0;
}

void port_clear(struct port *port)
{
	json_clear(port, rows, COUNT_OF(rows));
}
