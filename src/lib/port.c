/* How a machine's ports are reached from the host: to be told, and to be changed while it runs. */
#include "annex/port.h"

#include "lib/port.h"

#include "lib/change.h"
#include "lib/request.h"
#include "machine/lifecycle.h"
#include "machine/taken.h"
#include "network/port.h"
#include "network/publish.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static int change_one(struct link *link, const char *text, bool is_new, struct annex_error **err)
{
	return is_new ? request_publish(link, text, true, err) : request_unpublish(link, text, true, err);
}

int port_change(struct annex_machine *machine, const struct text_list *before, const struct text_list *after,
		struct annex_error **err)
{
	return change_list(machine, before, after, change_one, err);
}

static const char *text_of(const json_t *port, const char *key)
{
	return json_string_value(json_object_get(port, key));
}

/* What only the host can tell: whether it is there at the next start, and who has a port that is refused. */
static int complete(json_t *port, const struct annex_machine *machine, struct annex_error **err)
{
	const struct text_list *publish = &machine->record.settings.publish;
	const char *text = text_of(port, "publish"), *host = text_of(port, "host");
	struct packet_address address = {0};
	auto_free char *holder = NULL;
	bool kept = false;

	for (size_t i = 0; text && i < publish->count && !kept; i++)
		kept = strcmp(publish->items[i], text) == 0;
	if (json_object_set_new(port, "kept", json_boolean(kept)) < 0)
		return fail_memory(err);
	if (!text_equal(text_of(port, "state"), "refused"))
		return 0;
	address.v6 = inet_pton(AF_INET, host, &address.of.v4) != 1;
	if (address.v6 && inet_pton(AF_INET6, host, &address.of.v6_) != 1)
		return 0;
	if (taken_by(&holder, &machine->paths, &address, (uint16_t)json_integer_value(json_object_get(port, "port")),
		     text_equal(text_of(port, "protocol"), "udp") ? IPPROTO_UDP : IPPROTO_TCP, err) < 0)
		return -1;
	if (!holder)
		return 0;
	return json_object_set_new(port, "reason", json_sprintf("taken by %s", holder)) < 0 ? fail_memory(err) : 0;
}

static int complete_all(json_t *list, const struct annex_machine *machine, struct annex_error **err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (complete(json_array_get(list, i), machine, err) < 0)
			return -1;
	}
	return 0;
}

/* One port of the setting, of a machine that does not run. */
static int add_set(json_t *list, const struct publish *publish, char *text, unsigned index, struct annex_error **err)
{
	char address[INET6_ADDRSTRLEN];
	char protocol[] = "tcp", udp[] = "udp", state[] = "waiting", reason[] = "the machine is not running";
	const struct port port = {
		.protocol = publish->protocol == IPPROTO_UDP ? udp : protocol,
		.port = publish->guest + index,
		.host = address,
		.host_port = publish->host ? publish->host + index : 0,
		.published = true,
		.publish = text,
		.state = state,
		.reason = reason,
	};

	if (!inet_ntop(publish->address.v6 ? AF_INET6 : AF_INET, &publish->address.of, address, sizeof(address)))
		return fail_os(err, errno, "cannot write an address");
	return json_array_append_new(list, port_encode(&port)) < 0 ? fail_memory(err) : 0;
}

static int list_set(json_t **ret, const struct annex_machine *machine, struct annex_error **err)
{
	const struct text_list *texts = &machine->record.settings.publish;
	auto_json json_t *list = json_array();

	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < texts->count; i++) {
		struct publish publish;

		if (publish_parse(&publish, texts->items[i], err) < 0)
			return -1;
		for (unsigned k = 0; k < publish.count; k++) {
			if (add_set(list, &publish, texts->items[i], k, err) < 0)
				return -1;
		}
	}
	*ret = TAKE(list);
	return 0;
}

static int list(json_t **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_link_state struct link_state state = {0};
	auto_link struct link *link = NULL;
	auto_json json_t *made = NULL;

	if (machine_reload(machine, err) < 0 || link_open(&link, machine->context, &machine->paths, false, err) < 0 ||
	    (link && link_state(link, &state, err) < 0))
		return -1;
	if (link && state.state == MACHINE_RUNNING) {
		if (request_ports(link, &made, err) < 0)
			return -1;
	} else if (list_set(&made, machine, err) < 0) {
		return -1;
	}
	if (complete_all(made, machine, err) < 0)
		return -1;
	*ret = TAKE(made);
	return 0;
}

static int give(char **ret, const json_t *list, struct annex_error **err)
{
	*ret = json_text(list, true);
	return *ret ? 0 : fail_memory(err);
}

API int annex_machine_ports(char **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_json json_t *made = NULL;

	return list(&made, machine, err) < 0 ? -1 : give(ret, made, err);
}

/* Those that this has published. */
static int list_published(char **ret, struct annex_machine *machine, const char *text, struct annex_error **err)
{
	auto_json json_t *all = NULL, *some = json_array();

	if (!some)
		return fail_memory(err);
	if (list(&all, machine, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *port = json_array_get(all, i);

		if (text_equal(text_of(port, "publish"), text) && json_array_append(some, port) < 0)
			return fail_memory(err);
	}
	return give(ret, some, err);
}

API int annex_machine_publish(char **ret_ports, struct annex_machine *machine, const char *port,
			      struct annex_error **err)
{
	auto_link struct link *link = NULL;
	auto_free char *text = NULL;
	struct publish publish;

	if (publish_parse(&publish, port, err) < 0)
		return -1;
	text = publish_text(&publish);
	if (!text)
		return fail_memory(err);
	if (change_open(&link, machine, err) < 0 || request_publish(link, text, false, err) < 0)
		return -1;
	return ret_ports ? list_published(ret_ports, machine, text, err) : 0;
}

API int annex_machine_unpublish(struct annex_machine *machine, const char *port, struct annex_error **err)
{
	auto_link struct link *link = NULL;
	struct publish_pattern pattern;

	if (publish_pattern_parse(&pattern, port, err) < 0 || change_open(&link, machine, err) < 0)
		return -1;
	return request_unpublish(link, port, false, err);
}
