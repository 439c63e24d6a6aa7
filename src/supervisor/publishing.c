/*
 * annex-network answers in the order in which it is asked, so clients have their answers in that order too. What it
 * publishes is kept here for the next annex-network; what the record has gained or lost (`kept`) is in effect from then
 * on, so the settings in effect follow.
 */
#include "supervisor/publishing.h"

#include "base/log.h"
#include "machine/taken.h"
#include "network/publish.h"
#include "supervisor/clients.h"

#include <stdio.h>
#include <string.h>

struct publishing {
	struct supervisor *supervisor;
	struct network_process *process; /* NULL: there is none now */
	struct text_list texts;          /* as publish_text() has them */
	struct request *first;           /* those that wait for annex-network's answer */
	unsigned count;
};

struct request {
	struct request *next;
	struct publishing *publishing;
	const void *client; /* NULL: it is gone */
	char *text;
	bool kept;
};

static void request_free(struct request *request)
{
	struct publishing *publishing = request->publishing;

	for (struct request **at = &publishing->first; *at; at = &(*at)->next) {
		if (*at != request)
			continue;
		*at = request->next;
		publishing->count--;
		break;
	}
	free(request->text);
	free(request);
}

static void add_request(struct publishing *publishing, struct request *request)
{
	request->publishing = publishing;
	request->next = publishing->first;
	publishing->first = request;
	publishing->count++;
}

static void refuse(const struct publishing *publishing, const void *client, const struct annex_error *err)
{
	clients_answer(publishing->supervisor->clients, client, err);
}

/* NULL: the client has its answer. */
static struct request *request_new(struct publishing *publishing, const void *client, const char *text, bool kept)
{
	auto_error struct annex_error *err = NULL;
	struct request *request = NULL;

	if (!publishing->process)
		fail(&err, ANNEX_ERROR_BUSY, "the machine's network is being started anew");
	else if (publishing->count >= PUBLISHING_ASKED_MAX)
		fail(&err, ANNEX_ERROR_BUSY, "too many requests at once");
	else if (!(request = calloc(1, sizeof(*request))))
		fail_memory(&err);
	if (!request) {
		refuse(publishing, client, err);
		return NULL;
	}
	add_request(publishing, request);
	request->client = client;
	request->kept = kept;
	if (text_copy(&request->text, text) == 0)
		return request;
	fail_memory(&err);
	refuse(publishing, client, err);
	request_free(request);
	return NULL;
}

/* It was asked, or else the client has its answer. */
static void asked(struct request *request, int result, const struct annex_error *err)
{
	if (result == 0)
		return;
	refuse(request->publishing, request->client, err);
	request_free(request);
}

/* --- lists --- */

static void on_listed(const struct annex_error *refusal, const char *const *ports, void *data)
{
	struct request *request = data;
	struct clients *clients = request->publishing->supervisor->clients;

	if (refusal)
		clients_answer(clients, request->client, refusal);
	else
		clients_send(clients, request->client, MESSAGE_PORTS, 0, &(struct message_ports){ports});
	request_free(request);
}

void publishing_list(struct publishing *publishing, const void *client)
{
	auto_error struct annex_error *err = NULL;
	struct request *request = request_new(publishing, client, NULL, false);

	if (request)
		asked(request, network_process_list(publishing->process, on_listed, request, &err), err);
}

/* --- what is published --- */

static void keep(const struct request *request, const char *sign)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *pair = NULL;
	struct supervisor *supervisor = request->publishing->supervisor;

	if (!request->kept)
		return;
	if (asprintf(&pair, "publish=%s%s", sign, request->text) < 0)
		pair = NULL;
	if (!pair || settings_apply(&supervisor->record->settings, pair, &err) < 0)
		log_info("%s", err ? annex_error_message(err) : "out of memory");
	supervisor_on_changed(supervisor);
}

static int add_text(struct publishing *publishing, const char *text, struct annex_error **err)
{
	struct publish publish;
	auto_free char *plain = NULL;

	if (publish_parse(&publish, text, err) < 0)
		return -1;
	plain = publish_text(&publish);
	for (size_t i = 0; plain && i < publishing->texts.count; i++) {
		if (strcmp(publishing->texts.items[i], plain) == 0)
			return 0;
	}
	return !plain || text_list_add(&publishing->texts, plain) < 0 ? fail_memory(err) : 0;
}

static void on_added(const struct annex_error *refusal, const char *const *ports, void *data)
{
	auto_error struct annex_error *err = NULL;
	struct request *request = data;
	struct publishing *publishing = request->publishing;

	(void)ports;
	if (refusal)
		taken_refuse(&err, refusal, publishing->supervisor->paths, request->text, request->kept);
	else if (add_text(publishing, request->text, &err) == 0)
		keep(request, "");
	clients_answer(publishing->supervisor->clients, request->client, err);
	request_free(request);
}

void publishing_add(struct publishing *publishing, const void *client, const char *port, bool kept)
{
	auto_error struct annex_error *err = NULL;
	struct request *request = request_new(publishing, client, port, kept);

	if (request)
		asked(request, network_process_publish(publishing->process, port, on_added, request, &err), err);
}

static void remove_texts(struct publishing *publishing, const char *text)
{
	struct text_list *texts = &publishing->texts;
	struct publish_pattern pattern;

	if (publish_pattern_parse(&pattern, text, NULL) < 0)
		return;
	for (size_t i = texts->count; i > 0; i--) {
		struct publish publish;

		if (publish_parse(&publish, texts->items[i - 1], NULL) < 0 || !publish_matches(&pattern, &publish))
			continue;
		free(texts->items[i - 1]);
		memmove(&texts->items[i - 1], &texts->items[i], (texts->count - i + 1) * sizeof(*texts->items));
		texts->count--;
	}
}

/* What the record has lost may have been taken away before, for now. */
static void on_removed(const struct annex_error *refusal, const char *const *ports, void *data)
{
	struct request *request = data;

	(void)ports;
	if (refusal && request->kept && annex_error_kind(refusal) == ANNEX_ERROR_NOT_FOUND)
		refusal = NULL;
	if (!refusal) {
		remove_texts(request->publishing, request->text);
		keep(request, "-");
	}
	clients_answer(request->publishing->supervisor->clients, request->client, refusal);
	request_free(request);
}

void publishing_remove(struct publishing *publishing, const void *client, const char *port, bool kept)
{
	auto_error struct annex_error *err = NULL;
	struct request *request = request_new(publishing, client, port, kept);

	if (request)
		asked(request, network_process_unpublish(publishing->process, port, on_removed, request, &err), err);
}

void publishing_forget(struct publishing *publishing, const void *client)
{
	for (struct request *request = publishing->first; request; request = request->next) {
		if (request->client == client)
			request->client = NULL;
	}
}

/* --- a process --- */

static void on_begun(const struct annex_error *refusal, const char *const *ports, void *data)
{
	auto_error struct annex_error *err = NULL;
	struct request *request = data;
	struct supervisor *supervisor = request->publishing->supervisor;

	(void)ports;
	if (refusal)
		taken_refuse(&err, refusal, supervisor->paths, request->text, true);
	if (err && supervisor->up_at)
		log_info("%s", annex_error_message(err));
	else if (err)
		supervisor_on_broken_network(supervisor, err);
	request_free(request);
}

static int begin(struct publishing *publishing, const char *text, struct annex_error **err)
{
	struct request *request = calloc(1, sizeof(*request));
	int result;

	if (!request)
		return fail_memory(err);
	add_request(publishing, request);
	result = text_copy(&request->text, text) < 0
			 ? fail_memory(err)
			 : network_process_publish(publishing->process, text, on_begun, request, err);
	if (result < 0)
		request_free(request);
	return result;
}

int publishing_begin(struct publishing *publishing, struct network_process *process, struct annex_error **err)
{
	publishing->process = process;
	for (size_t i = 0; i < publishing->texts.count; i++) {
		if (begin(publishing, publishing->texts.items[i], err) < 0)
			return -1;
	}
	return 0;
}

void publishing_end(struct publishing *publishing)
{
	publishing->process = NULL;
}

int publishing_new(struct publishing **ret, struct supervisor *supervisor, struct annex_error **err)
{
	struct publishing *publishing = calloc(1, sizeof(*publishing));

	if (!publishing)
		return fail_memory(err);
	publishing->supervisor = supervisor;
	for (size_t i = 0; i < supervisor->record->settings.publish.count; i++) {
		if (add_text(publishing, supervisor->record->settings.publish.items[i], err) < 0) {
			publishing_free(publishing);
			return -1;
		}
	}
	*ret = publishing;
	return 0;
}

void publishing_free(struct publishing *publishing)
{
	if (!publishing)
		return;
	while (publishing->first)
		request_free(publishing->first);
	text_list_clear(&publishing->texts);
	free(publishing);
}
