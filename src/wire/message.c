/*
 * Messages are rows of fields. On the wire a number is little-endian in its full width; a text is u32 length (with its
 * NUL) and the bytes; a list is u32 count and its texts; bytes are u32 length and the bytes. The NUL travels with the
 * text so that decoding copies nothing.
 */
#include "wire/message.h"

#include <assert.h>
#include <string.h>

enum field_type { FIELD_U32, FIELD_U64, FIELD_TEXT, FIELD_LIST, FIELD_BYTES };

struct field {
	enum field_type type;
	size_t offset;
};

#define U32(body, name)                                          \
	{                                                        \
		FIELD_U32, offsetof(struct message_##body, name) \
	}
#define U64(body, name)                                          \
	{                                                        \
		FIELD_U64, offsetof(struct message_##body, name) \
	}
#define TEXT(body, name)                                          \
	{                                                         \
		FIELD_TEXT, offsetof(struct message_##body, name) \
	}
#define BYTES(body, name)                                          \
	{                                                          \
		FIELD_BYTES, offsetof(struct message_##body, name) \
	}
#define LIST(body, name)                                          \
	{                                                         \
		FIELD_LIST, offsetof(struct message_##body, name) \
	}

static const struct field hello[] = {U32(hello, version), TEXT(hello, who)};
static const struct field failure[] = {U32(failure, kind), U32(failure, os), TEXT(failure, message),
				       TEXT(failure, hint)};
static const struct field stop[] = {U64(stop, timeout_ms)};
static const struct field mount[] = {TEXT(mount, volume), U32(mount, kept)};
static const struct field umount[] = {TEXT(umount, target), U32(umount, force), U32(umount, kept)};
static const struct field apply[] = {LIST(apply, settings)};
static const struct field kill_fields[] = {TEXT(kill, id), U32(kill, signal)};
static const struct field sessions[] = {LIST(sessions, sessions)};
static const struct field state[] = {
	U32(state, state),        TEXT(state, waiting), TEXT(state, failure),     TEXT(state, hint),
	U32(state, failure_kind), U32(state, pid),      U32(state, vm_pid),       U32(state, cpus),
	U64(state, memory),       U64(state, started),  TEXT(state, accelerator), TEXT(state, settings),
	TEXT(state, shares),      U32(state, restarts), TEXT(state, reasons),     TEXT(state, network),
};
static const struct field usage[] = {
	U32(usage, known),
	U32(usage, state),
	U32(usage, cpus),
	U32(usage, sessions),
	U64(usage, started),
	U64(usage, at_ns),
	U64(usage, cpu_ns),
	U64(usage, resident),
	U64(usage, memory),
	U64(usage, disk_read),
	U64(usage, disk_written),
	U64(usage, memory_total),
	U64(usage, memory_available),
	U64(usage, disk_size),
	U64(usage, disk_used),
	U64(usage, received),
	U64(usage, sent),
	U64(usage, tasks),
	U64(usage, load),
};
static const struct field config[] = {
	TEXT(config, hostname),
	TEXT(config, machine_id),
	TEXT(config, user_name),
	U32(config, uid),
	U32(config, gid),
	TEXT(config, group_name),
	TEXT(config, home),
	TEXT(config, shell),
	LIST(config, environment),
	TEXT(config, init),
	LIST(config, init_argv),
	U32(config, stop_signal),
	TEXT(config, network),
	TEXT(config, address),
	TEXT(config, gateway),
	TEXT(config, dns),
	U64(config, realtime_ns),
	U32(config, deadline_factor),
	U32(config, debug),
	LIST(config, shares),
	U32(config, image_environment),
	TEXT(config, time_zone),
	TEXT(config, time_zone_rule),
	U32(config, service),
	TEXT(config, service_user),
	TEXT(config, service_folder),
	TEXT(config, address6),
	TEXT(config, gateway6),
	TEXT(config, dns6),
	U32(config, mtu),
	TEXT(config, domain),
	LIST(config, search),
	BYTES(config, marker),
	U32(config, trust),
	BYTES(config, certificates),
	LIST(config, proxies),
};
static const struct field names[] = {LIST(names, search)};
static const struct field mark[] = {BYTES(mark, marker)};
static const struct field publish[] = {TEXT(publish, port), U32(publish, kept)};
static const struct field unpublish[] = {TEXT(unpublish, port), U32(unpublish, kept)};
static const struct field ports[] = {LIST(ports, ports)};
static const struct field bind_fields[] = {TEXT(bind, share)};
static const struct field unbind[] = {TEXT(unbind, target), U32(unbind, force)};
static const struct field bound[] = {U32(bound, kind), U32(bound, os), TEXT(bound, message), TEXT(bound, hint)};
static const struct field adjust[] = {U32(adjust, what), U64(adjust, value)};
static const struct field adjusted[] = {U32(adjusted, kind), U32(adjusted, os), TEXT(adjusted, message),
					TEXT(adjusted, hint), U64(adjusted, value)};
static const struct field shutdown[] = {U64(shutdown, timeout_ms)};
static const struct field clock_fields[] = {U64(clock, realtime_ns), U64(clock, slew_ns)};
static const struct field waiting[] = {TEXT(waiting, what)};
static const struct field ready[] = {TEXT(ready, init)};
static const struct field halted[] = {U32(halted, reason), TEXT(halted, text)};
static const struct field measured[] = {
	U64(measured, realtime_ns),  U32(measured, disciplined),
	U64(measured, memory_total), U64(measured, memory_available),
	U64(measured, disk_size),    U64(measured, disk_used),
	U64(measured, received),     U64(measured, sent),
	U64(measured, tasks),        U64(measured, load),
};
static const struct field open_fields[] = {
	U32(open, flags),           LIST(open, argv),      LIST(open, environment),
	TEXT(open, user),           TEXT(open, folder),    U32(open, rows),
	U32(open, columns),         LIST(open, forwards),  LIST(open, login),
	TEXT(open, time_zone_rule), BYTES(open, terminfo),
};
static const struct field resize[] = {U32(resize, rows), U32(resize, columns)};
static const struct field signal_fields[] = {U32(signal, number), U32(signal, all)};
static const struct field opened[] = {TEXT(opened, id)};
static const struct field exit_fields[] = {U32(exit, status), U32(exit, signal)};
static const struct field credit[] = {U32(credit, channel), U32(credit, bytes)};
static const struct field connect_fields[] = {U32(connect, connection), U32(connect, forward)};
static const struct field disconnect[] = {U32(disconnect, connection)};
static const struct field share_setup[] = {U32(share_setup, queues), U32(share_setup, workers),
					   U32(share_setup, number), U32(share_setup, uid), U32(share_setup, gid)};
static const struct field share_add[] = {TEXT(share_add, name), U32(share_add, read_only), U32(share_add, cache),
					 LIST(share_add, masks)};
static const struct field share_remove[] = {TEXT(share_remove, name)};
static const struct field share_join[] = {U32(share_join, number), TEXT(share_join, name)};
static const struct field share_leave[] = {U32(share_leave, number)};
static const struct field network_setup[] = {
	TEXT(network_setup, name), TEXT(network_setup, folder), U32(network_setup, address),  U32(network_setup, flags),
	U32(network_setup, uid),   LIST(network_setup, allow),  BYTES(network_setup, marker),
};
static const struct field network_listed[] = {LIST(network_listed, ports)};
static const struct field network_resolve[] = {LIST(network_resolve, servers), LIST(network_resolve, hosts)};
static const struct field port_connect[] = {U32(port_connect, connection), U32(port_connect, protocol),
					    TEXT(port_connect, address), U32(port_connect, port)};
static const struct field port_listening[] = {LIST(port_listening, sockets)};

#define TYPE(kind, body, rows)                                                       \
	{                                                                            \
		(kind), #kind, sizeof(struct message_##body), (rows), COUNT_OF(rows) \
	}
#define BARE(kind)                        \
	{                                 \
		(kind), #kind, 0, NULL, 0 \
	}

static const struct type {
	enum message_kind kind;
	const char *name;
	size_t size;
	const struct field *fields;
	size_t count;
} types[] = {
	TYPE(MESSAGE_HELLO, hello, hello),
	TYPE(MESSAGE_FAILURE, failure, failure),
	BARE(MESSAGE_WATCH),
	BARE(MESSAGE_START),
	TYPE(MESSAGE_STOP, stop, stop),
	TYPE(MESSAGE_MOUNT, mount, mount),
	TYPE(MESSAGE_UMOUNT, umount, umount),
	TYPE(MESSAGE_APPLY, apply, apply),
	BARE(MESSAGE_LIST_SESSIONS),
	TYPE(MESSAGE_KILL, kill, kill_fields),
	BARE(MESSAGE_STATS),
	TYPE(MESSAGE_STATE, state, state),
	BARE(MESSAGE_DONE),
	TYPE(MESSAGE_SESSIONS, sessions, sessions),
	TYPE(MESSAGE_USAGE, usage, usage),
	TYPE(MESSAGE_CONFIG, config, config),
	TYPE(MESSAGE_ADJUST, adjust, adjust),
	TYPE(MESSAGE_ADJUSTED, adjusted, adjusted),
	TYPE(MESSAGE_SHUTDOWN, shutdown, shutdown),
	TYPE(MESSAGE_CLOCK, clock, clock_fields),
	TYPE(MESSAGE_BIND, bind, bind_fields),
	TYPE(MESSAGE_UNBIND, unbind, unbind),
	BARE(MESSAGE_MEASURE),
	TYPE(MESSAGE_WAITING, waiting, waiting),
	TYPE(MESSAGE_READY, ready, ready),
	TYPE(MESSAGE_HALTED, halted, halted),
	BARE(MESSAGE_LOG),
	TYPE(MESSAGE_BOUND, bound, bound),
	TYPE(MESSAGE_MEASURED, measured, measured),
	TYPE(MESSAGE_OPEN, open, open_fields),
	BARE(MESSAGE_INPUT),
	TYPE(MESSAGE_RESIZE, resize, resize),
	TYPE(MESSAGE_SIGNAL, signal, signal_fields),
	BARE(MESSAGE_HANGUP),
	TYPE(MESSAGE_OPENED, opened, opened),
	BARE(MESSAGE_OUTPUT),
	BARE(MESSAGE_ERRORS),
	TYPE(MESSAGE_EXIT, exit, exit_fields),
	TYPE(MESSAGE_CREDIT, credit, credit),
	TYPE(MESSAGE_CONNECT, connect, connect_fields),
	BARE(MESSAGE_TRANSFER),
	TYPE(MESSAGE_DISCONNECT, disconnect, disconnect),
	TYPE(MESSAGE_SHARE_SETUP, share_setup, share_setup),
	TYPE(MESSAGE_SHARE_ADD, share_add, share_add),
	TYPE(MESSAGE_SHARE_REMOVE, share_remove, share_remove),
	BARE(MESSAGE_SHARE_SERVE),
	TYPE(MESSAGE_SHARE_JOIN, share_join, share_join),
	TYPE(MESSAGE_SHARE_LEAVE, share_leave, share_leave),
	BARE(MESSAGE_LIST_PORTS),
	TYPE(MESSAGE_PUBLISH, publish, publish),
	TYPE(MESSAGE_UNPUBLISH, unpublish, unpublish),
	TYPE(MESSAGE_PORTS, ports, ports),
	TYPE(MESSAGE_NAMES, names, names),
	TYPE(MESSAGE_MARK, mark, mark),
	TYPE(MESSAGE_NETWORK_SETUP, network_setup, network_setup),
	BARE(MESSAGE_NETWORK_SERVE),
	BARE(MESSAGE_NETWORK_UPLINK),
	TYPE(MESSAGE_NETWORK_PUBLISH, publish, publish),
	TYPE(MESSAGE_NETWORK_UNPUBLISH, unpublish, unpublish),
	BARE(MESSAGE_NETWORK_LIST),
	TYPE(MESSAGE_NETWORK_LISTED, network_listed, network_listed),
	TYPE(MESSAGE_NETWORK_RESOLVE, network_resolve, network_resolve),
	TYPE(MESSAGE_PORT_CONNECT, port_connect, port_connect),
	BARE(MESSAGE_PORT_SCAN),
	TYPE(MESSAGE_PORT_LISTENING, port_listening, port_listening),
	BARE(MESSAGE_PORT_DATAGRAM),
};

static const struct type *find(unsigned kind)
{
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (types[i].kind == kind)
			return &types[i];
	}
	return NULL;
}

const char *message_name(unsigned kind)
{
	const struct type *type = find(kind);

	return type ? type->name + strlen("MESSAGE_") : "?";
}

static void put_number(struct text *out, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		text_add_char(out, (char)(value >> (8 * i)));
}

static void put_text(struct text *out, const char *text)
{
	size_t size = strlen(text ? text : "") + 1;

	put_number(out, size, 4);
	text_add_bytes(out, text ? text : "", size);
}

static void put_list(struct text *out, const char *const *list)
{
	size_t count = 0;

	while (list && list[count])
		count++;
	put_number(out, count, 4);
	for (size_t i = 0; i < count; i++)
		put_text(out, list[i]);
}

static void put_bytes(struct text *out, const struct message_bytes *bytes)
{
	put_number(out, bytes->size, 4);
	text_add_bytes(out, bytes->size ? bytes->bytes : "", bytes->size);
}

static void put_field(struct text *out, const struct field *field, const void *body)
{
	const char *at = (const char *)body + field->offset;

	switch (field->type) {
	case FIELD_U32:
		put_number(out, *(const uint32_t *)(const void *)at, 4);
		break;
	case FIELD_U64:
		put_number(out, *(const uint64_t *)(const void *)at, 8);
		break;
	case FIELD_TEXT:
		put_text(out, *(const char *const *)(const void *)at);
		break;
	case FIELD_LIST:
		put_list(out, *(const char *const *const *)(const void *)at);
		break;
	case FIELD_BYTES:
		put_bytes(out, (const struct message_bytes *)(const void *)at);
		break;
	}
}

static void put_frame(struct text *out, unsigned kind, uint16_t stream, const char *payload, size_t size)
{
	uint8_t header[FRAME_HEADER];

	frame_put_header(header, (uint16_t)kind, stream, size);
	text_add_bytes(out, header, sizeof(header));
	text_add_bytes(out, payload, size);
}

int message_put(struct text *out, enum message_kind kind, uint16_t stream, const void *body)
{
	const struct type *type = find(kind);
	auto_text struct text payload = {0};

	assert(type && (body || type->count == 0));
	for (size_t i = 0; i < type->count; i++)
		put_field(&payload, &type->fields[i], body);
	if (!text_ok(&payload))
		return -ENOMEM;
	return message_forward(out, kind, stream, payload.data ? payload.data : "", payload.size);
}

int message_forward(struct text *out, enum message_kind kind, uint16_t stream, const void *payload, size_t size)
{
	const char *bytes = payload;
	size_t at = 0;

	if (size > MESSAGE_MAX)
		return -EMSGSIZE;
	for (; size - at > FRAME_PAYLOAD_MAX; at += FRAME_PAYLOAD_MAX)
		put_frame(out, kind | FRAME_MORE, stream, bytes + at, FRAME_PAYLOAD_MAX);
	put_frame(out, kind, stream, bytes + at, size - at);
	return text_ok(out) ? 0 : -ENOMEM;
}

int message_put_data(struct text *out, enum message_kind kind, uint16_t stream, const void *bytes, size_t size)
{
	put_frame(out, kind, stream, bytes, size);
	return text_ok(out) ? 0 : -ENOMEM;
}

/* What is left of a payload. */
struct cursor {
	const uint8_t *at;
	size_t left;
};

static int get_number(uint64_t *ret, struct cursor *in, unsigned bytes)
{
	if (in->left < bytes)
		return -EPROTO;
	*ret = 0;
	for (unsigned i = 0; i < bytes; i++)
		*ret |= (uint64_t)in->at[i] << (8 * i);
	in->at += bytes;
	in->left -= bytes;
	return 0;
}

static int get_text(const char **ret, struct cursor *in)
{
	uint64_t size = 0;

	if (get_number(&size, in, 4) < 0 || size < 1 || size > in->left)
		return -EPROTO;
	if (memchr(in->at, '\0', size) != in->at + size - 1)
		return -EPROTO;
	*ret = (const char *)in->at;
	in->at += size;
	in->left -= size;
	return 0;
}

static int get_list(const char ***ret, struct cursor *in)
{
	auto_free const char **list = NULL;
	uint64_t count = 0;

	/* A text takes at least five bytes, so the payload's size bounds what is allocated. */
	if (get_number(&count, in, 4) < 0 || count > MESSAGE_LIST_MAX || count > in->left / 5)
		return -EPROTO;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		if (get_text(&list[i], in) < 0)
			return -EPROTO;
	}
	*ret = TAKE(list);
	return 0;
}

static int get_bytes(struct message_bytes *ret, struct cursor *in)
{
	uint64_t size = 0;

	if (get_number(&size, in, 4) < 0 || size > in->left)
		return -EPROTO;
	*ret = (struct message_bytes){.bytes = in->at, .size = size};
	in->at += size;
	in->left -= size;
	return 0;
}

static int get_field(void *body, const struct field *field, struct cursor *in)
{
	void *at = (char *)body + field->offset;
	uint64_t value = 0;
	int result = 0;

	switch (field->type) {
	case FIELD_U32:
		result = get_number(&value, in, 4);
		*(uint32_t *)at = (uint32_t)value;
		return result;
	case FIELD_U64:
		return get_number(at, in, 8);
	case FIELD_TEXT:
		return get_text(at, in);
	case FIELD_LIST:
		return get_list(at, in);
	case FIELD_BYTES:
		return get_bytes(at, in);
	}
	return -EPROTO;
}

int message_get(void *body, enum message_kind kind, const uint8_t *payload, size_t size)
{
	const struct type *type = find(kind);
	struct cursor in = {payload, size};
	int result = 0;

	if (!type || type->count == 0)
		return type && size == 0 ? 0 : -EPROTO;
	memset(body, 0, type->size);
	for (size_t i = 0; i < type->count && result == 0; i++)
		result = get_field(body, &type->fields[i], &in);
	if (result == 0 && in.left > 0)
		result = -EPROTO;
	if (result < 0)
		message_clear(body, kind);
	return result;
}

void message_put_connection(uint8_t payload[TRANSFER_HEADER], uint32_t connection)
{
	for (unsigned i = 0; i < TRANSFER_HEADER; i++)
		payload[i] = (uint8_t)(connection >> (8 * i));
}

int message_get_connection(uint32_t *ret, const uint8_t *payload, size_t size)
{
	struct cursor in = {payload, size};
	uint64_t number = 0;

	if (get_number(&number, &in, TRANSFER_HEADER) < 0)
		return -EPROTO;
	*ret = (uint32_t)number;
	return 0;
}

void message_clear(void *body, enum message_kind kind)
{
	const struct type *type = find(kind);

	for (size_t i = 0; type && i < type->count; i++) {
		void *at = (char *)body + type->fields[i].offset;

		if (type->fields[i].type == FIELD_LIST) {
			free(*(void **)at);
			*(void **)at = NULL;
		}
	}
}

enum frame_result message_read(struct message_reader *reader, struct message *ret, const uint8_t *in, size_t size,
			       size_t *used)
{
	enum frame_result result;
	struct frame frame;
	size_t one = 0;

	*used = 0;
	if (reader->given) {
		reader->parts.size = 0;
		reader->given = false;
	}
	while ((result = frame_parse(&frame, in + *used, size - *used, &one)) == FRAME_READY) {
		*used += one;
		if (reader->partial && (frame.kind != reader->kind || frame.stream != reader->stream))
			return FRAME_BROKEN;
		*ret = (struct message){
			.kind = frame.kind, .stream = frame.stream, .payload = frame.payload, .size = frame.size};
		if (!frame.more && !reader->partial)
			return FRAME_READY;
		if (reader->parts.size + frame.size > MESSAGE_MAX)
			return FRAME_BROKEN;
		text_add_bytes(&reader->parts, frame.payload, frame.size);
		if (!text_ok(&reader->parts))
			return FRAME_BROKEN;
		reader->kind = frame.kind;
		reader->stream = frame.stream;
		reader->partial = frame.more;
		if (frame.more)
			continue;
		reader->given = true;
		ret->payload = (const uint8_t *)reader->parts.data;
		ret->size = reader->parts.size;
		return FRAME_READY;
	}
	return result;
}

void message_reader_clear(struct message_reader *reader)
{
	text_clear(&reader->parts);
	*reader = (struct message_reader){0};
}
