#include "network/control.h"

#include "network/address.h"

#include <string.h>

#define FLAGS (NETWORK_ETHERNET | NETWORK_HOST_ACCESS | NETWORK_ISOLATED | NETWORK_PASST | NETWORK_NO_UPLINK)

int network_control_encode(struct text *ret, enum message_kind kind, const void *body, struct annex_error **err)
{
	int result = message_put(ret, kind, 0, body);

	if (result == -EMSGSIZE)
		return fail(err, ANNEX_ERROR_USAGE, "what is to be said to annex-network takes more than %u MiB",
			    MESSAGE_MAX >> 20);
	return result < 0 ? fail_memory(err) : 0;
}

bool network_setup_has_ethernet(const struct message_network_setup *setup)
{
	return setup->flags & NETWORK_ETHERNET;
}

bool network_setup_has_ports(const struct message_network_setup *setup)
{
	return setup->marker.size > 0;
}

static bool setup_makes_sense(const struct message_network_setup *setup)
{
	if (!*setup->name || setup->flags & ~(unsigned)FLAGS || !place_is_valid(setup->address))
		return false;
	if (*setup->folder && *setup->folder != '/')
		return false;
	return setup->marker.size == 0 || setup->marker.size == WIRE_MARKER;
}

static bool is_request(unsigned kind)
{
	return kind >= MESSAGE_NETWORK_SETUP && kind <= MESSAGE_NETWORK_RESOLVE && kind != MESSAGE_NETWORK_LISTED;
}

static bool count_fits(const struct network_request *request, unsigned fd_count)
{
	const struct message_network_setup *setup = &request->body.setup;

	if (request->kind == MESSAGE_NETWORK_UPLINK)
		return fd_count <= 1;
	if (request->kind == MESSAGE_NETWORK_SETUP)
		return fd_count == 0 || fd_count == (unsigned)network_setup_has_ethernet(setup) +
							    (unsigned)network_setup_has_ports(setup);
	return fd_count == 0;
}

int network_control_decode(struct network_request *ret, const struct message *message, unsigned fd_count,
			   struct annex_error **err)
{
	auto_network_request struct network_request request = {0};
	int result;

	if (!is_request(message->kind) || message->stream != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "a message that is no request");
	result = message_get(&request.body, message->kind, message->payload, message->size);
	if (result == -ENOMEM)
		return fail_memory(err);
	if (result == 0)
		request.kind = message->kind;
	if (result < 0 || (request.kind == MESSAGE_NETWORK_SETUP && !setup_makes_sense(&request.body.setup)))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s makes no sense", message_name(message->kind));
	if (!count_fits(&request, fd_count))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s with %u descriptors", message_name(message->kind), fd_count);
	*ret = request;
	request = (struct network_request){0};
	return 0;
}

void network_request_clear(struct network_request *request)
{
	if (request->kind)
		message_clear(&request->body, request->kind);
}

static bool is_clean(const char *text)
{
	size_t size = strlen(text);

	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return false;
	return size <= NETWORK_PORT_TEXT_LIMIT && text_is_utf8(text, size);
}

int network_control_decode_listed(struct message_network_listed *ret, const struct message *message,
				  struct annex_error **err)
{
	struct message_network_listed listed;
	int result = message->kind == MESSAGE_NETWORK_LISTED && message->stream == 0 ? 0 : -EPROTO;

	if (result == 0)
		result = message_get(&listed, MESSAGE_NETWORK_LISTED, message->payload, message->size);
	if (result == -ENOMEM)
		return fail_memory(err);
	if (result < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "a list of ports that is none");
	for (size_t i = 0; listed.ports[i]; i++) {
		if (is_clean(listed.ports[i]))
			continue;
		message_clear(&listed, MESSAGE_NETWORK_LISTED);
		return fail(err, ANNEX_ERROR_CORRUPT, "a list of ports that is none");
	}
	*ret = listed;
	return 0;
}
