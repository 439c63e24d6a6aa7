#include "network/hub.h"

#include "base/log.h"
#include "base/time.h"
#include "network/cable.h"
#include "network/control.h"
#include "network/dns.h"
#include "network/gateway.h"
#include "network/inlet.h"
#include "network/nat.h"
#include "network/passt.h"
#include "network/policy.h"
#include "network/ports.h"
#include "network/switch.h"
#include "network/way.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

enum { ROUTE6_MS = 2000 };

struct hub {
	struct loop *loop;
	uint32_t flags;
	struct local *local;
	struct policy *policy;
	struct dns *dns;
	struct network_switch *sw; /* NULL: no other machine can be reached */
	struct gateway *gateway;   /* NULL, as what follows: the machine has no network interface */
	struct cable *cable;
	struct nat *nat;
	struct inlet *inlet;
	struct passt *passt;
	uint64_t route6_until; /* until then `route6` is what was seen last */
	bool route6;
	struct ports *ports;       /* NULL, as what follows: the machine has no link for ports */
	struct listener *listener; /* NULL until the ports are there */
};

/* --- frames --- */

static void on_frame(const uint8_t *frame, size_t size, void *data)
{
	const struct hub *hub = data;

	gateway_take(hub->gateway, frame, size);
}

static void on_batch(void *data)
{
	const struct hub *hub = data;

	gateway_settle(hub->gateway);
}

static void on_full(bool full, void *data)
{
	const struct hub *hub = data;

	gateway_hold(hub->gateway, full);
	if (hub->sw)
		switch_hold(hub->sw, full);
}

static const struct cable_callbacks cable_callbacks = {.on_frame = on_frame, .on_batch = on_batch, .on_full = on_full};

static void deliver(const uint8_t *header, size_t header_size, const uint8_t *rest, size_t size, void *data)
{
	const struct hub *hub = data;

	if (hub->cable)
		cable_send(hub->cable, header, header_size, rest, size);
}

static bool allows(const struct packet *packet, void *data)
{
	const struct hub *hub = data;

	return policy_allows(hub->policy, packet);
}

static void resolve(const uint8_t *message, size_t size, uint64_t from, void *data)
{
	const struct hub *hub = data;

	dns_query(hub->dns, message, size, from);
}

/* passt has no IPv6 on hosts without a way outside by it: what is sent there just disappears. The address is one of the
 * documentation's: nothing is sent. */
static bool carries6(void *data)
{
	const struct sockaddr_in6 address = {
		.sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = {{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}}}};
	struct hub *hub = data;
	uint64_t now = time_monotonic_ms();

	if (!hub->passt || now < hub->route6_until)
		return !hub->passt || hub->route6;
	{
		auto_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		hub->route6 = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	}
	hub->route6_until = now + ROUTE6_MS;
	return hub->route6;
}

static bool has(uint32_t place, void *data)
{
	const struct hub *hub = data;

	return hub->sw && switch_has(hub->sw, place);
}

static void pass(const struct packet *packet, void *data)
{
	const struct hub *hub = data;

	if (hub->sw)
		switch_send(hub->sw, packet);
}

static const struct gateway_ways ways = {
	.deliver = deliver, .allows = allows, .resolve = resolve, .carries6 = carries6, .has = has, .pass = pass};

static void on_outside(const uint8_t *frame, size_t size, void *data)
{
	const struct hub *hub = data;

	gateway_give(hub->gateway, frame, size);
}

static void on_peer(const struct packet *packet, void *data)
{
	const struct hub *hub = data;

	if (hub->gateway)
		gateway_give_peer(hub->gateway, packet);
}

static void on_passt_gone(void *data)
{
	struct hub *hub = data;

	log_debug("passt has gone");
	gateway_set_outside(hub->gateway, NULL);
	passt_free(TAKE(hub->passt));
}

static const struct passt_callbacks passt_callbacks = {.deliver = on_outside, .on_gone = on_passt_gone};

/* --- the resolver --- */

static bool find(uint32_t *ret, const char *name, void *data)
{
	const struct hub *hub = data;

	return hub->sw && switch_find(ret, hub->sw, name);
}

static bool name_of(char ret[DNS_NAME_SIZE], uint32_t place, void *data)
{
	const struct hub *hub = data;
	auto_text_list struct text_list names = {0};

	if (!has(place, data) || switch_list(&names, hub->sw, NULL) < 0)
		return false;
	for (size_t i = 0; i < names.count; i++) {
		uint32_t found = 0;

		if (!switch_find(&found, hub->sw, names.items[i]) || found != place ||
		    strlen(names.items[i]) >= DNS_NAME_SIZE)
			continue;
		memcpy(ret, names.items[i], strlen(names.items[i]) + 1);
		return true;
	}
	return false;
}

static void reply(uint64_t from, const uint8_t *message, size_t size, void *data)
{
	const struct hub *hub = data;

	gateway_reply(hub->gateway, message, size, from);
}

static bool is_ours(struct in_addr address, uint16_t port, void *data)
{
	const struct hub *hub = data;

	return nat_owns(hub->nat, address, port);
}

static void serve(int fd, void *data)
{
	const struct hub *hub = data;

	dns_serve(hub->dns, fd);
}

static const struct inlet_callbacks inlet_callbacks = {.admits = is_ours, .serve = serve};

/* --- ports --- */

static void on_listening(const struct port_socket *sockets, size_t count, void *data)
{
	const struct hub *hub = data;

	if (hub->listener)
		listener_set_listening(hub->listener, sockets, count);
}

static const struct ports_callbacks ports_callbacks = {.on_listening = on_listening};

/* Takes the link. */
static int open_ports(struct hub *hub, const struct message_network_setup *setup, int fd, struct annex_error **err)
{
	struct listener_options options = {
		.name = setup->name, .place = setup->address, .uid = setup->uid, .way = &way_ports};
	int result = ports_new(&hub->ports, hub->loop, fd, setup->marker.bytes, &ports_callbacks, hub);

	if (result < 0)
		return fail_os(err, result, "cannot watch the link of the machine's ports");
	options.ports = hub->ports;
	return listener_new(&hub->listener, hub->loop, &options, err);
}

/* --- its life --- */

static int open_policy(struct hub *hub, const struct message_network_setup *setup, struct annex_error **err)
{
	const struct policy_options options = {.flags = setup->flags, .allow = setup->allow, .local = hub->local};

	return policy_new(&hub->policy, &options, err);
}

static int open_dns(struct hub *hub, const struct message_network_setup *setup, struct annex_error **err)
{
	const struct dns_options options = {.policy = hub->policy,
					    .name = setup->name,
					    .place = setup->address,
					    .find = find,
					    .name_of = name_of,
					    .reply = reply,
					    .data = hub};

	return dns_new(&hub->dns, hub->loop, &options, err);
}

static int open_nat(struct hub *hub, uint32_t place, struct annex_error **err)
{
	struct nat_options options = {.place = place, .deliver = on_outside, .data = hub};

	if (inlet_new(&hub->inlet, hub->loop, &inlet_callbacks, hub, err) < 0)
		return -1;
	options.resolver = inlet_port(hub->inlet);
	return nat_new(&hub->nat, hub->loop, &options, err);
}

static int open_ethernet(struct hub *hub, const struct message_network_setup *setup, int *fd, struct annex_error **err)
{
	struct gateway_options options = {.place = setup->address, .ways = &ways, .data = hub};
	int result;

	if (local_new(&hub->local, hub->loop, err) < 0 || open_policy(hub, setup, err) < 0 ||
	    open_dns(hub, setup, err) < 0)
		return -1;
	options.host_access = policy_has_host_access(hub->policy);
	if (gateway_new(&hub->gateway, &options, err) < 0 || open_nat(hub, setup->address, err) < 0)
		return -1;
	gateway_set_host(hub->gateway, nat_uplink(hub->nat), nat_uplink(hub->nat));
	if (!(setup->flags & (NETWORK_PASST | NETWORK_NO_UPLINK)))
		gateway_set_outside(hub->gateway, nat_uplink(hub->nat));
	if (*setup->folder &&
	    switch_new(&hub->sw, hub->loop, setup->folder, setup->address, setup->name, on_peer, hub, err) < 0)
		return -1;
	result = cable_new(&hub->cable, hub->loop, *fd, &cable_callbacks, hub);
	if (result < 0)
		return fail_os(err, result, "cannot watch the machine's network interface");
	(void)TAKE_FD(*fd);
	return 0;
}

int hub_new(struct hub **ret, struct loop *loop, const struct message_network_setup *setup, int ethernet, int ports,
	    struct annex_error **err)
{
	auto_hub struct hub *hub = calloc(1, sizeof(*hub));
	auto_close int own_ethernet = ethernet;
	auto_close int own_ports = ports;

	if (!hub)
		return fail_memory(err);
	hub->loop = loop;
	hub->flags = setup->flags;
	if (network_setup_has_ethernet(setup) && open_ethernet(hub, setup, &own_ethernet, err) < 0)
		return -1;
	if (network_setup_has_ports(setup) && open_ports(hub, setup, TAKE_FD(own_ports), err) < 0)
		return -1;
	*ret = TAKE(hub);
	return 0;
}

void hub_free(struct hub *hub)
{
	if (!hub)
		return;
	listener_free(TAKE(hub->listener));
	ports_free(hub->ports);
	cable_free(hub->cable);
	hub->cable = NULL;
	switch_free(hub->sw);
	dns_free(hub->dns);
	policy_free(hub->policy);
	local_free(hub->local);
	passt_free(hub->passt);
	inlet_free(hub->inlet);
	nat_free(hub->nat);
	gateway_free(hub->gateway);
	free(hub);
}

/* --- requests --- */

int hub_change(struct hub *hub, const struct message_network_setup *setup, struct annex_error **err)
{
	if (!hub->gateway)
		return 0;
	if (policy_update(hub->policy, setup->flags, setup->allow, err) < 0)
		return -1;
	gateway_set_host_access(hub->gateway, policy_has_host_access(hub->policy));
	return 0;
}

int hub_set_uplink(struct hub *hub, int passt, struct annex_error **err)
{
	auto_close int fd = passt;
	struct passt *made = NULL;
	int result;

	if (!hub->gateway || hub->flags & NETWORK_NO_UPLINK)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "nothing of this machine goes outside");
	if (fd >= 0) {
		result = passt_new(&made, hub->loop, fd, &passt_callbacks, hub);
		if (result < 0)
			return fail_os(err, result, "cannot watch passt");
		(void)TAKE_FD(fd);
	}
	gateway_set_host(hub->gateway, made ? NULL : nat_uplink(hub->nat), nat_uplink(hub->nat));
	gateway_set_outside(hub->gateway, made ? passt_uplink(made) : nat_uplink(hub->nat));
	passt_free(hub->passt);
	hub->passt = made;
	return 0;
}

int hub_resolve(struct hub *hub, const struct message_network_resolve *resolve_, struct annex_error **err)
{
	if (hub->dns && dns_set_upstream(hub->dns, resolve_) < 0)
		return fail_memory(err);
	return 0;
}

static int no_ports(struct annex_error **err)
{
	return fail(err, ANNEX_ERROR_UNSUPPORTED, "the machine has no link for ports");
}

int hub_publish(struct hub *hub, const char *port, struct annex_error **err)
{
	return hub->listener ? listener_publish(hub->listener, port, err) : no_ports(err);
}

int hub_unpublish(struct hub *hub, const char *port, struct annex_error **err)
{
	return hub->listener ? listener_unpublish(hub->listener, port, err) : no_ports(err);
}

int hub_list(struct hub *hub, listener_list_fn *fn, void *data, struct annex_error **err)
{
	if (hub->listener)
		return listener_list(hub->listener, fn, data, err);
	fn((const char *const[]){NULL}, data);
	return 0;
}
