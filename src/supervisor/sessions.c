/*
 * Records are written when a detached session has started, before its client is told the id, and when it has ended. A
 * record that could not be written then, as the disk was full, is tried again whenever something changes, and at the
 * end. `kept` is in the order of the end: the first one goes first.
 */
#include "supervisor/sessions.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "machine/session.h"
#include "supervisor/guest.h"
#include "supervisor/journal.h"
#include "supervisor/relay.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { SIGNAL_LAST = 64 };

struct running {
	struct session_record record; /* its id: NULL before it was opened */
	uint16_t guest;
	struct journal *journal; /* NULL: its output is not kept */
};

struct kept {
	struct session_record record;
	uint64_t size;
	bool unsaved;
};

struct sessions {
	struct supervisor *supervisor;
	char *user;
	struct running *prepared;
	struct running *running[RELAY_SESSIONS_MAX]; /* in the order of their start */
	size_t count;
	struct kept *kept;
	size_t kept_count;
};

static void running_free(struct running *running)
{
	if (!running)
		return;
	session_record_clear(&running->record);
	journal_close(running->journal);
	free(running);
}

static struct running *find(const struct sessions *sessions, uint16_t guest)
{
	for (size_t i = 0; i < sessions->count; i++) {
		if (sessions->running[i]->guest == guest)
			return sessions->running[i];
	}
	return NULL;
}

static struct running *take_out(struct sessions *sessions, uint16_t guest)
{
	struct running *found = find(sessions, guest);
	size_t at = 0;

	if (!found)
		return NULL;
	while (sessions->running[at] != found)
		at++;
	for (sessions->count--; at < sessions->count; at++)
		sessions->running[at] = sessions->running[at + 1];
	return found;
}

static bool save(const struct sessions *sessions, const struct session_record *record)
{
	auto_error struct annex_error *err = NULL;

	if (session_record_save(record, sessions->supervisor->paths, &err) == 0)
		return true;
	log_info("%s", annex_error_message(err));
	return false;
}

/* What is kept. */

static void remove_files(const struct sessions *sessions, const char *id)
{
	auto_free char *folder = NULL;
	int result;

	if (session_folder(&folder, sessions->supervisor->paths, id, NULL) < 0)
		return;
	result = file_remove_tree(AT_FDCWD, folder);
	if (result < 0)
		log_info("cannot remove %s: %s", folder, strerror(-result));
}

static void forget_oldest(struct sessions *sessions)
{
	remove_files(sessions, sessions->kept[0].record.id);
	session_record_clear(&sessions->kept[0].record);
	sessions->kept_count--;
	memmove(sessions->kept, sessions->kept + 1, sessions->kept_count * sizeof(*sessions->kept));
}

static uint64_t kept_size(const struct sessions *sessions)
{
	uint64_t size = 0;

	for (size_t i = 0; i < sessions->kept_count; i++)
		size += sessions->kept[i].size;
	for (size_t i = 0; i < sessions->count; i++)
		size += sessions->running[i]->journal ? journal_size(sessions->running[i]->journal) : 0;
	return size;
}

/* Hold the limits: ended sessions go first, then the oldest pieces of those that run. */
static void prune(struct sessions *sessions)
{
	uint64_t size = kept_size(sessions);

	for (size_t i = 0; i < sessions->kept_count; i++)
		sessions->kept[i].unsaved = sessions->kept[i].unsaved && !save(sessions, &sessions->kept[i].record);
	while (sessions->kept_count > SESSIONS_KEPT_MAX || (sessions->kept_count > 0 && size > SESSIONS_OUTPUT_MAX)) {
		size -= sessions->kept[0].size;
		forget_oldest(sessions);
	}
	for (size_t i = 0; i < sessions->count && size > SESSIONS_OUTPUT_MAX; i++) {
		struct journal *journal = sessions->running[i]->journal;

		while (size > SESSIONS_OUTPUT_MAX && journal && journal_drop_oldest(journal))
			size = kept_size(sessions);
	}
}

/* Takes the record. */
static void keep(struct sessions *sessions, struct session_record *record, uint64_t size, bool unsaved)
{
	struct kept *grown = realloc(sessions->kept, (sessions->kept_count + 1) * sizeof(*grown));

	if (!grown) {
		session_record_clear(record);
		return;
	}
	sessions->kept = grown;
	grown[sessions->kept_count++] = (struct kept){.record = *record, .size = size, .unsaved = unsaved};
	*record = (struct session_record){0};
}

/* As many pieces of all that run as there may be bytes. */
static void share_room(struct sessions *sessions)
{
	uint64_t piece = SESSIONS_OUTPUT_MAX / 2 / (sessions->count ? sessions->count : 1);

	piece = piece < SESSION_PIECE_MIN ? SESSION_PIECE_MIN : piece > SESSION_PIECE_MAX ? SESSION_PIECE_MAX : piece;
	for (size_t i = 0; i < sessions->count; i++) {
		if (sessions->running[i]->journal)
			journal_set_piece(sessions->running[i]->journal, piece);
	}
}

static int by_end(const void *a, const void *b)
{
	const struct kept *one = a, *two = b;
	int64_t first = one->record.ended ? one->record.ended : one->record.started;
	int64_t second = two->record.ended ? two->record.ended : two->record.started;

	return first < second ? -1 : first > second;
}

static bool is_kept(const struct sessions *sessions, const char *id)
{
	for (size_t i = 0; i < sessions->kept_count; i++) {
		if (text_equal(sessions->kept[i].record.id, id))
			return true;
	}
	return false;
}

/* Folders without a record that can be read are of nobody. */
static void sweep(struct sessions *sessions)
{
	auto_free char *folder = NULL;
	struct dirent *entry;
	DIR *dir = NULL;

	if (session_folder(&folder, sessions->supervisor->paths, NULL, NULL) == 0)
		dir = opendir(folder);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && !is_kept(sessions, entry->d_name))
			(void)!file_remove_tree(dirfd(dir), entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static void load(struct sessions *sessions)
{
	const struct machine_paths *paths = sessions->supervisor->paths;
	auto_session_list struct session_list list = {0};
	auto_error struct annex_error *err = NULL;

	session_list_lose(paths);
	if (session_list_load(&list, paths, &err) < 0) {
		log_info("%s", annex_error_message(err));
		return;
	}
	for (size_t i = 0; i < list.count; i++) {
		auto_free char *folder = NULL;
		uint64_t size = 0;

		if (session_folder(&folder, paths, list.items[i].id, NULL) == 0)
			size = file_tree_size(AT_FDCWD, folder);
		keep(sessions, &list.items[i], size, false);
	}
	if (sessions->kept_count > 1)
		qsort(sessions->kept, sessions->kept_count, sizeof(*sessions->kept), by_end);
	sweep(sessions);
	prune(sessions);
}

int sessions_new(struct sessions **ret, struct supervisor *supervisor)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));

	if (!sessions)
		return -ENOMEM;
	sessions->supervisor = supervisor;
	load(sessions);
	*ret = sessions;
	return 0;
}

void sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return;
	sessions_lose(sessions);
	running_free(sessions->prepared);
	for (size_t i = 0; i < sessions->kept_count; i++)
		session_record_clear(&sessions->kept[i].record);
	free(sessions->kept);
	free(sessions->user);
	free(sessions);
}

void sessions_set_user(struct sessions *sessions, const char *name)
{
	free(sessions->user);
	sessions->user = strdup(name);
}

/* Beginning and end. */

static char *describe(const struct message_open *open)
{
	char words[SESSION_COMMAND_MAX + 1] = "";
	size_t used = 0;

	if (!open->argv[0])
		return strdup("(login shell)");
	for (const char *const *word = open->argv; *word && used < SESSION_COMMAND_MAX; word++)
		used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s", used ? " " : "", *word);
	return text_clean(words, SESSION_COMMAND_MAX);
}

int sessions_prepare(struct sessions *sessions, const struct message *message)
{
	struct running *made;
	struct message_open open;

	running_free(sessions->prepared);
	sessions->prepared = NULL;
	if (message_get(&open, MESSAGE_OPEN, message->payload, message->size) < 0)
		return 0; /* the relay says so */
	made = calloc(1, sizeof(*made));
	if (made)
		made->record = (struct session_record){
			.version = SESSION_VERSION,
			.user = open.flags & OPEN_DEFAULT_USER ? strdup(sessions->user ? sessions->user : "")
							       : text_clean(open.user, SESSION_USER_MAX),
			.command = describe(&open),
			.terminal = open.flags & OPEN_TERMINAL && !(open.flags & OPEN_DETACH),
			.detached = open.flags & OPEN_DETACH,
		};
	message_clear(&open, MESSAGE_OPEN);
	if (!made || !made->record.user || !made->record.command) {
		running_free(made);
		return -ENOMEM;
	}
	sessions->prepared = made;
	return 0;
}

void sessions_begin(struct sessions *sessions, uint16_t guest)
{
	assert(sessions->prepared && sessions->count < RELAY_SESSIONS_MAX); /* the relay sees to that */
	sessions->prepared->guest = guest;
	sessions->running[sessions->count++] = TAKE(sessions->prepared);
}

static bool is_taken(const struct sessions *sessions, const char *id)
{
	for (size_t i = 0; i < sessions->count; i++) {
		if (text_equal(sessions->running[i]->record.id, id))
			return true;
	}
	return is_kept(sessions, id);
}

static char *make_id(const struct sessions *sessions)
{
	unsigned char raw[SESSION_ID_DIGITS / 2];
	char id[SESSION_ID_DIGITS + 1];

	do {
		if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
			return NULL;
		for (size_t i = 0; i < sizeof(raw); i++)
			snprintf(id + 2 * i, sizeof(id) - 2 * i, "%02x", raw[i]);
	} while (is_taken(sessions, id));
	return strdup(id);
}

static void start_keeping(struct sessions *sessions, struct running *running)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *folder = NULL;

	save(sessions, &running->record);
	if (session_folder(&folder, sessions->supervisor->paths, running->record.id, &err) < 0 ||
	    journal_open(&running->journal,
			 &(struct journal_options){.folder = folder,
						   .name = SESSION_OUTPUT,
						   .piece = SESSION_PIECE_MAX,
						   .pieces = SESSION_PIECES},
			 &err) < 0)
		log_info("the output of session %s is not kept: %s", running->record.id, annex_error_message(err));
	share_room(sessions);
	prune(sessions);
}

const char *sessions_opened(struct sessions *sessions, uint16_t guest)
{
	struct running *running = find(sessions, guest);

	running->record.id = make_id(sessions);
	running->record.started = time_realtime_ns() / 1000000000;
	if (!running->record.id)
		return "";
	if (running->record.detached)
		start_keeping(sessions, running);
	return running->record.id;
}

void sessions_keep(struct sessions *sessions, uint16_t guest, const struct message *message)
{
	const struct running *running = find(sessions, guest);

	if (running->journal &&
	    journal_write(running->journal, message->kind == MESSAGE_ERRORS ? 2 : 1, message->payload, message->size))
		prune(sessions);
}

/* Takes it. */
static void finish(struct sessions *sessions, struct running *running)
{
	struct session_record *record = &running->record;

	record->ended = time_realtime_ns() / 1000000000;
	if (record->id && record->detached) {
		bool unsaved = !save(sessions, record);

		keep(sessions, record, running->journal ? journal_size(running->journal) : 0, unsaved);
	}
	running_free(running);
	share_room(sessions);
	prune(sessions);
}

void sessions_ended(struct sessions *sessions, uint16_t guest, const struct message *message)
{
	struct running *running = take_out(sessions, guest);
	struct message_exit how;

	if (message->kind == MESSAGE_EXIT && message_get(&how, MESSAGE_EXIT, message->payload, message->size) == 0)
		running->record.status = how.signal ? 128 + (int)(how.signal & 0x7f) : (int)(how.status & 0xff);
	else
		running->record.lost = true;
	finish(sessions, running);
}

void sessions_lose(struct sessions *sessions)
{
	while (sessions->count > 0) {
		struct running *running = take_out(sessions, sessions->running[0]->guest);

		running->record.lost = true;
		if (sessions->count < SESSIONS_KEPT_MAX) {
			finish(sessions, running);
			continue;
		}
		if (running->journal)
			remove_files(sessions, running->record.id);
		running_free(running);
	}
}

/* What is asked. */

static int add(struct text_list *ret, const struct session_record *record)
{
	auto_json json_t *value = session_record_encode(record);

	return text_list_add_owned(ret, value ? json_text(value, false) : NULL);
}

int sessions_list(struct text_list *ret, const struct sessions *sessions)
{
	int result = 0;

	for (size_t i = 0; i < sessions->kept_count && result == 0; i++) {
		if (sessions->kept[i].unsaved)
			result = add(ret, &sessions->kept[i].record);
	}
	for (size_t i = 0; i < sessions->count && result == 0; i++) {
		if (sessions->running[i]->record.id)
			result = add(ret, &sessions->running[i]->record);
	}
	return result;
}

int sessions_kill(const struct sessions *sessions, const struct message_kill *asked, struct annex_error **err)
{
	if (asked->signal > SIGNAL_LAST)
		return fail(err, ANNEX_ERROR_USAGE, "there is no signal %u", asked->signal);
	for (size_t i = 0; i < sessions->count; i++) {
		const struct running *running = sessions->running[i];
		uint32_t signal = running->record.terminal ? SIGHUP : SIGTERM;

		if (!text_equal(running->record.id, asked->id))
			continue;
		guest_signal(sessions->supervisor->guest, running->guest, asked->signal ? asked->signal : signal);
		return 0;
	}
	if (is_kept(sessions, asked->id))
		return fail(err, ANNEX_ERROR_BUSY, "session %s has ended already", asked->id);
	return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no session %.32s", asked->id);
}
