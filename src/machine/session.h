#pragma once
#include "json/json.h"
#include "machine/paths.h"

/*
 * What is known of a session: shown by lists, sent in SESSIONS, and, of those that are detached, kept in
 * machines/NAME/sessions/ID/session.jsonl beside what they wrote.
 *
 * A record that tells no end is of a session that runs, or of one whose supervisor was killed: that one is lost.
 */
#define SESSION_VERSION     1u
#define SESSION_ID_DIGITS   12u   /* random, hexadecimal: unique for a machine's life */
#define SESSION_COMMAND_MAX 1024u /* bytes kept of a command, made printable */
#define SESSION_USER_MAX    96u
#define SESSION_OUTPUT      "output" /* what the pieces of its output are called */

struct session_record {
	uint64_t version;
	char *id;
	char *user;      /* as asked for */
	char *command;   /* its arguments with spaces between them */
	int64_t started; /* seconds since 1970 */
	int64_t ended;   /* 0: it runs, or is lost */
	int64_t status;  /* when it has ended: as annex run gives it */
	bool terminal, detached, lost;
};
void session_record_clear(struct session_record *record);
#define auto_session_record CLEANUP(session_record_clear)

/* NULL: out of memory. */
json_t *session_record_encode(const struct session_record *record);
MUST_USE int session_record_decode(struct session_record *ret, const json_t *value, const char *what,
				   struct annex_error **err);

/* The folder of a session's, or with id NULL of all that are kept. The caller frees *ret. */
MUST_USE int session_folder(char **ret, const struct machine_paths *paths, const char *id, struct annex_error **err);
/* Not synced: a loss of power loses the session as well. Makes its folder. */
MUST_USE int session_record_save(const struct session_record *record, const struct machine_paths *paths,
				 struct annex_error **err);

/* All that are kept, in the order of their start. What can't be read is left out. */
struct session_list {
	struct session_record *items;
	size_t count;
};
MUST_USE int session_list_load(struct session_list *ret, const struct machine_paths *paths, struct annex_error **err);
MUST_USE int session_list_add(struct session_list *list, struct session_record *taken, struct annex_error **err);
void session_list_sort(struct session_list *list);
void session_list_clear(struct session_list *list);
#define auto_session_list CLEANUP(session_list_clear)

/* No supervisor runs: those that seem to run are lost. Best effort. */
void session_list_lose(const struct machine_paths *paths);
