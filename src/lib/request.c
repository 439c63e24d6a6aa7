#include "lib/request.h"

#include "lib/link.h"
#include "machine/session.h"
#include "network/port.h"

#include <string.h>

enum {
	REQUEST_MS = 300000, /* for a machine to mount something, slow as it may be */
	PORTS_MS = 30000,    /* longer than a machine is waited for */
	APPLY_MS = 3600000,  /* the supervisor sees to it that it ends */
};

static int request(struct link *link, enum message_kind kind, const void *body, struct annex_error **err)
{
	int result = link_ask(link, kind, body, err);
	struct message message;

	if (result == 0)
		result = link_expect(link, &message, MESSAGE_DONE, REQUEST_MS, err);
	if (result == 0)
		return fail(err, ANNEX_ERROR_GUEST, "the machine has stopped meanwhile");
	return result < 0 ? -1 : 0;
}

static int take_sessions(struct session_list *list, const struct message *message, struct annex_error **err)
{
	struct message_sessions told;
	int result = message_get(&told, MESSAGE_SESSIONS, message->payload, message->size) < 0 ? -1 : 0;

	if (result < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "the supervisor sent a list of sessions that is malformed");
	for (const char *const *text = told.sessions; *text && result == 0; text++) {
		struct session_record record = {0};
		auto_json json_t *value = NULL;

		result = json_parse(&value, *text, strlen(*text), "session", err);
		if (result == 0)
			result = session_record_decode(&record, value, "session", err);
		if (result == 0)
			result = session_list_add(list, &record, err);
	}
	message_clear(&told, MESSAGE_SESSIONS);
	return result;
}

int request_sessions(struct link *link, struct session_list *ret, struct annex_error **err)
{
	auto_session_list struct session_list list = {0};
	struct message message = {0};
	int result = link_ask(link, MESSAGE_LIST_SESSIONS, NULL, err);

	if (result == 0)
		result = link_expect(link, &message, MESSAGE_SESSIONS, LINK_ANSWER_MS, err);
	if (result > 0 && take_sessions(&list, &message, err) < 0)
		return -1;
	if (result < 0)
		return -1;
	*ret = list;
	list = (struct session_list){0};
	return 0;
}

int request_kill(struct link *link, const char *id, unsigned signal, struct annex_error **err)
{
	return request(link, MESSAGE_KILL, &(struct message_kill){id, signal}, err);
}

int request_mount(struct link *link, const char *volume, bool kept, struct annex_error **err)
{
	return request(link, MESSAGE_MOUNT, &(struct message_mount){volume, kept}, err);
}

int request_umount(struct link *link, const char *target, bool force, bool kept, struct annex_error **err)
{
	return request(link, MESSAGE_UMOUNT, &(struct message_umount){target, force, kept}, err);
}

int request_apply(struct link *link, const char *const *settings, struct annex_error **err)
{
	int result = link_ask(link, MESSAGE_APPLY, &(struct message_apply){settings}, err);
	struct message message;

	if (result == 0)
		result = link_expect(link, &message, MESSAGE_DONE, APPLY_MS, err);
	return result < 0 ? -1 : 0;
}

int request_publish(struct link *link, const char *port, bool kept, struct annex_error **err)
{
	return request(link, MESSAGE_PUBLISH, &(struct message_publish){port, kept}, err);
}

int request_unpublish(struct link *link, const char *port, bool kept, struct annex_error **err)
{
	return request(link, MESSAGE_UNPUBLISH, &(struct message_unpublish){port, kept}, err);
}

static int take_ports(json_t *list, const struct message *message, struct annex_error **err)
{
	struct message_ports told;
	int result = message_get(&told, MESSAGE_PORTS, message->payload, message->size) < 0 ? -1 : 0;

	if (result < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "the supervisor sent a list of ports that is malformed");
	for (const char *const *text = told.ports; *text && result == 0; text++) {
		auto_port struct port port = {0};
		auto_json json_t *value = NULL;

		result = json_parse(&value, *text, strlen(*text), "port", err);
		if (result == 0)
			result = port_decode(&port, value, "port", err);
		/* As it is understood: nothing that a stranger added. */
		if (result == 0 && json_array_append_new(list, port_encode(&port)) < 0)
			result = fail_memory(err);
	}
	message_clear(&told, MESSAGE_PORTS);
	return result;
}

int request_ports(struct link *link, json_t **ret, struct annex_error **err)
{
	auto_json json_t *list = json_array();
	struct message message = {0};
	int result = link_ask(link, MESSAGE_LIST_PORTS, NULL, err);

	if (!list)
		return fail_memory(err);
	if (result == 0)
		result = link_expect(link, &message, MESSAGE_PORTS, PORTS_MS, err);
	if (result > 0 && take_ports(list, &message, err) < 0)
		return -1;
	if (result < 0)
		return -1;
	*ret = TAKE(list);
	return 0;
}
